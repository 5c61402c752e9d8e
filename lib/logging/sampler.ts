/**
 * Keeps a repeated warning from filling the log (C13): per key the first line at once, then one
 * per period with the count of those left out. Bounded: the oldest keys are forgotten.
 * @thread any
 */
import type { Clock } from '../base/clock.ts';
import { MINUTE_MS } from '../base/units.ts';

type Entry = { loggedMs: number; suppressed: number };

export class LogSampler {
  readonly #clock: Clock;
  readonly #periodMs: number;
  readonly #keysMax: number;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock, periodMs = MINUTE_MS, keysMax = 1024) {
    this.#clock = clock;
    this.#periodMs = periodMs;
    this.#keysMax = keysMax;
  }

  /** -1: leave this one out. Otherwise log it; the number tells how many were left out before. */
  admit(key: string): number {
    const nowMs = this.#clock.monoMs();
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#makeRoom();
      this.#entries.set(key, { loggedMs: nowMs, suppressed: 0 });
      return 0;
    }
    if (nowMs - entry.loggedMs < this.#periodMs) {
      entry.suppressed++;
      return -1;
    }
    const suppressed = entry.suppressed;
    this.#entries.delete(key);
    this.#entries.set(key, { loggedMs: nowMs, suppressed: 0 });
    return suppressed;
  }

  #makeRoom(): void {
    if (this.#entries.size < this.#keysMax) return;
    const oldest = this.#entries.keys().next();
    if (oldest.done !== true) this.#entries.delete(oldest.value);
  }
}
