/**
 * Health per origin (D23): after failures in a row an origin is left alone for a while, then one
 * request may try it; a Retry-After is a pause of the same kind. Pure bookkeeping over times that
 * the caller gives; bounded, the origin that failed longest ago is forgotten first.
 *
 *   good --failuresMax in a row, or Retry-After--> paused --time--> probing (one request)
 *    ^                                               ^                 |      |
 *    |                                               +--- failure -----+      |
 *    +------------------------------- success --------------------------------+
 * @thread any
 */
import { backoffDelayMs } from '../base/backoff.ts';
import type { Prng } from '../base/prng.ts';
import type { MonoMs } from '../base/units.ts';

export type OriginHealthOptions = {
  /** Failures in a row after which the origin is paused. */
  readonly failuresMax: number;
  readonly pauseMsMin: number;
  readonly pauseMsMax: number;
  readonly originsMax: number;
  readonly prng: Prng;
};

/** Leave to ask an origin; `waitMs` > 0 means not now. A permit with 0 must be given back. */
export type Permit = { readonly waitMs: number; readonly isProbe: boolean };

export type RequestEnd = {
  /** The origin answered and is well, whatever the answer was. */
  readonly isGood: boolean;
  /** The origin asked for a pause. */
  readonly retryAfterMs: number | undefined;
};

type Health = {
  failures: number;
  /** Pauses in a row; with one or more, what comes after the pause is a probe. */
  pauses: number;
  untilMs: number;
  isProbing: boolean;
};

/** Jitter on top of a Retry-After, so that not everybody comes back at once (B10). */
const JITTER_MS_MAX = 2000;

export class OriginHealth {
  readonly #options: OriginHealthOptions;
  readonly #origins = new Map<string, Health>();

  constructor(options: OriginHealthOptions) {
    this.#options = options;
  }

  /** Milliseconds for which `origin` is to be left alone; 0 when it may be asked. */
  waitMs(origin: string, nowMs: MonoMs): number {
    const health = this.#origins.get(origin);
    if (health === undefined) return 0;
    if (health.untilMs > nowMs) return health.untilMs - nowMs;
    return health.isProbing ? this.#options.pauseMsMin : 0;
  }

  begin(origin: string, nowMs: MonoMs): Permit {
    const waitMs = this.waitMs(origin, nowMs);
    const health = this.#origins.get(origin);
    if (waitMs > 0 || health === undefined) return { waitMs, isProbe: false };
    const isProbe = health.pauses > 0;
    health.isProbing = isProbe;
    return { waitMs: 0, isProbe };
  }

  /** Gives a permit back with what came of it; true when a pause begins with it. */
  end(origin: string, permit: Permit, result: RequestEnd, nowMs: MonoMs): boolean {
    const known = this.#origins.get(origin);
    if (known !== undefined && permit.isProbe) known.isProbing = false;
    const isPaused = known !== undefined && known.untilMs > nowMs;
    if (result.isGood && result.retryAfterMs === undefined) {
      // A late answer to an earlier request does not end a pause.
      if (!isPaused) this.#origins.delete(origin);
      return false;
    }
    const health = known ?? { failures: 0, pauses: 0, untilMs: -Infinity, isProbing: false };
    health.failures++;
    this.#keep(origin, health);
    const pauseMs = this.#pauseMs(health, permit, result.retryAfterMs, isPaused);
    if (pauseMs <= 0) return false;
    health.pauses++;
    health.untilMs = Math.max(health.untilMs, nowMs + pauseMs);
    return !isPaused;
  }

  /** Gives a permit back that was not used, or whose request was cut off by ourselves. */
  cancel(origin: string, permit: Permit): void {
    const health = this.#origins.get(origin);
    if (health !== undefined && permit.isProbe) health.isProbing = false;
  }

  /** Origins remembered because of a failure. */
  get count(): number {
    return this.#origins.size;
  }

  #pauseMs(
    health: Health,
    permit: Permit,
    retryAfterMs: number | undefined,
    isPaused: boolean,
  ): number {
    const { failuresMax, pauseMsMin, pauseMsMax, prng } = this.#options;
    if (retryAfterMs !== undefined) return retryAfterMs + prng.nextFloat() * JITTER_MS_MAX;
    // Requests that were under way when the pause began do not make it longer.
    if (isPaused || (health.failures < failuresMax && !permit.isProbe)) return 0;
    return backoffDelayMs({ delayMsMin: pauseMsMin, delayMsMax: pauseMsMax }, health.pauses, prng);
  }

  #keep(origin: string, health: Health): void {
    this.#origins.delete(origin);
    this.#origins.set(origin, health);
    if (this.#origins.size <= this.#options.originsMax) return;
    const oldest = this.#origins.keys().next();
    if (oldest.done !== true) this.#origins.delete(oldest.value);
  }
}
