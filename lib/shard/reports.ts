/**
 * The way back to main: which frames were rejected, and why, and what hosts cost. Never waits: a
 * full ring drops a reject's report and counts it (the reject itself is counted in any case), and
 * sums of a host stay with the caller until there is room.
 * @thread verify
 */
import { RingProducer } from '../ring/producer.ts';
import {
  type RejectReport,
  type Report,
  reportBytes,
  type UsageReport,
  writeReport,
} from '../ring/report-record.ts';
import type { Bell } from '../shared/bell.ts';
import type { SharedMemory } from '../shared/memory.ts';

export class Reports {
  readonly #ring: RingProducer;
  readonly #mainBell: Bell;
  readonly #onDropped: () => void;

  constructor(memory: SharedMemory, mainBell: Bell, onDropped: () => void) {
    this.#ring = new RingProducer(memory);
    this.#mainBell = mainBell;
    this.#onDropped = onDropped;
  }

  reject(report: RejectReport): void {
    if (!this.#offer(report)) this.#onDropped();
  }

  /** False when there is no room now. */
  offerUsage(report: UsageReport): boolean {
    return this.#offer(report);
  }

  #offer(report: Report): boolean {
    const at = this.#ring.claim(reportBytes(report));
    if (at < 0) return false;
    writeReport(this.#ring.bytes, at, report);
    this.#ring.commit();
    this.#mainBell.ring();
    return true;
  }
}
