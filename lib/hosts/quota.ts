/**
 * How much one host may send. Event rates follow the reference relay's formulae and grow with the
 * number of accounts; bytes and verification time are bounded beside them, because a host can stay
 * within its events and still send 5 MB each (G19). Over a rate nothing is dropped: the caller
 * stops reading the socket for `waitMs()`. Pure; the caller brings the monotonic time.
 * @thread any
 */
import { DAY_MS, HOUR_MS, KiB, MINUTE_MS, SECOND_MS } from '../base/units.ts';

export type QuotaLimits = {
  readonly eventsPerSecond: number;
  readonly eventsPerHour: number;
  readonly eventsPerDay: number;
  readonly bytesPerSecond: number;
  readonly bytesPerHour: number;
  /** Milliseconds of verification, on one thread, per minute. */
  readonly verifyMsPerMinute: number;
};

export type QuotaName = keyof QuotaLimits;

/** Mean size granted per event: eight times that of the network's commits. */
const EVENT_BYTES_MEAN = 40 * KiB;
/** A tenth of one thread; a normal host at its rate of 50/s needs a tenth of that. */
const VERIFY_MS_PER_MINUTE = 6 * SECOND_MS;
const VERIFY_MS_PER_MINUTE_TRUSTED = 10 * MINUTE_MS;

/**
 * Limits of a host with `accountCount` accounts (its account limit where that is greater).
 * Normal: 50/s + a/1000, 2,500/h + a, 20,000/day + 10a. Trusted: 5,000/s, 50 M/h, 500 M/day.
 */
export function quotaLimitsFor(host: {
  readonly accountCount: number;
  readonly isTrusted: boolean;
}): QuotaLimits {
  const { accountCount, isTrusted } = host;
  const eventsPerSecond = isTrusted ? 5000 : 50 + Math.floor(accountCount / 1000);
  const eventsPerHour = isTrusted ? 50_000_000 : 2500 + accountCount;
  return {
    eventsPerSecond,
    eventsPerHour,
    eventsPerDay: isTrusted ? 500_000_000 : 20_000 + 10 * accountCount,
    bytesPerSecond: eventsPerSecond * EVENT_BYTES_MEAN,
    bytesPerHour: eventsPerHour * EVENT_BYTES_MEAN,
    verifyMsPerMinute: isTrusted ? VERIFY_MS_PER_MINUTE_TRUSTED : VERIFY_MS_PER_MINUTE,
  };
}

/** True when a pattern covers the host: a whole name, or one whose leading `*` is any prefix. */
export function isTrustedHost(hostname: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) =>
    pattern.startsWith('*') ? hostname.endsWith(pattern.slice(1)) : hostname === pattern,
  );
}

/**
 * A sliding window of two buckets: what was used in the last `windowMs` is this bucket plus the
 * share of the one before that still overlaps. Constant memory, off by less than one bucket.
 */
export class SlidingWindow {
  readonly #windowMs: number;
  #startMs = Number.NEGATIVE_INFINITY;
  #before = 0;
  #current = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  add(nowMs: number, amount: number): void {
    this.#roll(nowMs);
    this.#current += amount;
  }

  used(nowMs: number): number {
    this.#roll(nowMs);
    const overlap = 1 - (nowMs - this.#startMs) / this.#windowMs;
    return this.#before * overlap + this.#current;
  }

  /** Milliseconds until `used` is below `max`; 0 when it is now. `max` must be over 0. */
  waitMs(nowMs: number, max: number): number {
    if (this.used(nowMs) < max) return 0;
    const isFull = this.#current >= max;
    // Once this bucket alone is full, it must first become the one before.
    const fading = isFull ? this.#current : this.#before;
    const room = isFull ? max : max - this.#current;
    const endMs = this.#startMs + (isFull ? this.#windowMs : 0);
    const freeMs = endMs + this.#windowMs * (1 - room / fading);
    return Math.max(1, Math.ceil(freeMs - nowMs) + 1);
  }

  #roll(nowMs: number): void {
    const behindMs = nowMs - this.#startMs;
    if (behindMs < this.#windowMs) return;
    const isNext = behindMs < 2 * this.#windowMs;
    this.#before = isNext ? this.#current : 0;
    this.#startMs = isNext ? this.#startMs + this.#windowMs : nowMs;
    this.#current = 0;
  }
}

const WINDOW_MS: Readonly<Record<QuotaName, number>> = {
  eventsPerSecond: SECOND_MS,
  eventsPerHour: HOUR_MS,
  eventsPerDay: DAY_MS,
  bytesPerSecond: SECOND_MS,
  bytesPerHour: HOUR_MS,
  verifyMsPerMinute: MINUTE_MS,
};
const NAMES = Object.keys(WINDOW_MS) as readonly QuotaName[];

export type QuotaUsage = {
  readonly name: QuotaName;
  readonly used: number;
  readonly max: number;
};

/** The windows of one host. */
export class HostQuota {
  #limits: QuotaLimits;
  readonly #windows: Readonly<Record<QuotaName, SlidingWindow>>;

  constructor(limits: QuotaLimits) {
    this.#limits = limits;
    this.#windows = {
      eventsPerSecond: new SlidingWindow(WINDOW_MS.eventsPerSecond),
      eventsPerHour: new SlidingWindow(WINDOW_MS.eventsPerHour),
      eventsPerDay: new SlidingWindow(WINDOW_MS.eventsPerDay),
      bytesPerSecond: new SlidingWindow(WINDOW_MS.bytesPerSecond),
      bytesPerHour: new SlidingWindow(WINDOW_MS.bytesPerHour),
      verifyMsPerMinute: new SlidingWindow(WINDOW_MS.verifyMsPerMinute),
    };
  }

  get limits(): QuotaLimits {
    return this.#limits;
  }

  /** Takes effect at once, for what was already used too. */
  setLimits(limits: QuotaLimits): void {
    this.#limits = limits;
  }

  /** Milliseconds for which the host must not be read; 0 when its next frame may pass. */
  waitMs(nowMs: number): number {
    let longestMs = 0;
    for (const name of NAMES) {
      const waitMs = this.#windows[name].waitMs(nowMs, Math.max(1, this.#limits[name]));
      if (waitMs > longestMs) longestMs = waitMs;
    }
    return longestMs;
  }

  /** Counts one frame. It passes while there is any room left, whatever its size. */
  take(nowMs: number, frameBytes: number): void {
    this.#windows.eventsPerSecond.add(nowMs, 1);
    this.#windows.eventsPerHour.add(nowMs, 1);
    this.#windows.eventsPerDay.add(nowMs, 1);
    this.#windows.bytesPerSecond.add(nowMs, frameBytes);
    this.#windows.bytesPerHour.add(nowMs, frameBytes);
  }

  /** Counts verification time that a verify thread reported. */
  chargeVerify(nowMs: number, verifyMs: number): void {
    this.#windows.verifyMsPerMinute.add(nowMs, verifyMs);
  }

  /** How full each limit is, for /explain and the admin interface. */
  usage(nowMs: number): QuotaUsage[] {
    return NAMES.map((name) => ({
      name,
      used: this.#windows[name].used(nowMs),
      max: this.#limits[name],
    }));
  }
}
