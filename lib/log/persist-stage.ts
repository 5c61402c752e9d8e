/**
 * The log writer's duty cycle: takes what the verify threads have accepted, gives each event its
 * seq, appends one batch, syncs it, and only then shows it to anybody, all of it with one store.
 * A batch is what came in during the last sync (natural group commit), so that a slow disk makes
 * larger batches, not a longer line.
 *
 *   gather → write → fdatasync and tail ring → fill commit cell → publish → wake
 *
 * With a backlog the next batch is gathered and checked while this one is synced; it is written
 * only when this one is durable.
 *
 * Owns the order of these steps and what happens when one fails: no room on the disk pauses, with
 * the batch and its seqs kept; anything else ends the thread by an exception.
 * @thread persist
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { KiB, SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { RingConsumer } from '../ring/consumer.ts';
import type { Sequencer } from '../sequence/sequencer.ts';
import type { CommitWriter } from '../shared/commit-cell.ts';
import { CommitView } from '../shared/commit-cell.ts';
import { PersistState, type Words } from '../shared/regions.ts';
import type { TailWriter } from '../shared/tail-ring.ts';
import { appendCause, heldFault, isRoomCause, pauseCauseNo } from './append-fault.ts';
import { Intake, Load } from './intake.ts';
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
  /** With less in the rings the next batch is filled after the sync, which is sooner then. */
  readonly backlogBytesMin?: number;
  /** Test seam. */
  readonly crashPoint?: (point: CrashPoint) => void;
};

/** How long nothing must come before an empty batch proves the last one. */
const PROOF_IDLE_MS = SECOND_MS;
const RETRY_MS = 500;
const PARK_MS = 100;
const BACKLOG_BYTES_MIN = 128 * KiB;

export class PersistStage {
  readonly #parts: PersistParts;
  readonly #words: PersistWords;
  readonly #retention: RetentionKeeper;
  readonly #intake: Intake;
  readonly #view = new CommitView();
  /** Written next, or being written. */
  #load = new Load();
  /** Filled while the other one is synced; made when there is a backlog for the first time. */
  #next: Load | undefined;
  #isPaused = false;
  #isStopped = false;
  #retryAtMs = 0;
  #lastBatchMs = 0;

  constructor(parts: PersistParts) {
    this.#parts = parts;
    this.#words = new PersistWords(parts.words, parts.rings.length);
    this.#retention = new RetentionKeeper(parts);
    this.#intake = new Intake(parts);
    this.#intake.noteHeads(this.#load);
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
    this.#retention.poll(nowMs, this.#isDiskFull());
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
    if (this.#words.isHeld()) throw heldFault();
    // A batch that found no room waits here, with the seqs it was given.
    if (this.#load.batch.count === 0) this.#intake.fill(this.#load);
    const { count } = this.#load.batch;
    if (count > 0) {
      this.#commit();
      this.#lastBatchMs = nowMs;
      return count;
    }
    if (this.#load.hasRefused) {
      this.#publish();
      this.#load.hasRefused = false;
    }
    // An empty batch: whoever finds it knows that the one before it was durable (G24).
    if (!log.isProven && nowMs - this.#lastBatchMs >= PROOF_IDLE_MS) this.#commit();
    if (log.sealIfDue()) this.#publish();
    return 0;
  }

  /** From memory to everybody: the only order in which a frame may become visible (G4). */
  #commit(): void {
    const { log, tail, metrics, crashPoint } = this.#parts;
    const { backlogBytesMin = BACKLOG_BYTES_MIN } = this.#parts;
    const load = this.#load;
    const { batch } = load;
    const isNext = batch.count === 0 || load.firstSeq === log.nextSeq;
    assert(isNext, 'the batch continues the log');
    this.#words.assigned.publish(this.#intake.assignedSeq);
    log.write(batch);
    this.#words.written.publish(log.nextSeq - 1 + batch.count);
    crashPoint?.('after-write');
    const isAhead = log.hasBackground && this.#intake.backlogBytes() >= backlogBytesMin;
    log.beginSync(isAhead);
    // Nobody looks behind the end that the commit cell shows.
    tail.write(batch.frames, 0, batch.framesBytes);
    const next = isAhead ? this.#prepareNext() : undefined;
    const tookMs = log.finishSync();
    metrics.observe('relay_log_fsync_seconds', tookMs / SECOND_MS);
    crashPoint?.('after-sync');
    this.#words.countLoad(metrics, load);
    this.#publish();
    load.clear();
    if (next !== undefined) [this.#load, this.#next] = [next, load];
  }

  /** While the disk is busy: the batch that is written as soon as this one is durable. */
  #prepareNext(): Load {
    this.#next ??= new Load();
    this.#intake.fill(this.#next);
    this.#parts.log.prepare(this.#next.batch);
    return this.#next;
  }

  /** One store shows the new end, the new frames, and what the rings may reuse. */
  #publish(): void {
    const { log, tail, commit, metrics, crashPoint } = this.#parts;
    const view = this.#view;
    view.segmentFirstSeq = log.segmentFirstSeq;
    view.byteEnd = log.byteEnd;
    view.lastSeq = log.nextSeq - 1;
    view.tailEnd = tail.end;
    view.heads.set(this.#load.heads);
    commit.fill(view);
    crashPoint?.('after-fill');
    commit.publish();
    crashPoint?.('after-store');
    this.#words.publishDurable(metrics, view);
    this.#words.wakeForCommit(view.tailEnd);
  }

  #pause(fault: RelayFault, nowMs: number): void {
    const { logger, metrics } = this.#parts;
    const cause = appendCause(fault) ?? 'other';
    metrics.add(`relay_log_append_failures_total:${cause}`);
    this.#retryAtMs = nowMs + RETRY_MS;
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#words.state.publish(PersistState.paused);
    this.#words.pauseCause.publish(pauseCauseNo(cause));
    metrics.set('relay_log_paused', 1);
    logger.error({ code: fault.code, cause, error: errorText(fault) }, 'log writing is paused');
  }

  /** Full, and nothing else is left to be given back. */
  #isDiskFull(): boolean {
    const cause = this.#words.pauseCause.last();
    return this.#isPaused && isRoomCause(cause) && !this.#words.hasBallast();
  }

  #resume(): void {
    const { logger, metrics, log } = this.#parts;
    this.#isPaused = false;
    this.#words.state.publish(PersistState.running);
    this.#words.pauseCause.publish(0);
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
    return this.#load.batch.count > 0 || this.#intake.backlogBytes() > 0;
  }
}
