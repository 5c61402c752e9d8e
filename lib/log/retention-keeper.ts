/**
 * Lets the pure rule of retention.ts decide now and then, and moves the `oldestSeq` word. Main
 * unlinks what lies below it (unlink.ts): `persist` never waits for that.
 * @thread persist
 */
import type { Clock } from '../base/clock.ts';
import { SECOND_MS } from '../base/units.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { WideReader, WideWriter } from '../shared/position.ts';
import type { Words } from '../shared/regions.ts';
import { decideRetention, type RetentionPolicy } from './retention.ts';
import type { LogWriter } from './writer.ts';

const PASS_MS = 10 * SECOND_MS;

export type RetentionKeeperParts = {
  readonly log: LogWriter;
  readonly words: Words;
  readonly metrics: MetricWriter;
  readonly clock: Clock;
  readonly retention: RetentionPolicy;
};

export class RetentionKeeper {
  readonly #parts: RetentionKeeperParts;
  readonly #oldest: WideWriter;
  readonly #checkpoint: WideReader;
  #cutoffMs: number | undefined;
  #lastPassMs: number | undefined;

  constructor(parts: RetentionKeeperParts) {
    this.#parts = parts;
    this.#oldest = parts.words.wideWriter('oldestSeq');
    this.#checkpoint = parts.words.wideReader('checkpointSeq');
  }

  /** A pass if one is due; returns how many segments were given up. */
  poll(nowMs: number): number {
    const elapsedMs = this.#lastPassMs === undefined ? 0 : nowMs - this.#lastPassMs;
    if (this.#lastPassMs !== undefined && elapsedMs < PASS_MS) return 0;
    this.#lastPassMs = nowMs;
    const { log, clock, retention } = this.#parts;
    const decision = decideRetention(retention, {
      sealed: log.sealed,
      activeBytes: log.byteEnd,
      checkpointSeq: this.#checkpoint.observe(),
      epochMs: clock.epochMs(),
      elapsedMs,
      cutoffMs: this.#cutoffMs,
    });
    this.#cutoffMs = decision.cutoffMs;
    log.dropOldest(decision.removeCount);
    this.publish();
    return decision.removeCount;
  }

  /** Shows where the log begins now. */
  publish(): void {
    const { log, metrics, clock } = this.#parts;
    this.#oldest.publish(log.oldestSeq);
    const oldestMs = log.sealed[0]?.newestMs ?? clock.epochMs();
    metrics.set('relay_log_oldest_seq', log.oldestSeq);
    metrics.set('relay_log_oldest_age_seconds', (clock.epochMs() - oldestMs) / SECOND_MS);
    metrics.set('relay_log_retained_bytes', log.retainedBytes);
    metrics.set('relay_log_segments_count', log.sealed.length + 1);
  }
}
