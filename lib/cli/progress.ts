/**
 * One live line on standard error for long work: a bar on a terminal, nothing elsewhere, so that
 * output which is piped or kept stays clean.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { MiB, SECOND_MS } from '../base/units.ts';

const REDRAW_MS = 100;
const BAR_CHARS = 30;

export class Progress {
  readonly #clock: Clock;
  readonly #out: NodeJS.WriteStream;
  readonly #bytesTotal: number;
  readonly #startMs: number;
  #drawnMs = 0;

  constructor(clock: Clock, out: NodeJS.WriteStream, bytesTotal: number) {
    this.#clock = clock;
    this.#out = out;
    this.#bytesTotal = bytesTotal;
    this.#startMs = clock.monoMs();
  }

  /** Draws the state, at most ten times a second. */
  show(bytesDone: number, label: string): void {
    const nowMs = this.#clock.monoMs();
    if (!this.#out.isTTY || nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    const part = this.#bytesTotal === 0 ? 1 : Math.min(1, bytesDone / this.#bytesTotal);
    const bar = '█'.repeat(Math.round(part * BAR_CHARS)).padEnd(BAR_CHARS, '░');
    const bytesPerSecond = (bytesDone / Math.max(1, nowMs - this.#startMs)) * SECOND_MS;
    const rate = `${(bytesPerSecond / MiB).toFixed(0)} MiB/s`;
    this.#out.write(`\r\x1b[2K${bar} ${(part * 100).toFixed(0).padStart(3)} %  ${rate}  ${label}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#out.isTTY) this.#out.write('\r\x1b[2K');
  }
}
