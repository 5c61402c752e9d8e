/**
 * The log writer's duty cycle: takes what the verify threads have accepted, gives each event its
 * seq, appends one batch, syncs it, and only then shows it to anybody, all of it with one store.
 * A batch is what came in during the last sync (natural group commit), so that a slow disk makes
 * larger batches, not a longer line.
 *
 *   gather → write → fdatasync → tail ring → fill commit cell → publish → wake
 *
 * Owns the order of these steps and what happens when one fails: no room on the disk pauses, with
 * the batch and its seqs kept; anything else ends the thread by an exception.
 * @thread persist
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { RingConsumer } from '../ring/consumer.ts';
import { SEQ_REFUSED, VERIFIED_SEQ, VerifiedRecord } from '../ring/verified-record.ts';
import type { Sequencer } from '../sequence/sequencer.ts';
import type { CommitWriter } from '../shared/commit-cell.ts';
import { CommitView } from '../shared/commit-cell.ts';
import { PersistState, type Words } from '../shared/regions.ts';
import type { TailWriter } from '../shared/tail-ring.ts';
import { appendCause } from './append-fault.ts';
import { Batch } from './batch.ts';
import { RecordRow } from './descriptor.ts';
import { PersistWords } from './persist-words.ts';
import type { RetentionPolicy } from './retention.ts';
import { RetentionKeeper } from './retention-keeper.ts';
import type { LogWriter } from './writer.ts';

/** Where a test may end the process: each leaves another state for recovery to find. */
export const CRASH_POINTS = ['after-write', 'after-sync', 'after-fill', 'after-store'] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

export type PersistParts = {
  readonly log: LogWriter;
  readonly sequencer: Sequencer;
  /** Verified ring of each shard. */
  readonly rings: readonly RingConsumer[];
  readonly tail: TailWriter;
  readonly commit: CommitWriter;
  readonly words: Words;
  readonly metrics: MetricWriter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly retention: RetentionPolicy;
  /** Test seam. */
  readonly crashPoint?: (point: CrashPoint) => void;
};

/** How long nothing must come before an empty batch proves the last one. */
const PROOF_IDLE_MS = SECOND_MS;
const RETRY_MS = 500;
const PARK_MS = 100;

type Take = 'taken' | 'empty' | 'full';

export class PersistStage {
  readonly #parts: PersistParts;
  readonly #words: PersistWords;
  readonly #retention: RetentionKeeper;
  readonly #batch = new Batch();
  readonly #row = new RecordRow();
  readonly #record = new VerifiedRecord();
  readonly #view = new CommitView();
  #nextRing = 0;
  /** Records were refused: their place in the ring is to be given back without a batch. */
  #hasRefused = false;
  #isPaused = false;
  #isStopped = false;
  #retryAtMs = 0;
  #lastBatchMs = 0;

  constructor(parts: PersistParts) {
    this.#parts = parts;
    this.#words = new PersistWords(parts.words, parts.rings.length);
    this.#retention = new RetentionKeeper(parts);
  }

  /** All that was taken is durable and published, and the stop word is set. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Shows what recovery has found. */
  start(): void {
    const lastSeq = this.#parts.log.nextSeq - 1;
    this.#words.assigned.publish(lastSeq);
    this.#words.written.publish(lastSeq);
    this.#retention.publish();
    this.#publish();
    this.#words.state.publish(PersistState.running);
  }

  /**
   * One duty cycle; returns how many records became durable. Throws when the log cannot go on:
   * then nothing more is published, and the thread must end.
   */
  poll(): number {
    this.#words.beat();
    if (this.#isStopped) return 0;
    const nowMs = this.#parts.clock.monoMs();
    // Also while paused: it may be what makes room.
    this.#retention.poll(nowMs);
    const isStopping = this.#words.isStopping();
    if (this.#isPaused && isStopping) return this.#finish();
    if (this.#isPaused && nowMs < this.#retryAtMs) return 0;
    try {
      const count = this.#cycle(nowMs);
      if (this.#isPaused) this.#resume();
      if (count === 0 && isStopping && !this.#hasRecords()) return this.#stop();
      return count;
    } catch (error) {
      if (!(error instanceof RelayFault && error.isRetryable)) throw error;
      this.#pause(error, nowMs);
      return 0;
    }
  }

  /** Sleeps until a verify thread rings or a tenth of a second has passed. */
  park(): void {
    const { bell } = this.#words;
    bell.arm();
    const hasWork = this.#hasRecords() || this.#words.isStopping();
    if (hasWork && !this.#isPaused) bell.disarm();
    else bell.waitBlocking(PARK_MS);
  }

  #cycle(nowMs: number): number {
    const { log } = this.#parts;
    // A batch that found no room waits here, with the seqs it was given.
    if (this.#batch.count === 0) this.#gather();
    const { count } = this.#batch;
    if (count > 0) {
      this.#commit();
      this.#lastBatchMs = nowMs;
      return count;
    }
    if (this.#hasRefused) this.#publish();
    // An empty batch: whoever finds it knows that the one before it was durable (G24).
    if (!log.isProven && nowMs - this.#lastBatchMs >= PROOF_IDLE_MS) this.#commit();
    if (log.sealIfDue()) this.#publish();
    return 0;
  }

  /** Fills the batch with what is there, one record of each ring in turn. */
  #gather(): void {
    const { rings } = this.#parts;
    let emptyCount = 0;
    let at = this.#nextRing;
    while (emptyCount < rings.length) {
      const ring = rings[at];
      const take = ring === undefined ? 'empty' : this.#take(ring);
      if (take === 'full') break;
      emptyCount = take === 'empty' ? emptyCount + 1 : 0;
      at = (at + 1) % rings.length;
    }
    this.#nextRing = at;
  }

  #take(ring: RingConsumer): Take {
    const { sequencer, metrics } = this.#parts;
    const before = ring.position;
    const at = ring.poll();
    if (at < 0) return 'empty';
    const record = this.#record;
    record.read(ring.bytes, at, ring.payloadBytes);
    const frameBytes = sequencer.wireBytes(record);
    if (frameBytes === 0) {
      ring.bytes.writeDoubleLE(SEQ_REFUSED, at + VERIFIED_SEQ);
      metrics.addReject('wire_output_too_large');
      this.#hasRefused = true;
      return 'taken';
    }
    const batch = this.#batch;
    if (!batch.hasRoom(frameBytes)) {
      ring.seek(before);
      return 'full';
    }
    const seq = sequencer.write(ring.bytes, record, batch.frames, batch.framesBytes);
    // A plain store: the verify thread reads it after it has seen the commit.
    ring.bytes.writeDoubleLE(seq, at + VERIFIED_SEQ);
    const row = this.#row;
    row.frameBytes = frameBytes;
    row.kind = record.kind;
    row.statusCode = record.statusCode;
    row.hostId = record.hostId;
    row.upstreamCrc = record.upstreamCrc;
    row.didHashLo = record.didHashLo;
    row.didHashHi = record.didHashHi;
    row.hostSeq = record.hostSeq;
    row.arrivalMs = record.arrivalMs;
    batch.add(row);
    this.#words.countKind(record.kind);
    return 'taken';
  }

  /** From memory to everybody: the only order in which a frame may become visible (G4). */
  #commit(): void {
    const { log, sequencer, tail, metrics, clock, crashPoint } = this.#parts;
    const batch = this.#batch;
    const lastSeq = sequencer.nextSeq - 1;
    assert(lastSeq - batch.count === log.nextSeq - 1, 'the batch continues the log');
    this.#words.assigned.publish(lastSeq);
    log.write(batch);
    this.#words.written.publish(lastSeq);
    crashPoint?.('after-write');
    const syncStartMs = clock.monoMs();
    log.sync();
    metrics.observe('relay_log_fsync_seconds', (clock.monoMs() - syncStartMs) / SECOND_MS);
    crashPoint?.('after-sync');
    tail.write(batch.frames, 0, batch.framesBytes);
    this.#words.countBatch(metrics, batch);
    batch.clear();
    this.#publish();
  }

  /** One store shows the new end, the new frames, and what the rings may reuse. */
  #publish(): void {
    const { log, rings, tail, commit, metrics, crashPoint } = this.#parts;
    const view = this.#view;
    view.segmentFirstSeq = log.segmentFirstSeq;
    view.byteEnd = log.byteEnd;
    view.lastSeq = log.nextSeq - 1;
    view.tailEnd = tail.end;
    for (let i = 0; i < rings.length; i++) view.heads[i] = rings[i]?.position ?? 0;
    commit.fill(view);
    crashPoint?.('after-fill');
    commit.publish();
    crashPoint?.('after-store');
    this.#hasRefused = false;
    this.#words.publishDurable(metrics, view);
    this.#words.wakeAll();
  }

  #pause(fault: RelayFault, nowMs: number): void {
    const { logger, metrics } = this.#parts;
    const cause = appendCause(fault) ?? 'other';
    metrics.add(`relay_log_append_failures_total:${cause}`);
    this.#retryAtMs = nowMs + RETRY_MS;
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#words.state.publish(PersistState.paused);
    metrics.set('relay_log_paused', 1);
    logger.error({ code: fault.code, cause, error: errorText(fault) }, 'log writing is paused');
  }

  #resume(): void {
    const { logger, metrics, log } = this.#parts;
    this.#isPaused = false;
    this.#words.state.publish(PersistState.running);
    metrics.set('relay_log_paused', 0);
    logger.info({ nextSeq: log.nextSeq }, 'log writing goes on');
  }

  /** The rings are empty and main wants the end. */
  #stop(): number {
    if (!this.#parts.log.isProven) this.#commit();
    return this.#finish();
  }

  /** What a full disk did not take is not durable: its hosts will send it again. */
  #finish(): number {
    this.#parts.log.close();
    this.#isStopped = true;
    this.#words.state.publish(PersistState.stopped);
    this.#words.wakeAll();
    return 0;
  }

  #hasRecords(): boolean {
    return this.#batch.count > 0 || this.#parts.rings.some((ring) => ring.pendingBytes() > 0);
  }
}
