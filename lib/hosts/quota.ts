/**
 * How much one host may send. Event rates follow the reference relay's formulae and grow with the
 * number of accounts; bytes and verification time are bounded beside them, because a host can stay
 * within its events and still send 5 MB each (G19). Over a rate nothing is dropped: the caller
 * stops reading the socket for `waitMs()`. Commits that do not chain are passed on as they are; a
 * host with too many of them is read at a tenth of its rates for a time (CH-4). Pure; the caller
 * brings the monotonic time.
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
  /** Commits that do not chain on what was known; beyond it the host is read slower. */
  readonly discontinuousPerHour: number;
};

export type QuotaName = keyof QuotaLimits;

/** Mean size granted per event: eight times that of the network's commits. */
const EVENT_BYTES_MEAN = 40 * KiB;
/** A tenth of one thread; a normal host at its rate of 50/s needs a tenth of that. */
const VERIFY_MS_PER_MINUTE = 6 * SECOND_MS;
const VERIFY_MS_PER_MINUTE_TRUSTED = 10 * MINUTE_MS;
/** How much slower a host is read that has too many discontinuous commits. */
const SLOW_FACTOR = 10;
const ACCOUNTS_TRUSTED = 10_000_000;
/** How full a limit still counts as reached, so that a host at its limit does not flicker. */
const STRAINED_SHARE = 0.9;

/**
 * Limits of a host with `accountCount` accounts (its account limit where that is greater).
 * Normal: 50/s + a/1000, 2,500/h + a, 20,000/day + 10a. Trusted: 5,000/s, 50 M/h, 500 M/day.
 * Discontinuous commits: so many, and one of each account, as after a gap that is nobody's fault.
 */
export function quotaLimitsFor(host: {
  readonly accountCount: number;
  readonly isTrusted: boolean;
  readonly discontinuousPerHour: number;
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
    discontinuousPerHour: host.discontinuousPerHour + accountCount,
  };
}

/** Accounts a host may have where nothing else was said: the configured number, or 10 million. */
export function accountLimitFor(host: {
  readonly isTrusted: boolean;
  readonly accountsPerHostMax: number;
}): number {
  return host.isTrusted
    ? Math.max(ACCOUNTS_TRUSTED, host.accountsPerHostMax)
    : host.accountsPerHostMax;
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
  discontinuousPerHour: HOUR_MS,
};
export const QUOTA_NAMES = Object.keys(WINDOW_MS) as readonly QuotaName[];
/** Limits over which a host is not read at all. */
const READ_NAMES = QUOTA_NAMES.filter((name) => name !== 'discontinuousPerHour');
/** Limits that are lowered for a host that is read slower. */
const SLOWED = new Set<QuotaName>(['eventsPerSecond', 'bytesPerSecond']);

export type QuotaUsage = {
  readonly name: QuotaName;
  readonly used: number;
  readonly max: number;
};

/** The windows of one host. */
export class HostQuota {
  #limits: QuotaLimits;
  readonly #slowMs: number;
  #slowUntilMs = Number.NEGATIVE_INFINITY;
  readonly #windows: Readonly<Record<QuotaName, SlidingWindow>>;

  /** `slowMs`: for how long a host with too many discontinuous commits is read slower. */
  constructor(limits: QuotaLimits, slowMs: number) {
    this.#limits = limits;
    this.#slowMs = slowMs;
    this.#windows = {
      eventsPerSecond: new SlidingWindow(WINDOW_MS.eventsPerSecond),
      eventsPerHour: new SlidingWindow(WINDOW_MS.eventsPerHour),
      eventsPerDay: new SlidingWindow(WINDOW_MS.eventsPerDay),
      bytesPerSecond: new SlidingWindow(WINDOW_MS.bytesPerSecond),
      bytesPerHour: new SlidingWindow(WINDOW_MS.bytesPerHour),
      verifyMsPerMinute: new SlidingWindow(WINDOW_MS.verifyMsPerMinute),
      discontinuousPerHour: new SlidingWindow(WINDOW_MS.discontinuousPerHour),
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
    for (const name of READ_NAMES) longestMs = Math.max(longestMs, this.#waitMsOf(name, nowMs));
    return longestMs;
  }

  /** The limit that makes it wait longest; undefined when its next frame may pass. */
  reached(nowMs: number): QuotaName | undefined {
    let longestMs = 0;
    let reached: QuotaName | undefined;
    for (const name of READ_NAMES) {
      const waitMs = this.#waitMsOf(name, nowMs);
      if (waitMs <= longestMs) continue;
      longestMs = waitMs;
      reached = name;
    }
    return reached;
  }

  #waitMsOf(name: QuotaName, nowMs: number): number {
    const max = Math.max(1, this.#maxOf(name, nowMs));
    return this.#windows[name].waitMs(nowMs, max);
  }

  #maxOf(name: QuotaName, nowMs: number): number {
    const max = this.#limits[name];
    return this.isSlowed(nowMs) && SLOWED.has(name) ? max / SLOW_FACTOR : max;
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

  /** Counts commits that do not chain; true when the host is read slower from now on. */
  chargeDiscontinuous(nowMs: number, count: number): boolean {
    if (count === 0) return false;
    const window = this.#windows.discontinuousPerHour;
    window.add(nowMs, count);
    if (window.used(nowMs) <= this.#limits.discontinuousPerHour) return false;
    const isNew = !this.isSlowed(nowMs);
    this.#slowUntilMs = nowMs + this.#slowMs;
    return isNew;
  }

  /** Read at a tenth of its rates, until it has behaved for a while. */
  isSlowed(nowMs: number): boolean {
    return nowMs < this.#slowUntilMs;
  }

  /** Near a limit that is not one of seconds: the next frames will make it wait again. */
  isStrained(nowMs: number): boolean {
    return READ_NAMES.some((name) => {
      const isLong = WINDOW_MS[name] > SECOND_MS;
      return isLong && this.#windows[name].used(nowMs) >= this.#limits[name] * STRAINED_SHARE;
    });
  }

  /** How full each limit is, for /explain and the admin interface. */
  usage(nowMs: number): QuotaUsage[] {
    return QUOTA_NAMES.map((name) => ({
      name,
      used: this.#windows[name].used(nowMs),
      max: this.#maxOf(name, nowMs),
    }));
  }
}
