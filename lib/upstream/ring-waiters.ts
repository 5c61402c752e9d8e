/**
 * Hosts that are paused because a ring was full. They go on one after another, in the order in
 * which they were paused, once the rings are half empty: all at once they would fill them again
 * and the same few would always come first. Has a timer only while somebody waits.
 * @thread main
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { FrameSink } from './sink.ts';

export interface RingWaiter {
  /** Offers the parked frames again; may add itself anew. */
  onRingSpace(): void;
}

export type RingWaitersOptions = {
  readonly pollMs: number;
  /** Hosts that may go on in one poll: a bound on the work of one turn. */
  readonly perPollMax: number;
};

export class RingWaiters {
  readonly #clock: Clock;
  readonly #sink: FrameSink;
  readonly #options: RingWaitersOptions;
  /** In order of pausing. */
  readonly #waiting = new Set<RingWaiter>();
  #timer: Timer | undefined;

  constructor(clock: Clock, sink: FrameSink, options: RingWaitersOptions) {
    this.#clock = clock;
    this.#sink = sink;
    this.#options = options;
  }

  get count(): number {
    return this.#waiting.size;
  }

  add(waiter: RingWaiter): void {
    this.#waiting.add(waiter);
    this.#timer ??= this.#clock.every(this.#options.pollMs, () => this.poll());
  }

  delete(waiter: RingWaiter): void {
    this.#waiting.delete(waiter);
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Also for the owner of the rings, when it sees room before the timer does. */
  poll(): void {
    for (let turn = 0; turn < this.#options.perPollMax; turn++) {
      const next = this.#waiting.values().next();
      if (next.done === true || !this.#sink.isHalfEmpty()) return;
      this.delete(next.value);
      next.value.onRingSpace();
    }
  }
}
