/**
 * The only place that reads a clock or starts a timer. Tests pass a clock of their own.
 * @thread any
 */
import { type EpochMs, type MonoMs, toEpochMs, toMonoMs } from './units.ts';

export type Timer = { cancel(): void };

export interface Clock {
  /** Monotonic: for intervals, deadlines and back-off. A wall-clock jump does not move it (G21). */
  monoMs(): MonoMs;
  /** Wall clock: for rev checks, stored times and logs only. */
  epochMs(): EpochMs;
  /** Calls once after `delayMs`. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
  /** Calls every `periodMs`. Does not keep the process alive unless `isKeepingAlive`. */
  every(periodMs: number, callback: () => void, isKeepingAlive?: boolean): Timer;
  /** Resolves after `delayMs`, or as soon as `signal` aborts. Never rejects. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** setTimeout fires at once for more than 2^31-1 ms (finding C11); longer waits are cut to this. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class SystemClock implements Clock {
  monoMs(): MonoMs {
    return toMonoMs(performance.now());
  }

  epochMs(): EpochMs {
    return toEpochMs(Date.now());
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = setTimeout(callback, Math.min(delayMs, TIMER_MS_MAX));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  every(periodMs: number, callback: () => void, isKeepingAlive = false): Timer {
    const timer = setInterval(callback, Math.min(periodMs, TIMER_MS_MAX));
    if (!isKeepingAlive) timer.unref();
    return { cancel: () => clearInterval(timer) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (signal?.aborted) return Promise.resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(delayMs, TIMER_MS_MAX));
    signal?.addEventListener('abort', done, { once: true });
    return promise;
  }
}

/** One turn of the event loop: lets sockets and timers run between two pieces of bounded work. */
export function nextTurn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setImmediate(resolve);
  return promise;
}

/** ISO 8601 of a wall-clock time, for logs and banners. */
export function isoTime(epochMs: EpochMs): string {
  return new Date(epochMs).toISOString();
}
