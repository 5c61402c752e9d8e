/**
 * Exponential back-off with jitter, pure: attempt number in, delay out. Never gives up (D4).
 * @thread any
 */
import type { Prng } from './prng.ts';

export type BackoffPolicy = {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
};

/**
 * Delay before attempt `attempt` (0 = the first retry): doubles from `delayMsMin` up to
 * `delayMsMax`; the upper half of it is random so that many waiters spread out (C10).
 */
export function backoffDelayMs(policy: BackoffPolicy, attempt: number, prng: Prng): number {
  const exponent = Math.min(Math.max(attempt, 0), 40);
  const ceilingMs = Math.min(policy.delayMsMax, policy.delayMsMin * 2 ** exponent);
  return Math.round(ceilingMs / 2 + (ceilingMs / 2) * prng.nextFloat());
}
