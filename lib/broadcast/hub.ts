/**
 * Fans the log out to all consumers. A stage: `poll` looks at the commit cell, hands each consumer
 * that can take it the next piece of whole frames, and yields after a little work. Every consumer
 * is served from the tail ring while it keeps up and from segments while it does not; both are the
 * same bytes in the same order, so there is no hand-over that could lose or repeat a frame (G5).
 *
 * Owns the set of consumers. Takes only the commit cell, the tail ring and the log, so that it can
 * move to a thread of its own. Sends are gathered into rounds (gather.ts). Starts no timer: the
 * driver asks `waitMs`, and is told by `wake` when a socket drained or a read ended.
 * @thread main
 */
import { assert } from '../base/assert.ts';
import { SECOND_MS } from '../base/units.ts';
import { LogSampler } from '../logging/sampler.ts';
import { CommitView } from '../shared/commit-cell.ts';
import { type Consumer, READ_TRIES_MAX } from './consumer.ts';
import { DeliverySampler } from './delivery.ts';
import { endTooSlow, endUnreadable } from './endings.ts';
import { Gather } from './gather.ts';
import type { HubDeps, HubOptions } from './hub-options.ts';
import { LagMeter } from './lag.ts';
import { type LogPiece, type LogRead, Replays } from './replays.ts';
import { ServeLine } from './serve-line.ts';
import { TailChunks } from './tail-chunks.ts';
import { NOT_IN_TAIL, TailIndex } from './tail-index.ts';
import { Watch } from './watch.ts';
import { WorkBudget } from './work-budget.ts';

export class Hub {
  readonly #options: HubOptions;
  readonly #deps: HubDeps;
  readonly #view = new CommitView();
  readonly #index: TailIndex;
  readonly #chunks: TailChunks;
  readonly #replays: Replays;
  readonly #watch: Watch;
  readonly #budget: WorkBudget;
  readonly #sampler: LogSampler;
  readonly #delivery: DeliverySampler | undefined;
  readonly #lag: LagMeter;
  readonly #gather: Gather;
  readonly #consumers = new Map<number, Consumer>();
  /** Consumers in the tail to be served outside a round: they drained. */
  readonly #ready = new ServeLine();
  /** Consumers that read the log: they come after the others, but one of them each time. */
  readonly #behind = new ServeLine();
  #round: Iterator<Consumer> | undefined;
  #roundSeq = 0;
  #published: number;
  #nextSweepMs = 0;
  #isWaked = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: HubOptions, deps: HubDeps) {
    this.#options = options;
    this.#deps = deps;
    deps.commits.read(this.#view);
    this.#index = new TailIndex(deps.tail, this.#view);
    this.#chunks = new TailChunks(this.#index, options.chunkBytesMax);
    this.#gather = new Gather(options, this.#index.headEnd);
    this.#published = this.#index.headSeq;
    this.#sampler = new LogSampler(deps.clock, SECOND_MS);
    const { arrivals, clock, metrics } = deps;
    this.#delivery = arrivals && new DeliverySampler(arrivals, clock, metrics);
    this.#lag = new LagMeter(arrivals, clock, metrics);
    this.#budget = new WorkBudget(deps.clock, options.pollMsMax, options.pollBytesMax);
    this.#watch = new Watch(options, {
      metrics: deps.metrics,
      index: this.#index,
      lag: this.#lag,
      oldestSeq: deps.oldestSeq,
      onBehind: (consumer) => this.#enqueue(consumer),
    });
    this.#replays = new Replays(
      deps.log,
      { readsMax: options.readsMax, pieceBytesMax: options.chunkBytesMax },
      deps.oldestSeq,
      (consumer, read) => this.#onRead(consumer, read),
    );
  }

  /** Connected consumers; also those that are being closed, until their socket is. */
  get size(): number {
    return this.#consumers.size;
  }

  get consumers(): Iterable<Consumer> {
    return this.#consumers.values();
  }

  /** By when a consumer that is being closed now has to be gone. */
  closeDeadlineMs(): number {
    return this.#deps.clock.monoMs() + this.#options.closeMsMax;
  }

  /** Last durable seq, looked up now. */
  headSeq(): number {
    this.#observe();
    return this.#index.headSeq;
  }

  /** For how long the next event of a consumer has been here; undefined where nobody can tell. */
  secondsBehind(consumer: Consumer): Promise<number | undefined> {
    return this.#lag.secondsBehind(consumer.seq, this.headSeq());
  }

  /** False until the log is open: then there is no head to start a consumer from. */
  isLogOpen(): boolean {
    this.#observe();
    return this.#view.segmentFirstSeq > 0;
  }

  /** One duty cycle. Returns the work done; 0 means nothing was due. */
  poll(nowMs: number): number {
    this.#isWaked = false;
    this.#budget.renew(nowMs);
    let work = this.#observe() ? 1 : 0;
    work += this.#runRound(nowMs);
    work += this.#serveLine(this.#ready);
    work += this.#serveOne(this.#behind) + this.#serveLine(this.#behind);
    if (nowMs >= this.#nextSweepMs) {
      this.#nextSweepMs = this.#watch.sweep(this.#consumers.values(), nowMs);
      work++;
    }
    return work;
  }

  /** Milliseconds until `poll` has something to do by itself; 0: at once, after a turn. */
  waitMs(nowMs: number): number {
    if (this.#round !== undefined || !this.#ready.isEmpty || !this.#behind.isEmpty) return 0;
    const sweepWaitMs = Math.max(0, this.#nextSweepMs - nowMs);
    // Also while nothing is new: until then only much of it is worth being woken for.
    const gatherWaitMs = this.#gather.waitMs(nowMs);
    if (gatherWaitMs > 0) return Math.min(sweepWaitMs, gatherWaitMs);
    return this.#index.headEnd === this.#gather.end ? sweepWaitMs : 0;
  }

  /** Tail position (modular) from which on a commit is worth being woken for, until `waitMs`. */
  wakeTail(nowMs: number): number {
    return this.#gather.wakeEnd(nowMs) | 0;
  }

  /** Takes over a consumer whose `seq` is set. It is in the set before it gets its first frame. */
  add(consumer: Consumer, nowMs: number): void {
    this.#consumers.set(consumer.info.id, consumer);
    this.#onCount();
    consumer.pingDueMs = nowMs + this.#options.pingMs;
    consumer.tailPosition = this.#index.place(consumer.seq);
    if (consumer.tailPosition !== this.#index.headEnd) this.#enqueue(consumer);
    const { userAgent } = consumer.info;
    this.#log(consumer, 'consumer connected', { userAgent, seq: consumer.seq });
  }

  /** The only place that forgets a consumer; called once, when its socket is closed. */
  onGone(consumer: Consumer): void {
    if (!this.#consumers.delete(consumer.info.id)) return;
    const { metrics } = this.#deps;
    this.#replays.release(consumer);
    this.#onCount();
    metrics.add(`relay_broadcast_consumer_ends_total:${consumer.endCause}`);
    this.#log(consumer, 'consumer ended', {
      cause: consumer.endCause,
      closeCode: consumer.closeCode,
      seq: consumer.seq,
      frames: consumer.framesSent,
    });
    if (this.#consumers.size === 0) this.#onEmpty?.();
  }

  /** A consumer's socket drained. */
  onWritable(consumer: Consumer): void {
    this.#enqueue(consumer);
  }

  /**
   * What may be shown has changed (a takedown): frames before the present head now come from the
   * log, which hides what must be hidden, not from the copies in memory (G28).
   */
  hideTail(): void {
    this.#observe();
    // Pieces of the tail are found by positions that nobody can be at any more.
    this.#index.forget();
    this.#replays.clear();
    for (const consumer of this.#consumers.values()) consumer.piece = undefined;
    this.#leaveTail();
  }

  /**
   * Closes every consumer, spread evenly over `spreadMs`; resolves when all sockets are closed. To
   * be called when nothing more is committed: who is live gets the last event first (G25).
   */
  closeAll(code: number, spreadMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#consumers.size === 0) return Promise.resolve();
    const nowMs = this.#deps.clock.monoMs();
    const stepMs = spreadMs / this.#consumers.size;
    let dueMs: number = nowMs;
    for (const consumer of this.#consumers.values()) {
      consumer.closeDueMs = dueMs;
      consumer.closeDueCode = code;
      dueMs += stepMs;
    }
    this.#nextSweepMs = nowMs;
    this.#gather.isClosing = true;
    this.#onEmpty = resolve;
    this.#wake();
    return promise;
  }

  #onCount(): void {
    const { size } = this.#consumers;
    this.#chunks.consumerCount = size;
    this.#gather.consumerCount = size;
    this.#deps.metrics.set('relay_broadcast_consumers_count', size);
  }

  // ---- commits and rounds

  #observe(): boolean {
    if (!this.#deps.commits.hasNew()) return false;
    this.#deps.commits.read(this.#view);
    if (this.#index.observe(this.#view)) this.#leaveTail();
    return true;
  }

  /** Consumers below the first seq that the tail index still knows read the log from now on. */
  #leaveTail(): void {
    for (const consumer of this.#consumers.values()) {
      if (consumer.tailPosition === NOT_IN_TAIL || consumer.seq >= this.#index.firstSeq) continue;
      consumer.tailPosition = NOT_IN_TAIL;
      this.#enqueue(consumer);
    }
  }

  #runRound(nowMs: number): number {
    if (this.#round === undefined) {
      if (!this.#gather.isDue(this.#index.headEnd, nowMs)) return 0;
      this.#gather.begin(this.#index.headEnd, nowMs);
      this.#round = this.#consumers.values();
      this.#roundSeq = this.#index.headSeq;
    }
    let work = 1;
    while (!this.#budget.isSpent()) {
      const next = this.#round.next();
      if (next.done === true) {
        this.#round = undefined;
        this.#publish(this.#roundSeq);
        if (this.#consumers.size > 0) this.#delivery?.onDelivered(this.#roundSeq, nowMs);
        return work;
      }
      // Those that read the log have a line of their own.
      if (next.value.tailPosition !== NOT_IN_TAIL) this.#serve(next.value);
      else if (!next.value.isReading) this.#enqueue(next.value);
      work++;
    }
    return work;
  }

  #serveLine(line: ServeLine): number {
    let work = 0;
    while (!line.isEmpty && !this.#budget.isSpent()) work += this.#serveOne(line);
    return work;
  }

  #serveOne(line: ServeLine): number {
    const consumer = line.take();
    if (consumer === undefined) return 0;
    consumer.isQueued = false;
    this.#serve(consumer);
    return 1;
  }

  // ---- one consumer

  #serve(consumer: Consumer): void {
    if (!consumer.isWritable || consumer.isReading) return;
    if (consumer.tailPosition === NOT_IN_TAIL) this.#serveFromLog(consumer);
    else this.#serveFromTail(consumer);
  }

  #serveFromTail(consumer: Consumer): void {
    // At the head, or new frames that are still being gathered.
    if (consumer.tailPosition >= this.#gather.end) return;
    const chunk = this.#chunks.after(consumer.tailPosition, consumer.seq);
    if (chunk === undefined) {
      // The ring has passed it: on with segments.
      consumer.tailPosition = NOT_IN_TAIL;
      this.#serveFromLog(consumer);
      return;
    }
    this.#deps.metrics.add('relay_broadcast_reads_total:tail');
    this.#count(chunk.bytes.length, chunk.lastSeq - consumer.seq);
    consumer.writeChunk(chunk);
    if (consumer.tailPosition < this.#gather.end && consumer.isWritable) this.#enqueue(consumer);
  }

  #serveFromLog(consumer: Consumer): void {
    const position = this.#index.place(consumer.seq);
    if (position !== NOT_IN_TAIL) {
      consumer.tailPosition = position;
      consumer.piece = undefined;
      this.#replays.release(consumer);
      this.#serveFromTail(consumer);
      return;
    }
    // A read may have seen a commit that this cycle has not: wait for the next.
    if (consumer.seq >= this.#index.headSeq) return;
    if (consumer.seq + 1 < this.#deps.oldestSeq()) {
      endTooSlow(consumer, 'retention', this.closeDeadlineMs());
      return;
    }
    // Rounds come every few milliseconds: the tries would be used up before anything is better.
    if (consumer.retryMs > 0 && this.#deps.clock.monoMs() < consumer.retryMs) return;
    const piece = consumer.piece ?? this.#replays.take(consumer);
    consumer.piece = undefined;
    if (piece !== undefined) this.#writePiece(consumer, piece);
  }

  #onRead(consumer: Consumer, read: LogRead): void {
    if (!consumer.isOpen || !this.#consumers.has(consumer.info.id)) {
      this.#replays.release(consumer);
      return;
    }
    if (read.kind === 'frames') {
      this.#deps.metrics.add('relay_broadcast_reads_total:segment');
      // Not at once: a read that many have waited for would go out to all of them in one turn.
      consumer.piece = read;
      this.#enqueue(consumer);
    } else if (read.kind === 'gone') {
      endTooSlow(consumer, 'retention', this.closeDeadlineMs());
    } else if (read.kind === 'bad' || (read.kind === 'retry' && consumer.readTriesLeft === 0)) {
      this.#endUnreadable(consumer, read.message);
    } else if (read.kind === 'retry') {
      consumer.readTriesLeft--;
      consumer.retryMs = this.#deps.clock.monoMs() + this.#options.sweepMs;
    }
    // 'end' and 'retry': a later round or sweep comes back to it.
  }

  #endUnreadable(consumer: Consumer, message: string): void {
    const { id, address } = consumer.info;
    // Who comes again with the same cursor meets the same damage.
    const leftOut = this.#sampler.admit(`replay ended ${address}`);
    const fields = { consumer: id, address, seq: consumer.seq, error: message, leftOut };
    if (leftOut >= 0) this.#deps.logger.error(fields, 'replay ended: the log cannot be read on');
    endUnreadable(consumer, this.closeDeadlineMs());
  }

  #writePiece(consumer: Consumer, piece: LogPiece): void {
    assert(piece.lastSeq > consumer.seq, 'a piece of the log goes back');
    this.#count(piece.bytes.length, piece.lastSeq - consumer.seq);
    consumer.readTriesLeft = READ_TRIES_MAX;
    consumer.retryMs = 0;
    consumer.write(piece.bytes, piece.lastSeq);
    if (piece.lastSeq > this.#published) this.#publish(piece.lastSeq);
    if (consumer.isWritable) this.#enqueue(consumer);
  }

  #enqueue(consumer: Consumer): void {
    if (consumer.isQueued) return;
    consumer.isQueued = true;
    (consumer.tailPosition === NOT_IN_TAIL ? this.#behind : this.#ready).add(consumer);
    this.#wake();
  }

  #wake(): void {
    if (this.#isWaked) return;
    this.#isWaked = true;
    this.#deps.wake();
  }

  #count(bytes: number, frames: number): void {
    const { metrics } = this.#deps;
    this.#budget.spend(bytes);
    metrics.add('relay_broadcast_writes_total');
    metrics.add('relay_broadcast_bytes_total', bytes);
    metrics.add('relay_broadcast_frames_total', frames);
  }

  #publish(seq: number): void {
    if (seq <= this.#published) return;
    this.#published = seq;
    this.#deps.onPublished(seq);
  }

  #log(consumer: Consumer, message: string, fields: object): void {
    const { id, address } = consumer.info;
    const leftOut = this.#sampler.admit(`${message} ${address}`);
    if (leftOut >= 0)
      this.#deps.logger.info({ consumer: id, address, ...fields, leftOut }, message);
  }
}
