/**
 * From a host name to an open websocket, or to the reason why not. Owns the options that make a
 * stranger's socket safe (S2, S4, S5, S25-S27, S10) and the order of the steps:
 *
 *   wide gate ── DNS + TCP, 5 s ── narrow gate ── TLS, 5 s ── upgrade, 10 s ──► open
 *       └──────────────┴──────────────────┴────────────┴────────────┴──────► failed(cause)
 *
 * The host must be in the normal form of identity/address.ts: `lookup` judges every address, but
 * it is never called for an IP literal. Does not retry and knows no subscription.
 * @thread main
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { WebSocket } from 'ws';
import type { Clock } from '../base/clock.ts';
import { errorCode, errorText } from '../base/fault.ts';
import { FRAME_BYTES_MAX, SECOND_MS } from '../base/units.ts';
import { isRelayServer } from '../hosts/probe.ts';
import { isLocalHost } from '../identity/address.ts';
import type { DialOptions } from '../identity/guard.ts';
import { retryAfterMs } from '../identity/retry-after.ts';
import type { Gate } from './gate.ts';

export type DialCause =
  | 'dns'
  /** The name or all its addresses are refused. */
  | 'blocked'
  | 'refused'
  | 'timeout'
  | 'tls'
  /** An HTTP status instead of 101. */
  | 'http'
  | 'redirect'
  /** 429 or 503. */
  | 'throttled'
  /** The other side is a relay: never subscribe in a circle. */
  | 'relay'
  | 'other';

export type DialFailure = {
  readonly cause: DialCause;
  /** For logs and /explain. */
  readonly detail: string;
  /** Will not pass by itself soon (B11). */
  readonly isPermanent: boolean;
  /** The host's own wish, within [1 s, 1 h]. */
  readonly retryAfterMs?: number;
};

export type DialTarget = {
  readonly hostname: string;
  /** Resume after this host seq; null for what is new only. */
  readonly cursor: number | null;
};

export type DialHandlers = {
  /** Called in the turn in which the socket opened: listeners set here miss no frame. */
  onOpen(ws: WebSocket, socket: net.Socket): void;
  onFailed(failure: DialFailure): void;
};

/** One attempt under way. */
export type Dialing = {
  /** Ends the attempt; no handler is called any more. */
  cancel(): void;
};

export type DialerDeps = {
  readonly clock: Clock;
  /** identity/guard.ts: guarded look-up and the one shared secure context. */
  readonly network: DialOptions;
  readonly wideGate: Gate;
  readonly narrowGate: Gate;
};

export type DialerOptions = {
  readonly userAgent: string;
  readonly connectMs: number;
  readonly tlsMs: number;
  readonly upgradeMs: number;
  /** Where hosts with a public name listen (S5). */
  readonly securePort: number;
};

export const DIALER_DEFAULTS = {
  securePort: 443,
  connectMs: 5 * SECOND_MS,
  tlsMs: 5 * SECOND_MS,
  upgradeMs: 10 * SECOND_MS,
} as const;

/** How long a close handshake may take before the socket is destroyed. */
const CLOSE_MS = SECOND_MS;
const PATH = '/xrpc/com.atproto.sync.subscribeRepos';
const PERMANENT_STATUSES = new Set([400, 401, 403, 404, 405, 410, 422, 501]);
const THROTTLED_STATUSES = new Set([429, 503]);

/** Without TLS only where test set-ups allow `localhost:port` as a host. */
export function subscribeUrl(target: DialTarget): string {
  const scheme = isLocalHost(target.hostname) ? 'ws' : 'wss';
  const query = target.cursor === null ? '' : `?cursor=${target.cursor}`;
  return `${scheme}://${target.hostname}${PATH}${query}`;
}

export class Dialer {
  readonly #options: DialerOptions;
  readonly #deps: DialerDeps;

  constructor(options: DialerOptions, deps: DialerDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Starts one attempt; exactly one handler is called, unless it is cancelled. */
  dial(target: DialTarget, handlers: DialHandlers): Dialing {
    const attempt = new Attempt(this.#options, this.#deps, target, handlers);
    attempt.start();
    return attempt;
  }
}

/** A step either gives its socket or says why there is none. */
type Step = { readonly socket: net.Socket } | { readonly failure: DialFailure };

class Attempt implements Dialing {
  readonly #options: DialerOptions;
  readonly #deps: DialerDeps;
  readonly #target: DialTarget;
  readonly #handlers: DialHandlers;
  readonly #cancelling = new AbortController();

  constructor(
    options: DialerOptions,
    deps: DialerDeps,
    target: DialTarget,
    handlers: DialHandlers,
  ) {
    this.#options = options;
    this.#deps = deps;
    this.#target = target;
    this.#handlers = handlers;
  }

  start(): void {
    void this.#run();
  }

  cancel(): void {
    this.#cancelling.abort();
  }

  async #run(): Promise<void> {
    const { wideGate, narrowGate } = this.#deps;
    const plain = await this.#through(wideGate, () => this.#connect());
    if (plain === undefined) return;
    if ('failure' in plain) return this.#fail(plain.failure);
    if (isLocalHost(this.#target.hostname)) return this.#upgrade(plain.socket);
    // The host may hang up while its connection waits for the handshake.
    plain.socket.on('error', () => {});
    const secure = await this.#through(narrowGate, () => this.#secure(plain.socket));
    if (secure !== undefined && 'socket' in secure) return this.#upgrade(secure.socket);
    plain.socket.destroy();
    if (secure !== undefined) this.#fail(secure.failure);
  }

  /** Runs one step inside a gate; undefined when it was cancelled before or in it. */
  async #through(gate: Gate, step: () => Promise<Step>): Promise<Step | undefined> {
    const { signal } = this.#cancelling;
    if (!(await gate.enter(signal))) {
      const failure = {
        cause: 'other',
        detail: 'too many dials wait',
        isPermanent: false,
      } as const;
      return signal.aborted ? undefined : { failure };
    }
    try {
      const result = await step();
      if (!signal.aborted) return result;
      if ('socket' in result) result.socket.destroy();
      return undefined;
    } finally {
      gate.leave();
    }
  }

  #connect(): Promise<Step> {
    const { lookup, autoSelectFamily, autoSelectFamilyAttemptTimeout } = this.#deps.network;
    const { hostname } = this.#target;
    const [host = '', portText] = hostname.split(':');
    const socket = net.connect({
      host,
      port: portText === undefined ? this.#options.securePort : Number(portText),
      lookup,
      autoSelectFamily,
      autoSelectFamilyAttemptTimeout,
    });
    return this.#settle(socket, 'connect', this.#options.connectMs, causeOfConnect);
  }

  #secure(plain: net.Socket): Promise<Step> {
    if (plain.destroyed) {
      return Promise.resolve({ failure: failureOf('tls', 'closed before the handshake') });
    }
    const socket = tls.connect({
      socket: plain,
      servername: this.#target.hostname,
      secureContext: this.#deps.network.secureContext,
      ALPNProtocols: ['http/1.1'],
    });
    return this.#settle(socket, 'secureConnect', this.#options.tlsMs, () => 'tls');
  }

  /** Waits for `event` on the socket, an error, its end, the deadline or the cancellation. */
  #settle(
    socket: net.Socket,
    event: 'connect' | 'secureConnect',
    deadlineMs: number,
    causeOf: (error: unknown) => DialCause,
  ): Promise<Step> {
    const { signal } = this.#cancelling;
    const { promise, resolve } = Promise.withResolvers<Step>();
    const settle = (step: Step): void => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      socket.off(event, onReady).off('error', onError).off('close', onClose);
      // Until its next owner listens, a late error must not end the process.
      socket.on('error', () => {});
      if ('failure' in step) socket.destroy();
      resolve(step);
    };
    const fail = (cause: DialCause, detail: string): void =>
      settle({ failure: failureOf(cause, detail) });
    const onReady = (): void => settle({ socket });
    const onError = (error: Error): void => fail(causeOf(error), errorText(error));
    const onClose = (): void => fail(causeOf(undefined), `closed before ${event}`);
    const onAbort = (): void => fail('other', 'cancelled');
    const timer = this.#deps.clock.after(deadlineMs, () => fail('timeout', event));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on(event, onReady).on('error', onError).on('close', onClose);
    return promise;
  }

  /** The websocket handshake on a connected socket. */
  #upgrade(socket: net.Socket): void {
    const { signal } = this.#cancelling;
    const ws = new WebSocket(subscribeUrl(this.#target), websocketOptions(this.#options, socket));
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      ws.removeAllListeners();
    };
    const drop = (): void => {
      end();
      ws.on('error', () => {});
      ws.terminate();
      socket.destroy();
    };
    const fail = (failure: DialFailure): void => {
      drop();
      this.#fail(failure);
    };
    const onAbort = (): void => drop();
    const timer = this.#deps.clock.after(this.#options.upgradeMs, () =>
      fail(failureOf('timeout', 'upgrade')),
    );
    signal.addEventListener('abort', onAbort, { once: true });
    ws.on('upgrade', (response: IncomingMessage) => {
      if (!isRelayServer(response.headers['server'])) return;
      fail({ ...failureOf('relay', 'Server header of a relay'), isPermanent: true });
    });
    // `ws` hides the headers of a refusal in its error, so it is read here (B10).
    ws.on('unexpected-response', (_: ClientRequest, response: IncomingMessage) =>
      fail(this.#refusal(response)),
    );
    ws.on('error', (error: Error) => fail(failureOf('other', errorText(error))));
    ws.on('close', () => fail(failureOf('other', 'closed before the upgrade')));
    ws.on('open', () => {
      end();
      this.#handlers.onOpen(ws, socket);
    });
  }

  #refusal(response: IncomingMessage): DialFailure {
    const status = response.statusCode ?? 0;
    const detail = `http ${status}`;
    const isRelay = isRelayServer(response.headers['server']);
    if (status >= 300 && status < 400)
      return { ...failureOf('redirect', detail), isPermanent: true };
    if (!THROTTLED_STATUSES.has(status)) {
      return { cause: 'http', detail, isPermanent: PERMANENT_STATUSES.has(status) && !isRelay };
    }
    const header = response.headers['retry-after'];
    const waitMs = retryAfterMs(header, this.#deps.clock.epochMs());
    const failure = failureOf('throttled', detail);
    return waitMs === undefined ? failure : { ...failure, retryAfterMs: waitMs };
  }

  #fail(failure: DialFailure): void {
    if (!this.#cancelling.signal.aborted) this.#handlers.onFailed(failure);
  }
}

/** What keeps one socket from costing more than its share. */
function websocketOptions(options: DialerOptions, socket: net.Socket) {
  return {
    createConnection: () => socket,
    headers: { 'User-Agent': options.userAgent },
    handshakeTimeout: options.upgradeMs,
    closeTimeout: CLOSE_MS,
    followRedirects: false,
    perMessageDeflate: false,
    maxPayload: FRAME_BYTES_MAX,
    maxFragments: 64,
    maxBufferedChunks: 4096,
    // Binary messages have no text to validate; a text message ends the connection anyway.
    skipUTF8Validation: true,
  };
}

function failureOf(cause: DialCause, detail: string): DialFailure {
  return { cause, detail, isPermanent: cause === 'blocked' };
}

function causeOfConnect(error: unknown): DialCause {
  const code = errorCode(error);
  if (code === 'dns_blocked') return 'blocked';
  if (code.startsWith('dns_')) return 'dns';
  if (code === 'ECONNREFUSED') return 'refused';
  return code === 'ETIMEDOUT' ? 'timeout' : 'other';
}
