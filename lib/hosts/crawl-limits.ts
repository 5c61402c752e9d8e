/**
 * How often strangers may make us look at a host (S9): per client, and new hosts per registered
 * domain and day. Bounded tables: the longest unused entry is forgotten. Pure; the caller brings
 * the monotonic time. Knows neither HTTP nor rows.
 * @thread any
 */
import { DAY_MS, MINUTE_MS } from '../base/units.ts';
import { SlidingWindow } from './quota.ts';

const CLIENT_BURST = 10;
const CLIENT_REFILL_MS = MINUTE_MS;
const ENTRIES_MAX = 10_000;

type Bucket = { tokens: number; filledMs: number };

/** Takes the entry out and puts it back, so that the map's order is that of last use. */
function touch<Value>(table: Map<string, Value>, key: string, make: () => Value): Value {
  const value = table.get(key) ?? make();
  table.delete(key);
  table.set(key, value);
  if (table.size > ENTRIES_MAX) {
    const oldest = table.keys().next();
    if (oldest.done !== true) table.delete(oldest.value);
  }
  return value;
}

export class CrawlLimits {
  readonly #clients = new Map<string, Bucket>();
  readonly #domains = new Map<string, SlidingWindow>();
  readonly #newPerDomainDayMax: number;

  constructor(options: { readonly newPerDomainDayMax: number }) {
    this.#newPerDomainDayMax = options.newPerDomainDayMax;
  }

  /** Takes one of the client's tokens (burst of 10, one a minute); else milliseconds to wait. */
  takeClient(clientKey: string, nowMs: number): number {
    const full = (): Bucket => ({ tokens: CLIENT_BURST, filledMs: nowMs });
    const bucket = touch(this.#clients, clientKey, full);
    const gained = Math.floor((nowMs - bucket.filledMs) / CLIENT_REFILL_MS);
    bucket.tokens = Math.min(CLIENT_BURST, bucket.tokens + gained);
    bucket.filledMs += gained * CLIENT_REFILL_MS;
    if (bucket.tokens === 0) return bucket.filledMs + CLIENT_REFILL_MS - nowMs;
    bucket.tokens--;
    return 0;
  }

  /** 0 when one more new host of this domain fits today; else milliseconds to wait. */
  domainWaitMs(hostname: string, nowMs: number): number {
    const window = this.#domains.get(registeredDomain(hostname));
    return window?.waitMs(nowMs, this.#newPerDomainDayMax) ?? 0;
  }

  /** Counts one new host of its domain. */
  addDomain(hostname: string, nowMs: number): void {
    const domain = registeredDomain(hostname);
    touch(this.#domains, domain, () => new SlidingWindow(DAY_MS)).add(nowMs, 1);
  }
}

/** Second labels under which countries register names, as in `example.co.uk`. */
const SECOND_LEVEL = new Set([
  'ac',
  'co',
  'com',
  'edu',
  'gob',
  'gov',
  'gv',
  'ne',
  'net',
  'or',
  'org',
]);

/**
 * The name somebody registered: the last two labels, or three below `co.uk` and the like. Without
 * a public suffix list it is wrong at times; then hosts share a limit, which only delays them.
 */
export function registeredDomain(hostname: string): string {
  const labels = hostname.split('.');
  const top = labels.at(-1) ?? '';
  const isCountry = top.length === 2 && SECOND_LEVEL.has(labels.at(-2) ?? '');
  return labels.slice(isCountry ? -3 : -2).join('.');
}

/** The host's name and every domain above it, longest first: what a domain ban can name. */
export function banCandidates(hostname: string): string[] {
  const labels = hostname.split('.');
  return labels.map((_, index) => labels.slice(index).join('.'));
}
