/**
 * requestCrawl admission: may this name become a host of ours? Every check, the probe included,
 * comes before a row is written (S9, H167-H169). Owns the limits and the requests in flight; rows,
 * bans, the probe and the subscription are small collaborators. Knows no HTTP: the answer is a
 * value with the lexicon's error name and the status to send.
 *
 * Known hosts are answered without a probe: which hosts we know is public (listHosts).
 * @thread main
 */
import { AssertionFailed } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { errorText } from '../base/fault.ts';
import { DAY_MS, SECOND_MS } from '../base/units.ts';
import { type HostFault, normalizeHost } from '../identity/address.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { banCandidates, CrawlLimits } from './crawl-limits.ts';
import { type HostRecord, isDialable } from './host.ts';
import type { HostProbe } from './probe.ts';

export type CrawlRefusal = {
  /** Error name for the XRPC body. */
  readonly name:
    | 'InvalidRequest'
    | 'Forbidden'
    | 'HostBanned'
    | 'HostNotFound'
    | 'RateLimitExceeded'
    | 'NotEnoughResources';
  /** HTTP status. */
  readonly status: number;
  readonly message: string;
  /** For the `Retry-After` header, in seconds. */
  readonly retryAfterSeconds?: number;
};

export type CrawlResult =
  | { readonly accepted: HostRecord; readonly isNew: boolean; readonly refused?: undefined }
  | { readonly accepted?: undefined; readonly refused: CrawlRefusal };

/** Rows of hosts, as far as admission needs them. A rejected promise is answered with 503. */
export type CrawlRows = {
  find(hostname: string): Promise<HostRecord | undefined>;
  /** Hosts added after this wall-clock time: the limit per day must survive a restart. */
  countAddedSince(epochMs: number): Promise<number>;
  /** Adds the host, or gives the row that is already there. */
  insert(hostname: string): Promise<HostRecord>;
};

/** Domain bans: true when any of the names, the host's own or one above it, is banned. */
export type CrawlBans = { isAnyBanned(names: readonly string[]): Promise<boolean> };

export type CrawlDeps = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  readonly rows: CrawlRows;
  readonly bans: CrawlBans;
  readonly probe: HostProbe;
  /** Subscribes to the host, or dials it now where it waits in back-off (D2). */
  subscribe(host: HostRecord): void;
};

export type CrawlOptions = {
  readonly isInsecureAllowed: boolean;
  readonly newHostsPerDayMax: number;
  readonly newHostsPerDomainDayMax: number;
  readonly inFlightMax: number;
};

export type CrawlCaller = {
  /** The caller's address as the HTTP layer groups it (IPv6 by /64). */
  readonly clientKey: string;
  /** Skips the switch and the limits, never the bans and the probe. */
  readonly isAdmin: boolean;
};

const FAULT_TEXT: Readonly<Record<HostFault, string>> = {
  too_long: 'the hostname is too long',
  scheme: 'hostname must be a plain host name reached over https',
  userinfo: 'hostname must not contain user information',
  path: 'hostname must not contain a path',
  port: 'hostname must not contain a port',
  ip_address: 'hostname must be a name, not an IP address',
  name_bad: 'hostname is not a valid DNS name',
  single_label: 'hostname must have at least two labels',
  reserved_domain: 'hostname is in a reserved domain',
  localhost: 'localhost is not allowed here',
};

const refuse = (
  name: CrawlRefusal['name'],
  status: number,
  message: string,
  waitMs?: number,
): CrawlResult => {
  const retryAfterSeconds = waitMs === undefined ? undefined : Math.ceil(waitMs / SECOND_MS);
  if (retryAfterSeconds === undefined) return { refused: { name, status, message } };
  return { refused: { name, status, message, retryAfterSeconds } };
};

const BANNED = refuse('HostBanned', 400, 'this host or its domain is banned');

export class CrawlDesk {
  readonly #options: CrawlOptions;
  readonly #deps: CrawlDeps;
  readonly #limits: CrawlLimits;
  /** One admission per host at a time; who asks meanwhile gets the same answer. */
  readonly #inFlight = new Map<string, Promise<CrawlResult>>();
  /** New hosts that passed the limit per day and have no row yet. */
  #reserved = 0;
  #isEnabled = true;
  #newHostsPerDayMax: number;

  constructor(options: CrawlOptions, deps: CrawlDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#newHostsPerDayMax = options.newHostsPerDayMax;
    this.#limits = new CrawlLimits({ newPerDomainDayMax: options.newHostsPerDomainDayMax });
  }

  get isEnabled(): boolean {
    return this.#isEnabled;
  }

  /** The operator's switch for public requests. */
  setEnabled(isEnabled: boolean): void {
    this.#isEnabled = isEnabled;
  }

  get newHostsPerDayMax(): number {
    return this.#newHostsPerDayMax;
  }

  setNewHostsPerDayMax(count: number): void {
    this.#newHostsPerDayMax = count;
  }

  /** Judges one request. Never rejects, except for a bug of ours. */
  async request(hostnameInput: string, caller: CrawlCaller): Promise<CrawlResult> {
    if (!this.#isEnabled && !caller.isAdmin) {
      return this.#count(refuse('Forbidden', 403, 'requestCrawl is switched off'));
    }
    const verdict = normalizeHost(hostnameInput, this.#options);
    if (verdict.fault !== undefined) {
      return this.#count(refuse('InvalidRequest', 400, FAULT_TEXT[verdict.fault]));
    }
    const waitMs = caller.isAdmin
      ? 0
      : this.#limits.takeClient(caller.clientKey, this.#deps.clock.monoMs());
    if (waitMs > 0) {
      return this.#count(refuse('RateLimitExceeded', 429, 'too many requests', waitMs));
    }
    return this.#count(await this.#join(verdict.host, caller.isAdmin));
  }

  #join(hostname: string, isAdmin: boolean): Promise<CrawlResult> {
    const key = isAdmin ? `admin ${hostname}` : hostname;
    const running = this.#inFlight.get(key);
    if (running !== undefined) return running;
    if (this.#inFlight.size >= this.#options.inFlightMax) {
      const full = refuse('NotEnoughResources', 503, 'too many requests at once', 5 * SECOND_MS);
      return Promise.resolve(full);
    }
    const admission = this.#admit(hostname, isAdmin).finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, admission);
    return admission;
  }

  async #admit(hostname: string, isAdmin: boolean): Promise<CrawlResult> {
    const { bans, rows, logger } = this.#deps;
    try {
      if (await bans.isAnyBanned(banCandidates(hostname))) return BANNED;
      const known = await rows.find(hostname);
      if (known !== undefined) return this.#subscribe(known, false);
      const limited = isAdmin ? undefined : await this.#reserve(hostname);
      if (limited !== undefined) return limited;
      try {
        return await this.#addProbed(hostname);
      } finally {
        if (!isAdmin) this.#reserved--;
      }
    } catch (error) {
      if (error instanceof AssertionFailed) throw error;
      logger.warn({ host: hostname, error: errorText(error) }, 'crawl request not answered');
      return refuse('NotEnoughResources', 503, 'try again later', 30 * SECOND_MS);
    }
  }

  /** Takes a place in the limits per day before the probe; undefined when there was one. */
  async #reserve(hostname: string): Promise<CrawlResult | undefined> {
    const { clock, rows } = this.#deps;
    const domainWaitMs = this.#limits.domainWaitMs(hostname, clock.monoMs());
    if (domainWaitMs > 0) {
      const message = 'too many new hosts of this domain today';
      return refuse('RateLimitExceeded', 429, message, domainWaitMs);
    }
    this.#reserved++;
    try {
      const addedCount = await rows.countAddedSince(clock.epochMs() - DAY_MS);
      if (addedCount + this.#reserved <= this.#newHostsPerDayMax) return undefined;
    } catch (error) {
      this.#reserved--;
      throw error;
    }
    this.#reserved--;
    return refuse('RateLimitExceeded', 429, 'too many new hosts today', DAY_MS / 24);
  }

  async #addProbed(hostname: string): Promise<CrawlResult> {
    const { clock, probe, rows } = this.#deps;
    const finding = await probe(hostname);
    if (finding === 'relay') return refuse('HostNotFound', 400, 'the host is a relay, not a PDS');
    if (finding !== 'pds') {
      return refuse('HostNotFound', 400, `describeServer of the host failed: ${finding}`);
    }
    const host = await rows.insert(hostname);
    this.#limits.addDomain(hostname, clock.monoMs());
    return this.#subscribe(host, true);
  }

  #subscribe(host: HostRecord, isNew: boolean): CrawlResult {
    if (!isDialable(host.status)) return BANNED;
    this.#deps.subscribe(host);
    return { accepted: host, isNew };
  }

  #count(result: CrawlResult): CrawlResult {
    this.#deps.metrics.add(`relay_hosts_crawl_requests_total:${outcomeOf(result)}`);
    return result;
  }
}

type Outcome = 'added' | 'known' | 'refused' | 'banned' | 'limited' | 'unreachable';

function outcomeOf(result: CrawlResult): Outcome {
  if (result.refused === undefined) return result.isNew ? 'added' : 'known';
  switch (result.refused.name) {
    case 'HostBanned':
      return 'banned';
    case 'HostNotFound':
      return 'unreachable';
    case 'RateLimitExceeded':
    case 'NotEnoughResources':
      return 'limited';
    default:
      return 'refused';
  }
}
