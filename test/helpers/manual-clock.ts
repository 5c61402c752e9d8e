/** A clock that stands still until a test moves it. */
import { type Clock, nextTurn, type Timer } from '../../lib/base/clock.ts';
import { type EpochMs, type MonoMs, toEpochMs, toMonoMs } from '../../lib/base/units.ts';

type Waiter = { dueMs: number; periodMs: number; callback: () => void };

export class ManualClock implements Clock {
  #monoMs: number;
  #epochMs: number;
  readonly #waiters = new Set<Waiter>();

  constructor(monoMs = 1000, epochMs = Date.UTC(2026, 0, 1)) {
    this.#monoMs = monoMs;
    this.#epochMs = epochMs;
  }

  monoMs(): MonoMs {
    return toMonoMs(this.#monoMs);
  }

  epochMs(): EpochMs {
    return toEpochMs(this.#epochMs);
  }

  /** Moves the wall clock alone, as an administrator does (G21). */
  jumpWall(byMs: number): void {
    this.#epochMs += byMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    return this.#wait({ dueMs: this.#monoMs + delayMs, periodMs: 0, callback });
  }

  every(periodMs: number, callback: () => void): Timer {
    return this.#wait({ dueMs: this.#monoMs + periodMs, periodMs, callback });
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.after(delayMs, resolve);
    signal?.addEventListener(
      'abort',
      () => {
        timer.cancel();
        resolve();
      },
      { once: true },
    );
    return promise;
  }

  /** Timers and sleeps that wait. */
  waiterCount(): number {
    return this.#waiters.size;
  }

  /** Moves on, running what falls due on the way; between two of them promises get their turn. */
  async advance(byMs: number): Promise<void> {
    const endMs = this.#monoMs + byMs;
    await nextTurn();
    for (let next = this.#nextDue(endMs); next !== undefined; next = this.#nextDue(endMs)) {
      this.#moveTo(Math.max(next.dueMs, this.#monoMs));
      if (next.periodMs > 0) next.dueMs += next.periodMs;
      else this.#waiters.delete(next);
      next.callback();
      await nextTurn();
    }
    this.#moveTo(endMs);
  }

  #nextDue(endMs: number): Waiter | undefined {
    const due = [...this.#waiters].filter((waiter) => waiter.dueMs <= endMs);
    return due.sort((a, b) => a.dueMs - b.dueMs)[0];
  }

  #moveTo(monoMs: number): void {
    this.#epochMs += monoMs - this.#monoMs;
    this.#monoMs = monoMs;
  }

  #wait(waiter: Waiter): Timer {
    this.#waiters.add(waiter);
    return { cancel: () => this.#waiters.delete(waiter) };
  }
}
