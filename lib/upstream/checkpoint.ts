/**
 * Writes host cursors, last of all and never ahead (G9, G10). A checkpoint is a barrier: one note
 * of {last routed host seq of each changed host, last ingest number of each shard, D = durable
 * seq}, taken in one turn of the loop; when every shard's completed number has reached the note,
 * the cursors and `checkpoint_seq = D` are saved together. Owns the one note in flight: a save
 * that fails is tried again with the same note, two are never under way at once.
 *
 *   idle ── period ──► noted ── all shards passed ──► saving ── saved ──► idle
 *                        ▲                              │
 *                        └───────── fault, back-off ────┘
 * Does not know how frames are routed nor where cursors are kept.
 * @thread main
 */
import { AssertionFailed } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { RelayFault } from '../base/fault.ts';
import { type SupervisedLoop, supervise } from '../base/supervise.ts';
import { distance, SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { HostCursor } from './cursor-map.ts';

/** Where a note is read from. All of it belongs to this thread or is a single-writer word. */
export type CheckpointSource = {
  readonly shardCount: number;
  /** Ingest number of the last frame that was routed to this shard (modular Int32). */
  routedNo(shard: number): number;
  /** Last ingest number of this shard up to which all is rejected, or durable and flushed. */
  completedNo(shard: number): number;
  durableSeq(): number;
  takeChanged(): HostCursor[];
};

export type CheckpointDeps = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  readonly source: CheckpointSource;
  /**
   * Stores cursors and checkpoint seq in one transaction. Cursors are set, not raised: a host
   * that renumbered goes back. Repeating it must be harmless. Rejects on a fault.
   */
  save(cursors: readonly HostCursor[], seq: number): Promise<void>;
};

export type CheckpointOptions = {
  readonly periodMs: number;
  /** How often the barrier is looked at. */
  readonly pollMs: number;
};

export const CHECKPOINT_DEFAULTS: CheckpointOptions = { periodMs: SECOND_MS, pollMs: 20 };

/** Between two tries to save the last checkpoint. */
const LAST_RETRY_MS = 200;

type Note = {
  readonly cursors: readonly HostCursor[];
  readonly routed: readonly number[];
  readonly seq: number;
};

export class Checkpointer {
  readonly #options: CheckpointOptions;
  readonly #deps: CheckpointDeps;
  #note: Note | undefined;
  #savedSeq: number;
  #loop: SupervisedLoop | undefined;

  /** `savedSeq`: the checkpoint seq that is in the store now. */
  constructor(savedSeq: number, deps: CheckpointDeps, options = CHECKPOINT_DEFAULTS) {
    this.#savedSeq = savedSeq;
    this.#deps = deps;
    this.#options = options;
  }

  /** Log seq up to which account state and cursors are in the store. */
  get savedSeq(): number {
    return this.#savedSeq;
  }

  /** Milliseconds since a checkpoint last ended well. */
  ageMs(): number {
    return this.#loop?.successAgeMs() ?? 0;
  }

  start(): void {
    const { clock, logger, metrics } = this.#deps;
    this.#loop = supervise('checkpoint', clock, logger, (signal) => this.#pass(signal), {
      periodMs: this.#options.periodMs,
      onBeat: () => {
        const nowSeconds = clock.epochMs() / SECOND_MS;
        metrics.set('relay_loop_success_timestamp_seconds:checkpoint', nowSeconds);
      },
      onFailure: () => {
        metrics.add('relay_loop_failures_total:checkpoint');
        metrics.add('relay_store_checkpoints_total:error');
      },
    });
  }

  /**
   * Ends the loop and makes a last checkpoint, for which routing must have stopped. False when it
   * could not be made in `deadlineMs`: the cursors in the store are then older, never wrong.
   */
  async stop(deadlineMs: number): Promise<boolean> {
    const { clock, logger } = this.#deps;
    const deadline = new AbortController();
    const timer = clock.after(deadlineMs, () => deadline.abort());
    const last = this.#last(deadline.signal).catch((error: unknown) => {
      if (error instanceof AssertionFailed) throw error;
      logger.warn({ error }, 'last checkpoint failed');
      return false;
    });
    const isSaved = await Promise.race([last, aborted(deadline.signal)]);
    timer.cancel();
    if (!isSaved) this.#deps.metrics.add('relay_store_checkpoints_total:timeout');
    return isSaved;
  }

  async #last(signal: AbortSignal): Promise<boolean> {
    await this.#loop?.stop();
    // First what was under way, then the rest. Nothing is routed any more: a note that is taken
    // once all shards are done has the very last durable seq.
    if (this.#note !== undefined && !(await this.#insist(this.#note, signal))) return false;
    if (!(await this.#waitFor(this.#routed(), signal))) return false;
    return this.#insist(this.#takeNote(), signal);
  }

  /** The loop has ended: nobody else tries a failed save again. */
  async #insist(note: Note, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      try {
        return await this.#finish(note, signal);
      } catch (error) {
        if (error instanceof AssertionFailed || signal.aborted) throw error;
        if (error instanceof RelayFault && !error.isRetryable) throw error;
        this.#deps.metrics.add('relay_store_checkpoints_total:error');
        await this.#deps.clock.sleep(LAST_RETRY_MS, signal);
      }
    }
  }

  async #pass(signal: AbortSignal): Promise<void> {
    this.#note ??= this.#takeNote();
    await this.#finish(this.#note, signal);
  }

  /** Reads everything in one turn: no frame can be routed between two of these lines. */
  #takeNote(): Note {
    const { source } = this.#deps;
    const routed = this.#routed();
    return { cursors: source.takeChanged(), routed, seq: source.durableSeq() };
  }

  #routed(): number[] {
    const { source } = this.#deps;
    return Array.from({ length: source.shardCount }, (_, shard) => source.routedNo(shard));
  }

  /** Waits for the barrier and saves; false when the signal came first (the note is kept). */
  async #finish(note: Note, signal: AbortSignal): Promise<boolean> {
    this.#note = note;
    if (!(await this.#waitFor(note.routed, signal))) return false;
    if (note.cursors.length > 0 || note.seq !== this.#savedSeq) {
      await this.#deps.save(note.cursors, note.seq);
      this.#savedSeq = note.seq;
      this.#deps.metrics.set('relay_store_checkpoint_seq', note.seq);
      this.#deps.metrics.add('relay_store_checkpoints_total:ok');
    }
    this.#note = undefined;
    return true;
  }

  /** True once every shard has completed what was routed to it; false when the signal came. */
  async #waitFor(routed: readonly number[], signal: AbortSignal): Promise<boolean> {
    const { clock, source } = this.#deps;
    const isPassed = (routedNo: number, shard: number): boolean =>
      distance(source.completedNo(shard), routedNo) >= 0;
    while (!routed.every(isPassed)) {
      if (signal.aborted) return false;
      await clock.sleep(this.#options.pollMs, signal);
    }
    return true;
  }
}

function aborted(signal: AbortSignal): Promise<false> {
  const { promise, resolve } = Promise.withResolvers<false>();
  signal.addEventListener('abort', () => resolve(false), { once: true });
  return promise;
}
