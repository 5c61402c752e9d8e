/**
 * Looks up DID documents: did:plc at the configured directory, did:web at its host. Bounded in
 * every direction: look-ups at once, per second, waiting, bytes, time. Concurrent questions for
 * one DID are one request. An origin that fails is left alone for a while. Remembers no answers;
 * when to ask is decided with cache.ts by whoever keeps them. Never throws: see outcome.ts.
 * @thread verify
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { errorText } from '../base/fault.ts';
import type { Prng } from '../base/prng.ts';
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import { LogSampler } from '../logging/sampler.ts';
import type { MetricName } from '../metrics/catalog.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { type DidUrl, didUrl } from './did-url.ts';
import { DnsCache } from './dns.ts';
import { parseDocument } from './document.ts';
import { Fetcher, type FetchResult } from './fetch.ts';
import { createGuard, createSharedSecureContext, createTrustedGuard } from './guard.ts';
import { Lane, type LaneOptions } from './lane.ts';
import { OriginHealth, type Permit } from './origin-health.ts';
import type { FailWhy, ResolveOutcome } from './outcome.ts';

export type ResolverOptions = {
  /** `https://plc.directory`, or any http(s) URL of the operator's. */
  readonly plcUrl: string;
  readonly isInsecureAllowed: boolean;
  readonly userAgent: string;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  readonly plcLane?: Partial<LaneOptions>;
  readonly webLane?: Partial<LaneOptions>;
  readonly limits?: Partial<ResolverLimits>;
  /** Name servers for did:web hosts; the system's by default. */
  readonly dnsServers?: readonly string[];
};

export type ResolverLimits = {
  /** One request, name look-up included (S6). */
  readonly attemptMs: number;
  /** All requests of one look-up. */
  readonly budgetMs: number;
  readonly attemptsMax: number;
  readonly retryDelayMs: number;
  /** Failures in a row after which an origin is left alone. */
  readonly failuresMax: number;
  readonly pauseMsMin: number;
  readonly pauseMsMax: number;
};

const LIMITS: ResolverLimits = {
  attemptMs: 5 * SECOND_MS,
  budgetMs: 8 * SECOND_MS,
  attemptsMax: 3,
  retryDelayMs: 200,
  failuresMax: 5,
  pauseMsMin: SECOND_MS,
  pauseMsMax: MINUTE_MS,
};
/** Per thread: with four verify threads the directory sees four times this at most. */
const PLC_LANE: LaneOptions = {
  concurrencyMax: 16,
  queueMax: 10_000,
  ratePerSecond: 100,
  burst: 100,
};
const WEB_LANE: LaneOptions = { concurrencyMax: 16, queueMax: 1000, ratePerSecond: 20, burst: 40 };
const ORIGINS_MAX = 10_000;
const RETRY_AFTER_MS_MIN = SECOND_MS;
/** The rest that an origin gets which answers 429 without saying for how long. */
const THROTTLED_MS = 5 * SECOND_MS;

type Running = {
  readonly promise: Promise<ResolveOutcome>;
  /** False while it waits for its turn: then it will see everything that has happened so far. */
  isSent: boolean;
  next: Promise<ResolveOutcome> | undefined;
};

/** What one answer means: an outcome, or a failure that a further request may mend. */
type Judged =
  | { readonly outcome: ResolveOutcome; readonly failure?: undefined }
  | { readonly outcome?: undefined; readonly failure: Failure };
type Failure = {
  readonly why: FailWhy;
  readonly detail: string;
  readonly isRetryable: boolean;
  readonly retryAfterMs: number | undefined;
};

export class IdentityResolver {
  readonly #options: ResolverOptions;
  readonly #limits: ResolverLimits;
  readonly #plcUrl: string;
  readonly #lanes: { readonly plc: Lane; readonly web: Lane };
  readonly #fetchers: { readonly plc: Fetcher; readonly web: Fetcher };
  readonly #dns: DnsCache;
  readonly #health: OriginHealth;
  readonly #running = new Map<string, Running>();
  readonly #sampler: LogSampler;
  readonly #stop = new AbortController();

  constructor(options: ResolverOptions) {
    const { clock, metrics, isInsecureAllowed, userAgent, dnsServers, prng } = options;
    const plc = URL.parse(options.plcUrl);
    assert(plc !== null && /^https?:$/.test(plc.protocol), 'the PLC URL is no http(s) URL');
    this.#options = options;
    const limits = { ...LIMITS, ...options.limits };
    // A budget below one request would cut every request short.
    this.#limits = { ...limits, budgetMs: Math.max(limits.budgetMs, limits.attemptMs) };
    this.#plcUrl = options.plcUrl.replace(/\/+$/, '');
    const plcLane = { ...PLC_LANE, ...options.plcLane };
    const webLane = { ...WEB_LANE, ...options.webLane };
    this.#lanes = { plc: new Lane(plcLane, clock), web: new Lane(webLane, clock) };
    const secureContext = createSharedSecureContext();
    const servers = dnsServers === undefined ? {} : { servers: dnsServers };
    this.#dns = new DnsCache({ clock, metrics, isInsecureAllowed, ...servers });
    const trusted = createTrustedGuard({
      origin: plc.origin,
      socketsMax: plcLane.concurrencyMax,
      secureContext,
    });
    const guarded = createGuard({ dns: this.#dns, secureContext, isInsecureAllowed });
    this.#fetchers = {
      plc: new Fetcher({ clock, guard: trusted, userAgent }),
      web: new Fetcher({ clock, guard: guarded, userAgent }),
    };
    const { failuresMax, pauseMsMin, pauseMsMax } = this.#limits;
    const originsMax = ORIGINS_MAX;
    this.#health = new OriginHealth({ failuresMax, pauseMsMin, pauseMsMax, originsMax, prng });
    this.#sampler = new LogSampler(clock);
  }

  /** The guarded way to hosts of strangers, for other questions to them; closed with this. */
  get guarded(): Fetcher {
    return this.#fetchers.web;
  }

  /** Look-ups under way or waiting; each DID counts once. */
  get runningCount(): number {
    return this.#running.size;
  }

  /**
   * Looks up the document of `did`. With `isFresh` the answer is never that of a request sent
   * before this call: for `#identity` and bad signatures, where the document has just changed.
   */
  resolve(did: string, isFresh = false): Promise<ResolveOutcome> {
    const running = this.#running.get(did);
    if (running === undefined) return this.#start(did, isFresh);
    this.#options.metrics.add('relay_identity_coalesced_total');
    if (!isFresh || !running.isSent) return running.promise;
    running.next ??= running.promise.then(() => this.resolve(did, true));
    return running.next;
  }

  /** Ends everything under way and waiting with `closed`. */
  close(): void {
    this.#stop.abort();
    this.#lanes.plc.close();
    this.#lanes.web.close();
    this.#fetchers.plc.close();
    this.#fetchers.web.close();
    this.#dns.close();
  }

  #start(did: string, isFresh: boolean): Promise<ResolveOutcome> {
    const target = didUrl(did, {
      plcUrl: this.#plcUrl,
      isInsecureAllowed: this.#options.isInsecureAllowed,
    });
    if (target === undefined) {
      return Promise.resolve(this.#count({ kind: 'document_bad', did, why: 'did' }));
    }
    const pausedMs = this.#health.waitMs(target.origin, this.#options.clock.monoMs());
    if (pausedMs > 0) return Promise.resolve(this.#paused(did, target, pausedMs));
    const { promise, resolve } = Promise.withResolvers<ResolveOutcome>();
    const running: Running = { promise, isSent: false, next: undefined };
    this.#running.set(did, running);
    void this.#take(did, target, running, isFresh)
      .catch((error: unknown) => this.#onBug(did, error))
      .then((outcome) => {
        this.#running.delete(did);
        resolve(outcome);
      });
    return promise;
  }

  /** Waits for its turn, asks, gives the turn back. */
  async #take(
    did: string,
    target: DidUrl,
    running: Running,
    isFresh: boolean,
  ): Promise<ResolveOutcome> {
    const { clock, metrics } = this.#options;
    const lane = this.#lanes[target.method];
    const queuedMs = clock.monoMs();
    const acquired = lane.acquire();
    this.#gauges();
    const turn = await acquired;
    metrics.observe('relay_identity_wait_seconds', (clock.monoMs() - queuedMs) / SECOND_MS);
    if (turn !== 'go') {
      const why = turn === 'full' ? 'overloaded' : 'closed';
      return this.#failed(did, target, { why, detail: turn, retryAfterMs: undefined });
    }
    const permit = this.#health.begin(target.origin, clock.monoMs());
    try {
      if (permit.waitMs > 0) return this.#paused(did, target, permit.waitMs);
      running.isSent = true;
      return await this.#ask(did, target, permit, isFresh);
    } finally {
      this.#health.cancel(target.origin, permit);
      lane.release();
      this.#gauges();
    }
  }

  async #ask(
    did: string,
    target: DidUrl,
    permit: Permit,
    isFresh: boolean,
  ): Promise<ResolveOutcome> {
    const { clock, metrics } = this.#options;
    const startedMs = clock.monoMs();
    for (let attempt = 1; ; attempt++) {
      const leftMs = startedMs + this.#limits.budgetMs - clock.monoMs();
      const totalMs = Math.min(this.#limits.attemptMs, leftMs);
      const answer = await this.#fetchers[target.method].get(target.url, { totalMs, isFresh });
      const nowMs = clock.monoMs();
      const { outcome, failure } = this.#judge(did, target, answer);
      if (failure?.why === 'closed') return this.#failed(did, target, failure);
      this.#noteHealth(target, permit, failure);
      if (outcome !== undefined) {
        metrics.observe('relay_identity_resolve_seconds', (nowMs - startedMs) / SECOND_MS);
        return this.#count(outcome);
      }
      const isLast = attempt >= this.#limits.attemptsMax || permit.isProbe || !failure.isRetryable;
      const spentMs = nowMs - startedMs + this.#limits.retryDelayMs * attempt;
      const mayRetry =
        !isLast &&
        spentMs < this.#limits.budgetMs &&
        this.#health.waitMs(target.origin, nowMs) === 0 &&
        this.#lanes[target.method].tryRetry();
      if (!mayRetry) {
        metrics.observe('relay_identity_resolve_seconds', (nowMs - startedMs) / SECOND_MS);
        return this.#failed(did, target, failure);
      }
      metrics.add('relay_identity_retries_total');
      await clock.sleep(this.#jittered(this.#limits.retryDelayMs * attempt), this.#stop.signal);
    }
  }

  #noteHealth(target: DidUrl, permit: Permit, failure: Failure | undefined): void {
    const end = { isGood: failure === undefined, retryAfterMs: failure?.retryAfterMs };
    const isPauseBegun = this.#health.end(target.origin, permit, end, this.#options.clock.monoMs());
    if (!isPauseBegun) return;
    this.#options.metrics.add('relay_identity_pauses_total');
    const pauseMs = Math.round(this.#health.waitMs(target.origin, this.#options.clock.monoMs()));
    if (target.method === 'plc') {
      const fields = { origin: target.origin, pauseMs, why: failure?.why, detail: failure?.detail };
      this.#options.logger.warn(fields, 'the PLC directory fails; leaving it alone for a while');
    }
  }

  #judge(did: string, target: DidUrl, answer: FetchResult): Judged {
    if (answer.fault !== undefined) return { failure: faultFailure(answer.fault, answer.detail) };
    const { status } = answer;
    if (status === 404) return { outcome: { kind: 'not_found', did } };
    // Only the directory can say for good that an account is gone (DD-7); a host's 410 cannot.
    if (status === 410) {
      return { outcome: { kind: target.method === 'plc' ? 'tombstoned' : 'not_found', did } };
    }
    if (status !== 200) return { failure: statusFailure(status, answer.retryAfterMs) };
    const document = parseJson(answer.body);
    if (document === undefined) return { failure: brokenAnswer('json') };
    const verdict = parseDocument(did, document, this.#options);
    if (verdict.fault !== undefined) {
      return { outcome: { kind: 'document_bad', did, why: verdict.fault } };
    }
    const { identity, keyFault, pdsFault } = verdict;
    return { outcome: { kind: 'found', did, identity, keyFault, pdsFault } };
  }

  #paused(did: string, target: DidUrl, waitMs: number): ResolveOutcome {
    return this.#failed(did, target, { why: 'paused', detail: '', retryAfterMs: waitMs });
  }

  #failed(
    did: string,
    target: DidUrl,
    failure: Pick<Failure, 'why' | 'detail' | 'retryAfterMs'>,
  ): ResolveOutcome {
    const { why, detail } = failure;
    const waitMs = this.#health.waitMs(target.origin, this.#options.clock.monoMs());
    const wishedMs = Math.max(RETRY_AFTER_MS_MIN, waitMs, failure.retryAfterMs ?? 0);
    const outcome = {
      kind: 'failed',
      did,
      why,
      retryAfterMs: Math.min(HOUR_MS, Math.round(wishedMs)),
      detail,
    } as const;
    this.#warn(outcome, target.origin);
    return this.#count(outcome);
  }

  #warn(outcome: ResolveOutcome & { kind: 'failed' }, origin: string): void {
    if (outcome.why === 'closed') return;
    // One key per cause and directory, one for all web hosts: strangers choose those (C13).
    const suppressed = this.#sampler.admit(`${outcome.why} ${origin === this.#plcUrl}`);
    if (suppressed < 0) return;
    const { did, why, detail, retryAfterMs } = outcome;
    const fields = { did, origin, why, detail, retryAfterMs, suppressed };
    this.#options.logger.warn(fields, 'a DID did not resolve');
  }

  #onBug(did: string, error: unknown): ResolveOutcome {
    this.#options.logger.error({ did, error: errorText(error) }, 'looking up a DID went wrong');
    const retryAfterMs = MINUTE_MS;
    return this.#count({ kind: 'failed', did, why: 'internal', retryAfterMs, detail: '' });
  }

  #count(outcome: ResolveOutcome): ResolveOutcome {
    this.#options.metrics.add(outcomeMetric(outcome));
    return outcome;
  }

  #gauges(): void {
    const { plc, web } = this.#lanes;
    const { metrics } = this.#options;
    metrics.set('relay_identity_in_flight_count', plc.activeCount + web.activeCount);
    metrics.set('relay_identity_queued_count', plc.queuedCount + web.queuedCount);
  }

  #jittered(delayMs: number): number {
    return delayMs / 2 + (delayMs / 2) * this.#options.prng.nextFloat();
  }
}

function outcomeMetric(outcome: ResolveOutcome): MetricName {
  if (outcome.kind === 'found') return 'relay_identity_resolves_total:ok';
  if (outcome.kind === 'document_bad') return 'relay_identity_resolves_total:bad_document';
  if (outcome.kind === 'failed') return `relay_identity_resolves_total:${outcome.why}`;
  return `relay_identity_resolves_total:${outcome.kind}`;
}

/** undefined when it is no JSON in UTF-8. */
function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(UTF8.decode(body));
  } catch {
    return undefined;
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

function faultFailure(fault: NonNullable<FetchResult['fault']>, detail: string): Failure {
  const base = { detail: `${fault} ${detail}`.trim(), retryAfterMs: undefined };
  if (fault === 'closed') return { ...base, why: 'closed', isRetryable: false };
  if (fault === 'timeout') return { ...base, why: 'timeout', isRetryable: true };
  if (fault === 'blocked' || fault === 'redirect') {
    return { ...base, why: 'blocked', isRetryable: false };
  }
  if (fault === 'too_large' || fault === 'encoding' || fault === 'protocol') {
    return { ...base, why: 'answer_bad', isRetryable: false };
  }
  return { ...base, why: 'network', isRetryable: fault !== 'tls' && detail !== 'dns_not_found' };
}

/** Statuses that may be gone at the next request; all others will not change soon (B11). */
const TRANSIENT = new Set([408, 425, 500, 502, 503, 504]);

function statusFailure(status: number, retryAfterMs: number | undefined): Failure {
  const detail = String(status);
  if (status === 429) {
    return {
      why: 'throttled',
      detail,
      isRetryable: false,
      retryAfterMs: retryAfterMs ?? THROTTLED_MS,
    };
  }
  const isRetryable = TRANSIENT.has(status) && retryAfterMs === undefined;
  return { why: 'http', detail, isRetryable, retryAfterMs };
}

function brokenAnswer(detail: string): Failure {
  return { why: 'answer_bad', detail, isRetryable: false, retryAfterMs: undefined };
}
