/**
 * When to dial a host again: exponential back-off with jitter up to 30 min, for ever (D4). Owns the
 * count of failures. A connection that opened and ended at once is a failure too, so a poison
 * frame cannot make a hot loop (A42). Pure.
 * @thread main
 */
import { backoffDelayMs } from '../base/backoff.ts';
import type { Prng } from '../base/prng.ts';
import { MINUTE_MS, SECOND_MS } from '../base/units.ts';

export type RetryOptions = {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** Failures in a row after which a host counts as offline: four minutes or so. */
  readonly offlineAfterFailures: number;
};

export const RETRY_DEFAULTS: RetryOptions = {
  delayMsMin: SECOND_MS,
  delayMsMax: 30 * MINUTE_MS,
  offlineAfterFailures: 8,
};

/** A connection that lasted this long was good: the next failure is the first again. */
const STABLE_MS = MINUTE_MS;
/** Least wait after an answer that will not change by itself soon (B11). */
const PERMANENT_MS_MIN = 5 * MINUTE_MS;
/** Share added at random to a wait that somebody else chose: `Retry-After: 7` is 7 to 8.75 s. */
const JITTER_MAX = 0.25;

export class Retry {
  readonly #options: RetryOptions;
  readonly #prng: Prng;
  #failures = 0;

  constructor(options: RetryOptions, prng: Prng) {
    this.#options = options;
    this.#prng = prng;
  }

  /** In a row. */
  get failures(): number {
    return this.#failures;
  }

  get isOffline(): boolean {
    return this.#failures >= this.#options.offlineAfterFailures;
  }

  /** Wait after a connection that lasted `openMs`; at its longest where that is asked for. */
  afterEndMs(openMs: number, isLongest: boolean): number {
    if (openMs >= STABLE_MS) this.#failures = 0;
    return Math.max(isLongest ? this.#options.delayMsMax : 0, this.#nextMs());
  }

  /** Wait after a failed attempt. What the host itself asked for is the least. */
  afterFailureMs(failure: {
    readonly isPermanent: boolean;
    readonly retryAfterMs?: number;
  }): number {
    const wishMs = Math.max(failure.isPermanent ? PERMANENT_MS_MIN : 0, failure.retryAfterMs ?? 0);
    const jitter = 1 + JITTER_MAX * this.#prng.nextFloat();
    return Math.max(wishMs * jitter, this.#nextMs());
  }

  #nextMs(): number {
    return backoffDelayMs(this.#options, this.#failures++, this.#prng);
  }
}
