/**
 * What each host may make us ask of others or of itself (LM-11, H150): a token bucket per host,
 * so that one host's frames cannot use up what all hosts share. Pure but for its own map, which is
 * bounded: a bucket that is full again says nothing and goes first, then the oldest.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import type { MonoMs } from '../base/units.ts';

export type HostBudgetOptions = {
  readonly burst: number;
  /** Time after which one more may be asked. */
  readonly tokenMs: number;
  readonly hostsMax: number;
};

type Bucket = { tokens: number; filledMs: number };

export class HostBudget {
  readonly #options: HostBudgetOptions;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: HostBudgetOptions) {
    assert(options.burst >= 1 && options.tokenMs > 0 && options.hostsMax >= 1, 'host budget');
    this.#options = options;
  }

  /** Hosts that are remembered. */
  get hostCount(): number {
    return this.#buckets.size;
  }

  /** Takes one question out of the host's budget; false when there is none left. */
  take(host: string, nowMs: MonoMs): boolean {
    const bucket = this.#bucketOf(host, nowMs);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #bucketOf(host: string, nowMs: MonoMs): Bucket {
    const { burst, tokenMs, hostsMax } = this.#options;
    const known = this.#buckets.get(host);
    if (known !== undefined) {
      this.#buckets.delete(host);
      this.#buckets.set(host, known);
      known.tokens = Math.min(burst, known.tokens + (nowMs - known.filledMs) / tokenMs);
      known.filledMs = nowMs;
      return known;
    }
    if (this.#buckets.size >= hostsMax) this.#makeRoom(nowMs);
    const bucket = { tokens: burst, filledMs: nowMs };
    this.#buckets.set(host, bucket);
    return bucket;
  }

  /** From the least lately used on: all that are full again; the first one in any case. */
  #makeRoom(nowMs: MonoMs): void {
    const { burst, tokenMs } = this.#options;
    let isFirst = true;
    for (const [host, { tokens, filledMs }] of this.#buckets) {
      const isFull = tokens + (nowMs - filledMs) / tokenMs >= burst;
      if (!isFirst && !isFull) return;
      isFirst = false;
      this.#buckets.delete(host);
    }
  }
}
