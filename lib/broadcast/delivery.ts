/**
 * How long a frame takes from its arrival to the sockets of consumers: once a second, for the last
 * frame of a round. When it arrived stands in the log's table, not in the tail, so it is read from
 * there, after the fact and off the path of the frames.
 * @thread main
 */
import { AssertionFailed } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { KiB, SECOND_MS } from '../base/units.ts';
import { RECORD_BYTES, RecordRow } from '../log/descriptor.ts';
import type { LogReader } from '../log/reader.ts';
import type { MetricWriter } from '../metrics/slots.ts';

export type ArrivalSource = {
  /** Wall-clock time at which the first event from `seq` on came to us; undefined: none has. */
  arrivalMs(seq: number): Promise<number | undefined>;
};

const SAMPLE_MS = SECOND_MS;
const READ_BYTES = 64 * KiB;

export class DeliverySampler {
  readonly #arrivals: ArrivalSource;
  readonly #clock: Clock;
  readonly #metrics: MetricWriter;
  #nextMs = 0;
  #isReading = false;

  constructor(arrivals: ArrivalSource, clock: Clock, metrics: MetricWriter) {
    this.#arrivals = arrivals;
    this.#clock = clock;
    this.#metrics = metrics;
  }

  /** `seq` has just been handed to every consumer that keeps up. */
  onDelivered(seq: number, nowMs: number): void {
    if (nowMs < this.#nextMs || this.#isReading) return;
    this.#nextMs = nowMs + SAMPLE_MS;
    this.#isReading = true;
    void this.#sample(seq, this.#clock.epochMs());
  }

  async #sample(seq: number, deliveredMs: number): Promise<void> {
    try {
      const arrivalMs = await this.#arrivals.arrivalMs(seq);
      if (arrivalMs === undefined) return;
      // The wall clock may have been set back in between.
      const seconds = Math.max(0, deliveredMs - arrivalMs) / SECOND_MS;
      this.#metrics.observe('relay_broadcast_delivery_seconds', seconds);
    } catch (error) {
      // A sample less. Whoever needs the log finds out what is wrong with it.
      if (error instanceof AssertionFailed) throw error;
    } finally {
      this.#isReading = false;
    }
  }
}

/** Arrival times as the log has them. */
export function logArrivals(reader: LogReader): ArrivalSource {
  return {
    async arrivalMs(seq) {
      const position = await reader.locate(seq - 1);
      if (position === undefined) return undefined;
      const raw = await reader.readRaw(position, READ_BYTES);
      if (raw.kind !== 'raw') return undefined;
      for (const span of raw.spans) {
        if (seq >= span.firstSeq + span.count) continue;
        const row = new RecordRow();
        // Below it where numbers jump, or where retention has passed the one that was asked for.
        const index = Math.max(0, seq - span.firstSeq);
        row.read(raw.piece, span.rowsAt + index * RECORD_BYTES);
        return row.arrivalMs;
      }
      return undefined;
    },
  };
}
