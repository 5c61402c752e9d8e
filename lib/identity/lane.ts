/**
 * Bounds what is asked of a directory: so many requests at once, so many per second, so many that
 * wait. First come, first served. did:plc and did:web have a lane each, so that slow web hosts of a
 * stranger cannot hold up the directory. Owns a timer while somebody waits for the rate.
 * @thread main|verify
 */
import { assert } from '../base/assert.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { SECOND_MS } from '../base/units.ts';

export type LaneOptions = {
  readonly concurrencyMax: number;
  /** Callers that wait; one more is turned away. */
  readonly queueMax: number;
  readonly ratePerSecond: number;
  /** Requests that may go at once after a quiet time. */
  readonly burst: number;
};

export type Turn = 'go' | 'full' | 'closed';
type Waiter = (turn: Turn) => void;

export class Lane {
  readonly #options: LaneOptions;
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter>();
  #activeCount = 0;
  #tokens: number;
  #filledMs: number;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: LaneOptions, clock: Clock) {
    assert(options.concurrencyMax >= 1 && options.burst >= 1, 'a lane must let something pass');
    assert(options.ratePerSecond > 0, 'a lane must have a rate');
    this.#options = options;
    this.#clock = clock;
    this.#tokens = options.burst;
    this.#filledMs = clock.monoMs();
  }

  get activeCount(): number {
    return this.#activeCount;
  }

  get queuedCount(): number {
    return this.#waiters.size;
  }

  /** Resolves in turn. After `go` the caller must call release(). */
  acquire(): Promise<Turn> {
    if (this.#isClosed) return Promise.resolve('closed');
    if (this.#waiters.size >= this.#options.queueMax) return Promise.resolve('full');
    const { promise, resolve } = Promise.withResolvers<Turn>();
    this.#waiters.add(resolve);
    this.#pump();
    return promise;
  }

  release(): void {
    assert(this.#activeCount > 0, 'released more often than acquired');
    this.#activeCount--;
    this.#pump();
  }

  /** A further request within a turn: true when the rate has room for it now. */
  tryRetry(): boolean {
    this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Turns all waiters away. Those who have their turn still release. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const waiter of this.#waiters) waiter('closed');
    this.#waiters.clear();
  }

  #pump(): void {
    this.#refill();
    for (const waiter of this.#waiters) {
      if (this.#activeCount >= this.#options.concurrencyMax) return;
      if (this.#tokens < 1) {
        this.#pumpLater();
        return;
      }
      this.#tokens--;
      this.#activeCount++;
      this.#waiters.delete(waiter);
      waiter('go');
    }
  }

  #pumpLater(): void {
    if (this.#timer !== undefined) return;
    const waitMs = Math.ceil(((1 - this.#tokens) * SECOND_MS) / this.#options.ratePerSecond);
    this.#timer = this.#clock.after(Math.max(1, waitMs), () => {
      this.#timer = undefined;
      this.#pump();
    });
  }

  #refill(): void {
    const nowMs = this.#clock.monoMs();
    const gained = ((nowMs - this.#filledMs) * this.#options.ratePerSecond) / SECOND_MS;
    this.#tokens = Math.min(this.#options.burst, this.#tokens + gained);
    this.#filledMs = nowMs;
  }
}
