/**
 * The way back to main: which frames were rejected, and why. Never waits: a full ring drops the
 * report and counts it, the reject itself is counted in any case.
 * @thread verify
 */
import { RingProducer } from '../ring/producer.ts';
import { type Report, reportBytes, writeReport } from '../ring/report-record.ts';
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

  send(report: Report): void {
    const at = this.#ring.claim(reportBytes(report.did));
    if (at < 0) {
      this.#onDropped();
      return;
    }
    writeReport(this.#ring.bytes, at, report);
    this.#ring.commit();
    this.#mainBell.ring();
  }
}
