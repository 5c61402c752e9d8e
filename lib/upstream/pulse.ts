/**
 * Is the host at the other end still there? Silent for 30 s it gets a ping, silent for 75 s, with
 * two pings unanswered, its connection ends (S31: nothing else notices a half-open one). Beside it
 * the time that stands still while a socket is not read, and the budget for control frames (S28).
 * Pure; the caller brings the times and does what it is told.
 * @thread main
 */
import { SECOND_MS } from '../base/units.ts';

/**
 * Time during which a connection was read, for everything that waits for the host: while we do not
 * read we cannot hear, so a pause must not count against it.
 */
export class ReadingTime {
  /** What ticker time is ahead of reading time. */
  #offsetMs: number;
  /** Reading time at which it stands still; -1 while it runs. */
  #stoppedMs = -1;

  constructor(tickerMs: number) {
    this.#offsetMs = tickerMs;
  }

  get isStopped(): boolean {
    return this.#stoppedMs >= 0;
  }

  now(tickerMs: number): number {
    return this.isStopped ? this.#stoppedMs : tickerMs - this.#offsetMs;
  }

  stop(tickerMs: number): void {
    if (!this.isStopped) this.#stoppedMs = this.now(tickerMs);
  }

  run(tickerMs: number): void {
    if (!this.isStopped) return;
    this.#offsetMs = tickerMs - this.#stoppedMs;
    this.#stoppedMs = -1;
  }

  /** The ticker time of a reading time to come; `Infinity` while it stands still. */
  toTicker(readingMs: number): number {
    return this.isStopped ? Number.POSITIVE_INFINITY : readingMs + this.#offsetMs;
  }
}

export type PulseOptions = {
  /** Silence after which the host gets a ping, and each further one. */
  readonly pingMs: number;
  /** Silence that ends the connection. */
  readonly idleMs: number;
};

export type PulseVerdict = 'wait' | 'ping' | 'dead';

/** All times are reading time. */
export class Pulse {
  readonly #options: PulseOptions;
  #heardMs: number;
  #pingedMs: number;

  constructor(nowMs: number, options: PulseOptions) {
    this.#options = options;
    this.#heardMs = nowMs;
    this.#pingedMs = nowMs;
  }

  /** When poll() has something to say. */
  get dueMs(): number {
    const pingMs = Math.max(this.#heardMs, this.#pingedMs) + this.#options.pingMs;
    return Math.min(pingMs, this.#heardMs + this.#options.idleMs);
  }

  /** Bytes arrived: any byte proves the host, not only a pong. */
  hear(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  poll(nowMs: number): PulseVerdict {
    if (nowMs < this.dueMs) return 'wait';
    if (nowMs - this.#heardMs >= this.#options.idleMs) return 'dead';
    this.#pingedMs = nowMs;
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
