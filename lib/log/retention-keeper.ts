/**
 * Lets the pure rule of retention.ts decide now and then, and moves the `oldestSeq` word. Main
 * unlinks what lies below it (unlink.ts): `persist` never waits for that.
 * @thread persist
 */
import type { Clock } from '../base/clock.ts';
import { SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { WideReader, WideWriter } from '../shared/position.ts';
import type { Words } from '../shared/regions.ts';
import { decideRetention, type RetentionDecision, type RetentionPolicy } from './retention.ts';
import type { LogWriter } from './writer.ts';

const PASS_MS = 10 * SECOND_MS;
/** Time enough for main to remove what was given up before, and for the writer to try again. */
const EMERGENCY_PASS_MS = 3 * SECOND_MS;

export type RetentionKeeperParts = {
  readonly log: LogWriter;
  readonly words: Words;
  readonly metrics: MetricWriter;
  readonly clock: Clock;
  readonly logger: Logger;
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
  poll(nowMs: number, isDiskFull: boolean): number {
    const elapsedMs = this.#lastPassMs === undefined ? 0 : nowMs - this.#lastPassMs;
    const { retention } = this.#parts;
    const passMs = isDiskFull && retention.isEarlyWhenFull ? EMERGENCY_PASS_MS : PASS_MS;
    if (this.#lastPassMs !== undefined && elapsedMs < passMs) return 0;
    this.#lastPassMs = nowMs;
    const { log, clock } = this.#parts;
    const decision = decideRetention(retention, {
      sealed: log.sealed,
      activeBytes: log.byteEnd,
      checkpointSeq: this.#checkpoint.observe(),
      epochMs: clock.epochMs(),
      elapsedMs,
      cutoffMs: this.#cutoffMs,
      isDiskFull,
    });
    this.#cutoffMs = decision.cutoffMs;
    log.dropOldest(decision.removeCount);
    this.publish();
    if (decision.earlyCount > 0) this.#tellEmergency(decision);
    return decision.removeCount;
  }

  /** What an operator asked for, and what it costs, each time. */
  #tellEmergency(decision: RetentionDecision): void {
    const { log, logger, metrics } = this.#parts;
    metrics.add('relay_log_emergency_segments_total', decision.earlyCount);
    const fields = {
      segments_given_up: decision.removeCount,
      bytes_given_up: decision.removedBytes,
      active_bytes: log.byteEnd,
      oldest_seq: log.oldestSeq,
    };
    logger.warn(fields, 'disk full: a segment inside the replay window is given up');
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
