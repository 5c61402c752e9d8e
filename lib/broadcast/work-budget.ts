/**
 * How much one duty cycle may do before it gives the event loop back: so many milliseconds or
 * bytes, whichever is spent first. Looks at the clock only now and then.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';

const STEPS_PER_LOOK = 8;

export class WorkBudget {
  readonly #clock: Clock;
  readonly #msMax: number;
  readonly #bytesMax: number;
  #bytesLeft = 0;
  #stepsToLook = 0;
  #endMs = 0;

  constructor(clock: Clock, msMax: number, bytesMax: number) {
    this.#clock = clock;
    this.#msMax = msMax;
    this.#bytesMax = bytesMax;
  }

  renew(nowMs: number): void {
    this.#bytesLeft = this.#bytesMax;
    this.#stepsToLook = STEPS_PER_LOOK;
    this.#endMs = nowMs + this.#msMax;
  }

  spend(bytes: number): void {
    this.#bytesLeft -= bytes;
  }

  /** Call once per step; true until the next `renew` once it is spent. */
  isSpent(): boolean {
    if (this.#bytesLeft <= 0) return true;
    if (--this.#stepsToLook > 0) return false;
    this.#stepsToLook = STEPS_PER_LOOK;
    if (this.#clock.monoMs() < this.#endMs) return false;
    this.#bytesLeft = 0;
    return true;
  }
}
