/**
 * How far consumers are behind in time: for how long the next event that one gets has been here.
 * When it arrived stands in the log's table, so it is read from there, now and then, off the path
 * of the frames. Wall-clock time, as stored.
 * @thread main
 */
import { AssertionFailed } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { SECOND_MS } from '../base/units.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { ArrivalSource } from './delivery.ts';

export class LagMeter {
  readonly #arrivals: ArrivalSource | undefined;
  readonly #clock: Clock;
  readonly #metrics: MetricWriter;
  #isReading = false;

  constructor(arrivals: ArrivalSource | undefined, clock: Clock, metrics: MetricWriter) {
    this.#arrivals = arrivals;
    this.#clock = clock;
    this.#metrics = metrics;
  }

  /** Seconds behind of one that stands at `seq`: 0 at the head, undefined where nobody can tell. */
  async secondsBehind(seq: number, headSeq: number): Promise<number | undefined> {
    if (seq >= headSeq) return 0;
    try {
      const arrivalMs = await this.#arrivals?.arrivalMs(seq + 1);
      if (arrivalMs === undefined) return undefined;
      return Math.max(0, this.#clock.epochMs() - arrivalMs) / SECOND_MS;
    } catch (error) {
      // Whoever needs the log finds out what is wrong with it.
      if (error instanceof AssertionFailed) throw error;
      return undefined;
    }
  }

  /** `seq` is where the slowest consumer stands. One look at a time. */
  note(seq: number, headSeq: number): void {
    if (this.#isReading) return;
    this.#isReading = true;
    void this.#measure(seq, headSeq);
  }

  async #measure(seq: number, headSeq: number): Promise<void> {
    const seconds = await this.secondsBehind(seq, headSeq);
    if (seconds !== undefined) this.#metrics.set('relay_broadcast_lag_seconds_max', seconds);
    this.#isReading = false;
  }
}
