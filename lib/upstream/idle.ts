/**
 * One coarse ticker for the timeouts of thousands of subscriptions: start-up jitter, back-off,
 * pings, idle limits. An entry has one due time; a dormant host costs a number here, no timer (D3).
 *
 * The ticker has its own time, which stands still while this thread does: after a suspended
 * machine or a long stall nobody is taken for dead and not everything is due at once. Work per
 * tick is bounded; what is due and does not fit comes first in the next tick.
 * @thread main
 */
import type { Clock, Timer } from '../base/clock.ts';
import { SECOND_MS } from '../base/units.ts';

export interface Ticked {
  /** In ticker time; `Infinity` for never. */
  readonly dueMs: number;
  /** Runs once the due time has passed; must move `dueMs`, or it runs again at the next tick. */
  onDue(nowMs: number): void;
}

export type TickerOptions = {
  readonly periodMs: number;
  /** Entries that may run in one tick. */
  readonly duePerTickMax: number;
};

/** A tick that comes later than this counts as this much. */
const STEP_MS_MAX = SECOND_MS;

export class Ticker {
  readonly #clock: Clock;
  readonly #duePerTickMax: number;
  readonly #timer: Timer;
  readonly #entries: Ticked[] = [];
  readonly #indexOf = new Map<Ticked, number>();
  readonly #due: Ticked[] = [];
  #scanFrom = 0;
  #nowMs = 0;
  #tickedAtMs: number;

  constructor(clock: Clock, options: TickerOptions) {
    this.#clock = clock;
    this.#duePerTickMax = options.duePerTickMax;
    this.#tickedAtMs = clock.monoMs();
    this.#timer = clock.every(options.periodMs, () => this.#tick());
  }

  /** Ticker time, as of the last tick. Only for due times of this ticker. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get entryCount(): number {
    return this.#entries.length;
  }

  add(entry: Ticked): void {
    if (this.#indexOf.has(entry)) return;
    this.#indexOf.set(entry, this.#entries.length);
    this.#entries.push(entry);
  }

  remove(entry: Ticked): void {
    const index = this.#indexOf.get(entry);
    const last = this.#entries.pop();
    if (index === undefined || last === undefined) {
      if (last !== undefined) this.#entries.push(last);
      return;
    }
    this.#indexOf.delete(entry);
    if (last === entry) return;
    this.#entries[index] = last;
    this.#indexOf.set(last, index);
  }

  stop(): void {
    this.#timer.cancel();
  }

  #tick(): void {
    const atMs = this.#clock.monoMs();
    this.#nowMs += Math.min(STEP_MS_MAX, Math.max(0, atMs - this.#tickedAtMs));
    this.#tickedAtMs = atMs;
    this.#collect();
    for (const entry of this.#due) {
      // An earlier one of this tick may have removed or postponed it.
      if (this.#indexOf.has(entry) && entry.dueMs <= this.#nowMs) entry.onDue(this.#nowMs);
    }
    this.#due.length = 0;
  }

  /** Fills `#due`, starting where the last tick had to stop. */
  #collect(): void {
    const count = this.#entries.length;
    for (let step = 0; step < count; step++) {
      const index = (this.#scanFrom + step) % count;
      const entry = this.#entries[index];
      if (entry === undefined || entry.dueMs > this.#nowMs) continue;
      this.#due.push(entry);
      if (this.#due.length < this.#duePerTickMax) continue;
      this.#scanFrom = index + 1;
      return;
    }
  }
}
