/**
 * A token bucket per client address, in bounded memory: the address that has been quiet longest
 * is forgotten first, and a forgotten address starts with a full bucket. Time comes from a Clock.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { SECOND_MS } from '../base/units.ts';

export type BudgetOptions = {
  /** Tokens that come back per second. */
  readonly perSecond: number;
  /** Tokens a bucket holds. */
  readonly burst: number;
  /** Addresses remembered. */
  readonly addressesMax?: number;
};

type Bucket = { tokens: number; filledMs: number };

const ADDRESSES_MAX = 50_000;

export class AddressBudget {
  readonly #clock: Clock;
  readonly #options: BudgetOptions;
  /** In order of last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, options: BudgetOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** Takes one token. 0: taken; otherwise whole seconds until there is one again (Retry-After). */
  take(key: string): number {
    const bucket = this.#bucketOf(key);
    if (bucket.tokens < 1) {
      return Math.max(1, Math.ceil((1 - bucket.tokens) / this.#options.perSecond));
    }
    bucket.tokens -= 1;
    return 0;
  }

  /** Addresses remembered now. */
  get size(): number {
    return this.#buckets.size;
  }

  #bucketOf(key: string): Bucket {
    const nowMs = this.#clock.monoMs();
    const { perSecond, burst, addressesMax = ADDRESSES_MAX } = this.#options;
    const known = this.#buckets.get(key);
    if (known !== undefined) {
      const gained = ((nowMs - known.filledMs) / SECOND_MS) * perSecond;
      known.tokens = Math.min(burst, known.tokens + gained);
      known.filledMs = nowMs;
      this.#buckets.delete(key);
      this.#buckets.set(key, known);
      return known;
    }
    if (this.#buckets.size >= addressesMax) {
      const oldest = this.#buckets.keys().next();
      if (oldest.done !== true) this.#buckets.delete(oldest.value);
    }
    const fresh = { tokens: burst, filledMs: nowMs };
    this.#buckets.set(key, fresh);
    return fresh;
  }
}
