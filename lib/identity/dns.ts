/**
 * Names to addresses for every host a stranger names: c-ares instead of the system's resolver, so
 * that thousands of look-ups do not fill libuv's four threads, with a bounded cache that honours
 * TTLs. Every address is judged here (S2): what a socket connects to is what was judged, however
 * often the name changes its address. Does not read /etc/hosts and has no search domains.
 * @thread main|verify
 */
import dns from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';
import { errorCode, RelayFault } from '../base/fault.ts';
import { HOUR_MS, MINUTE_MS, type MonoMs, SECOND_MS } from '../base/units.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { judgeAddress, publicNameFault } from './address.ts';

export type ResolvedAddress = { readonly address: string; readonly family: 4 | 6 };

/** `blocked`: the name is refused, or all its addresses are. */
export type DnsFault = 'not_found' | 'timeout' | 'failed' | 'blocked' | 'overloaded' | 'closed';

export type DnsResult =
  | { readonly addresses: readonly ResolvedAddress[]; readonly fault?: undefined }
  | { readonly addresses?: undefined; readonly fault: DnsFault };

export type DnsOptions = {
  readonly clock: Clock;
  readonly metrics: MetricWriter;
  /** Test set-ups only: `localhost` is 127.0.0.1 and ::1. No other name ever gets those. */
  readonly isInsecureAllowed: boolean;
  /** Name servers as `ip` or `ip:port`; the system's by default. */
  readonly servers?: readonly string[];
  readonly limits?: Partial<DnsLimits>;
};

export type DnsLimits = {
  readonly attemptMs: number;
  readonly attemptsMax: number;
  /** How long a name waits for its other address family once it has an address. */
  readonly secondFamilyMs: number;
  readonly namesMax: number;
  readonly pendingMax: number;
  readonly ttlMsMin: number;
  readonly ttlMsMax: number;
  /** For names that do not exist and for refused ones. */
  readonly negativeMs: number;
  /** For name servers that do not answer or answer with a failure. */
  readonly failureMs: number;
};

const LIMITS: DnsLimits = {
  attemptMs: 1500,
  attemptsMax: 2,
  secondFamilyMs: 250,
  namesMax: 16_384,
  pendingMax: 2048,
  ttlMsMin: 5 * SECOND_MS,
  ttlMsMax: HOUR_MS,
  negativeMs: MINUTE_MS,
  failureMs: 5 * SECOND_MS,
};

/** Per family: a name with a thousand addresses must not become a thousand attempts. */
const ADDRESSES_MAX = 8;

const LOCAL: DnsResult = {
  addresses: [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ],
};

type Cached = { readonly result: DnsResult; readonly expiresMs: MonoMs };
type Answer = { readonly records: readonly dns.RecordWithTtl[]; readonly errorCode: string };

export class DnsCache {
  readonly #options: DnsOptions;
  readonly #limits: DnsLimits;
  readonly #resolver: dns.Resolver;
  /** In order of last use. */
  readonly #cached = new Map<string, Cached>();
  readonly #pending = new Map<string, Promise<DnsResult>>();
  #isClosed = false;

  constructor(options: DnsOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#resolver = new dns.Resolver({
      timeout: this.#limits.attemptMs,
      tries: this.#limits.attemptsMax,
      maxTimeout: this.#limits.attemptMs,
    });
    if (options.servers !== undefined) this.#resolver.setServers([...options.servers]);
  }

  /** Public addresses of a lower-case host name, IPv4 first. Never rejects. */
  resolve(name: string): Promise<DnsResult> {
    if (this.#isClosed) return Promise.resolve({ fault: 'closed' });
    if (name === 'localhost' && this.#options.isInsecureAllowed) return Promise.resolve(LOCAL);
    // Also for IP literals, which net.connect() does not bring here but others may (S1).
    if (publicNameFault(name) !== undefined) return Promise.resolve(this.#blocked());
    const cached = this.#fresh(name);
    if (cached !== undefined) return Promise.resolve(cached);
    const pending = this.#pending.get(name);
    if (pending !== undefined) return pending;
    if (this.#pending.size >= this.#limits.pendingMax) {
      this.#options.metrics.add('relay_identity_dns_queries_total:overloaded');
      return Promise.resolve({ fault: 'overloaded' });
    }
    return this.#query(name);
  }

  /**
   * For `lookup` of net, tls, http and ws. Gives public addresses only and honours `all` and
   * `family`. Its error is a RelayFault with code `dns_<fault>`.
   */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    void this.resolve(hostname.toLowerCase().replace(/\.$/, '')).then((result) => {
      const found = result.addresses ?? [];
      const family = familyOf(options.family);
      const usable = found.filter((entry) => family === 0 || entry.family === family);
      const first = usable[0];
      if (first === undefined) {
        const code = `dns_${result.fault ?? 'not_found'}`;
        const isRetryable = code !== 'dns_blocked' && code !== 'dns_not_found';
        callback(new RelayFault(code, `${code} ${hostname}`, { isRetryable }), []);
      } else if (options.all === true) {
        callback(null, [...usable]);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };

  /** Names in the cache, expired ones included. */
  get nameCount(): number {
    return this.#cached.size;
  }

  /** Ends what is under way with `closed`. */
  close(): void {
    this.#isClosed = true;
    this.#resolver.cancel();
    this.#cached.clear();
  }

  #fresh(name: string): DnsResult | undefined {
    const cached = this.#cached.get(name);
    if (cached === undefined) return undefined;
    this.#cached.delete(name);
    if (cached.expiresMs <= this.#options.clock.monoMs()) return undefined;
    this.#cached.set(name, cached);
    this.#options.metrics.add('relay_identity_dns_hits_total');
    return cached.result;
  }

  #query(name: string): Promise<DnsResult> {
    const { promise, resolve } = Promise.withResolvers<DnsResult>();
    this.#pending.set(name, promise);
    const { clock, metrics } = this.#options;
    let timer: Timer | undefined;
    let answer4: Answer | undefined;
    let answer6: Answer | undefined;
    let isSettled = false;
    const settle = (): void => {
      if (isSettled) return;
      isSettled = true;
      timer?.cancel();
      this.#pending.delete(name);
      const { result, ttlMs } = this.#judge(answer4, answer6);
      if (!this.#isClosed) this.#keep(name, result, ttlMs);
      metrics.add(`relay_identity_dns_queries_total:${result.fault ?? 'ok'}`);
      resolve(this.#isClosed ? { fault: 'closed' } : result);
    };
    const onAnswer = (answer: Answer): void => {
      if (answer4 !== undefined && answer6 !== undefined) settle();
      else if (publicOnes(answer).length > 0)
        timer ??= clock.after(this.#limits.secondFamilyMs, settle);
    };
    this.#resolver.resolve4(name, { ttl: true }, (error, records) => {
      answer4 = { records: records ?? [], errorCode: errorCode(error) };
      onAnswer(answer4);
    });
    this.#resolver.resolve6(name, { ttl: true }, (error, records) => {
      answer6 = { records: records ?? [], errorCode: errorCode(error) };
      onAnswer(answer6);
    });
    return promise;
  }

  #judge(
    answer4: Answer | undefined,
    answer6: Answer | undefined,
  ): { readonly result: DnsResult; readonly ttlMs: number } {
    const { ttlMsMin, ttlMsMax, negativeMs, failureMs } = this.#limits;
    const usable4 = publicOnes(answer4);
    const usable6 = publicOnes(answer6);
    const usable = [...usable4, ...usable6];
    if (usable.length > 0) {
      // When one family is missing because nobody answered, ask again soon.
      const isWhole = isDefinite(answer4) && isDefinite(answer6);
      const ttlMs = Math.min(...usable.map((record) => record.ttl)) * SECOND_MS;
      const clampedMs = Math.min(ttlMsMax, Math.max(ttlMsMin, ttlMs));
      return {
        result: {
          addresses: [
            ...usable4.map(({ address }) => ({ address, family: 4 as const })),
            ...usable6.map(({ address }) => ({ address, family: 6 as const })),
          ],
        },
        ttlMs: isWhole ? clampedMs : Math.min(clampedMs, MINUTE_MS),
      };
    }
    const answers = [answer4, answer6];
    if (answers.some((answer) => (answer?.records.length ?? 0) > 0)) {
      return { result: { fault: 'blocked' }, ttlMs: negativeMs };
    }
    if (answers.every(isDefinite)) return { result: { fault: 'not_found' }, ttlMs: negativeMs };
    const isTimeout = answers.some((answer) => answer?.errorCode === 'ETIMEOUT');
    return { result: { fault: isTimeout ? 'timeout' : 'failed' }, ttlMs: failureMs };
  }

  #keep(name: string, result: DnsResult, ttlMs: number): void {
    const expiresMs = (this.#options.clock.monoMs() + ttlMs) as MonoMs;
    this.#cached.set(name, { result, expiresMs });
    if (this.#cached.size <= this.#limits.namesMax) return;
    const oldest = this.#cached.keys().next();
    if (oldest.done !== true) this.#cached.delete(oldest.value);
  }

  #blocked(): DnsResult {
    this.#options.metrics.add('relay_identity_dns_queries_total:blocked');
    return { fault: 'blocked' };
  }
}

function publicOnes(answer: Answer | undefined): readonly dns.RecordWithTtl[] {
  const records = answer?.records ?? [];
  return records.filter((r) => judgeAddress(r.address) === 'public').slice(0, ADDRESSES_MAX);
}

/** The name servers said something that will hold: addresses, or that there are none. */
function isDefinite(answer: Answer | undefined): boolean {
  return answer !== undefined && ['', 'ENOTFOUND', 'ENODATA'].includes(answer.errorCode);
}

function familyOf(family: number | string | undefined): 0 | 4 | 6 {
  if (family === 4 || family === 'IPv4') return 4;
  return family === 6 || family === 'IPv6' ? 6 : 0;
}
