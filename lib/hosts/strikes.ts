/**
 * Malformed frames of one host: the third within ten minutes closes its connection (design §6).
 * Pure; the caller brings the time. Strikes outlive a connection, so reconnecting forgives nothing.
 * @thread any
 */
import { MINUTE_MS } from '../base/units.ts';

export const STRIKES_MAX = 3;
export const STRIKE_WINDOW_MS = 10 * MINUTE_MS;

export class Strikes {
  /** Monotonic times of the strikes that still count, oldest first; at most STRIKES_MAX. */
  readonly #times: number[] = [];

  /** Notes one strike; true when it closes the connection, and the count starts anew. */
  add(nowMs: number): boolean {
    this.#forget(nowMs);
    this.#times.push(nowMs);
    if (this.#times.length < STRIKES_MAX) return false;
    this.#times.length = 0;
    return true;
  }

  count(nowMs: number): number {
    this.#forget(nowMs);
    return this.#times.length;
  }

  #forget(nowMs: number): void {
    while (nowMs - (this.#times[0] ?? nowMs) >= STRIKE_WINDOW_MS) this.#times.shift();
  }
}
