/**
 * How long deliveries took, in bounded memory: counts in buckets that grow by 2 %, so a quantile
 * is off by at most that much.
 */
const GROWTH = Math.log(1.02);
const MS_MIN = 0.01;
const BUCKETS_MAX = 1000;

export class Latencies {
  readonly #counts = new Float64Array(BUCKETS_MAX);
  #count = 0;

  add(ms: number): void {
    const bucket = Math.ceil(Math.log(Math.max(ms, MS_MIN) / MS_MIN) / GROWTH);
    const index = Math.min(bucket, BUCKETS_MAX - 1);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#count += 1;
  }

  /** Milliseconds that a share `quantile` of all stayed below; 0 where there are none. */
  quantile(quantile: number): number {
    let left = quantile * this.#count;
    if (this.#count === 0) return 0;
    const index = this.#counts.findIndex((count) => {
      left -= count;
      return left <= 0;
    });
    return MS_MIN * Math.exp(index * GROWTH);
  }
}
