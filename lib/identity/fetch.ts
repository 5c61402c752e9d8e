/**
 * One GET with hard limits (S4, S5, S6): body bytes, total time, no redirects, no compression.
 * A request that fails takes its connection with it (D23). What comes back is a value, whatever
 * the other side does. Does not retry and does not know what it fetches.
 * @thread main|verify
 */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Clock, Timer } from '../base/clock.ts';
import { errorCode } from '../base/fault.ts';
import { KiB, SECOND_MS } from '../base/units.ts';
import type { Guard } from './guard.ts';
import { retryAfterMs } from './retry-after.ts';

export type FetchFault =
  /** The guard does not let this URL or its addresses be asked. */
  | 'blocked'
  | 'timeout'
  | 'dns'
  | 'connect'
  | 'tls'
  /** The connection ended before the answer did. */
  | 'reset'
  /** Not HTTP, or headers beyond the limit. */
  | 'protocol'
  | 'redirect'
  | 'encoding'
  | 'too_large'
  | 'closed';

export type FetchResult =
  | {
      readonly status: number;
      /** Empty for a status of 400 and more. */
      readonly body: Buffer;
      readonly headers: http.IncomingHttpHeaders;
      /** From Retry-After, clamped to [1 s, 1 h]. */
      readonly retryAfterMs: number | undefined;
      readonly fault?: undefined;
    }
  | { readonly status?: undefined; readonly fault: FetchFault; readonly detail: string };

export type FetchLimits = {
  readonly bodyBytesMax: number;
  /** From the call to the last byte, name look-up included. */
  readonly totalMs: number;
  /** Do not let a cache on the way answer. */
  readonly isFresh: boolean;
};

export const FETCH_LIMITS: FetchLimits = {
  bodyBytesMax: 64 * KiB,
  totalMs: 5 * SECOND_MS,
  isFresh: false,
};

const HEADER_BYTES_MAX = 16 * KiB;

export type FetcherOptions = {
  readonly clock: Clock;
  readonly guard: Guard;
  readonly userAgent: string;
};

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #active = new Set<Exchange>();
  #isClosed = false;

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  get activeCount(): number {
    return this.#active.size;
  }

  /** Never rejects. `url` may be of any origin; the guard decides. */
  get(url: string, limits: Partial<FetchLimits> = {}): Promise<FetchResult> {
    const target = URL.parse(url);
    if (this.#isClosed) return Promise.resolve({ fault: 'closed', detail: '' });
    if (target === null || !this.#options.guard.admits(target)) {
      return Promise.resolve({ fault: 'blocked', detail: 'url' });
    }
    return this.#exchange(target, { ...FETCH_LIMITS, ...limits });
  }

  /** Ends what is under way with `closed`; closes the guard's sockets. */
  close(): void {
    this.#isClosed = true;
    for (const exchange of [...this.#active]) exchange.fail('closed', '');
    this.#options.guard.close();
  }

  #exchange(target: URL, limits: FetchLimits): Promise<FetchResult> {
    const { promise, resolve } = Promise.withResolvers<FetchResult>();
    const exchange = new Exchange(this.#options, limits, this.#open(target, limits), (result) => {
      this.#active.delete(exchange);
      resolve(result);
    });
    this.#active.add(exchange);
    exchange.start();
    return promise;
  }

  #open(target: URL, limits: FetchLimits): http.ClientRequest {
    const send = target.protocol === 'https:' ? https.request : http.request;
    return send(target, {
      agent: this.#options.guard.agentFor(target),
      maxHeaderSize: HEADER_BYTES_MAX,
      headers: {
        accept: 'application/did+ld+json, application/json;q=0.9',
        'accept-encoding': 'identity',
        'user-agent': this.#options.userAgent,
        ...(limits.isFresh ? { 'cache-control': 'no-cache' } : {}),
      },
    });
  }
}

/** One request and its answer; ends exactly once. */
class Exchange {
  readonly #options: FetcherOptions;
  readonly #limits: FetchLimits;
  readonly #request: http.ClientRequest;
  readonly #onEnd: (result: FetchResult) => void;
  readonly #chunks: Buffer[] = [];
  #bodyBytes = 0;
  /** Set when a status came that is an answer without its body. */
  #refusal: IncomingMessage | undefined;
  #timer: Timer | undefined;
  #isEnded = false;

  constructor(
    options: FetcherOptions,
    limits: FetchLimits,
    request: http.ClientRequest,
    onEnd: (result: FetchResult) => void,
  ) {
    this.#options = options;
    this.#limits = limits;
    this.#request = request;
    this.#onEnd = onEnd;
  }

  start(): void {
    this.#timer = this.#options.clock.after(this.#limits.totalMs, () => this.fail('timeout', ''));
    this.#request.on('response', (response) => this.#onResponse(response));
    // Stays for good: a late error without a listener would end the process.
    this.#request.on('error', (error) => this.fail(faultOf(error), errorCode(error)));
    this.#request.on('close', () => this.fail('reset', 'closed'));
    this.#request.end();
  }

  /** Ends with a fault, or with the status where that is all one needs; closes the connection. */
  fail(fault: FetchFault, detail: string): void {
    const result = this.#refusal === undefined ? { fault, detail } : this.#result(this.#refusal);
    this.#finish(result, false);
  }

  #onResponse(response: IncomingMessage): void {
    const status = response.statusCode ?? 0;
    response.on('error', () => this.fail('reset', 'body'));
    if (status >= 400) this.#refusal = response;
    const fault = headFault(response, status, this.#limits.bodyBytesMax);
    if (fault !== undefined) {
      this.fail(fault, String(status));
      return;
    }
    response.on('data', (chunk: Buffer) => {
      this.#bodyBytes += chunk.length;
      if (this.#bodyBytes > this.#limits.bodyBytesMax) this.fail('too_large', 'received');
      else if (this.#refusal === undefined) this.#chunks.push(chunk);
    });
    // Only for a whole answer: one that is cut off ends in an error.
    response.on('end', () => this.#finish(this.#result(response), true));
  }

  #result(response: IncomingMessage): FetchResult {
    const { headers } = response;
    return {
      status: response.statusCode ?? 0,
      body: Buffer.concat(this.#chunks),
      headers,
      retryAfterMs: retryAfterMs(headers['retry-after'], this.#options.clock.epochMs()),
    };
  }

  #finish(result: FetchResult, isReusable: boolean): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#timer?.cancel();
    if (!isReusable) {
      this.#request.destroy();
      // The origin's other idle connections may be as dead as this one (D23).
      if (this.#request.reusedSocket) this.#options.guard.dropIdle();
    }
    this.#onEnd(result);
  }
}

/** What is wrong with an answer before its body. */
function headFault(
  response: IncomingMessage,
  status: number,
  bodyBytesMax: number,
): FetchFault | undefined {
  if (status >= 300 && status < 400) return 'redirect';
  const encoding = response.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return 'encoding';
  const announcedBytes = Number(response.headers['content-length'] ?? 0);
  return announcedBytes > bodyBytesMax ? 'too_large' : undefined;
}

const CONNECT_CODES = /^(?:ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL|EACCES)$/;
const TLS_CODES = /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_|EPROTO)/;

function faultOf(error: unknown): FetchFault {
  const code = errorCode(error);
  if (code === 'dns_blocked') return 'blocked';
  if (code.startsWith('dns_') || code.startsWith('EAI_') || code === 'ENOTFOUND') return 'dns';
  if (CONNECT_CODES.test(code)) return 'connect';
  if (TLS_CODES.test(code)) return 'tls';
  return code.startsWith('HPE_') ? 'protocol' : 'reset';
}
