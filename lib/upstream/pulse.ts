/**
 * Is the host at the other end still there? A ping every 30 s; two of them with no byte heard in
 * between end the connection (S31: nothing else notices a half-open one). While we do not read the
 * socket we cannot hear, so everything stands still. Beside it the budget for control frames (S28).
 * Pure; the caller brings ticker time and does what it is told.
 * @thread main
 */
import { SECOND_MS } from '../base/units.ts';

export type PulseOptions = {
  readonly pingEveryMs: number;
  /** Pings without a byte heard that end the connection. */
  readonly missedMax: number;
};

export type PulseVerdict = 'wait' | 'ping' | 'dead';

export class Pulse {
  readonly #options: PulseOptions;
  #pingDueMs: number;
  #missed = 0;
  #isHeard = true;
  /** What was left until the next ping when the pause began; -1 while not paused. */
  #leftMs = -1;

  constructor(nowMs: number, options: PulseOptions) {
    this.#options = options;
    this.#pingDueMs = nowMs + options.pingEveryMs;
  }

  /** When poll() has something to say; `Infinity` while paused. */
  get dueMs(): number {
    return this.#leftMs >= 0 ? Number.POSITIVE_INFINITY : this.#pingDueMs;
  }

  /** Bytes arrived: any byte proves the host, not only a pong. */
  hear(): void {
    this.#isHeard = true;
  }

  pause(nowMs: number): void {
    if (this.#leftMs < 0) this.#leftMs = Math.max(0, this.#pingDueMs - nowMs);
  }

  resume(nowMs: number): void {
    if (this.#leftMs < 0) return;
    this.#pingDueMs = nowMs + this.#leftMs;
    this.#leftMs = -1;
  }

  poll(nowMs: number): PulseVerdict {
    if (nowMs < this.dueMs) return 'wait';
    this.#missed = this.#isHeard ? 0 : this.#missed + 1;
    if (this.#missed >= this.#options.missedMax) return 'dead';
    this.#isHeard = false;
    this.#pingDueMs = nowMs + this.#options.pingEveryMs;
    return 'ping';
  }
}

/** Pings a host may send us: so many a second, and what collected while we did not read. */
export class ControlBudget {
  readonly #perSecond: number;
  #tokens: number;
  #filledMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#filledMs = nowMs;
  }

  /** Counts one ping or pong that arrived; false when it is one too many. `nowMs` is monotonic. */
  take(nowMs: number): boolean {
    const gained = ((nowMs - this.#filledMs) / SECOND_MS) * this.#perSecond;
    this.#filledMs = nowMs;
    this.#tokens = Math.max(this.#tokens, Math.min(this.#perSecond, this.#tokens + gained));
    this.#tokens--;
    return this.#tokens >= 0;
  }

  /** For `unreadMs` the socket was not read: what was sent meanwhile comes at once now. */
  grant(unreadMs: number): void {
    this.#tokens += (unreadMs / SECOND_MS) * this.#perSecond;
  }
}
