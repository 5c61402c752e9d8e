/**
 * The two ways out of the process: guarded, for hosts that strangers name (S1, S2, S5), and
 * trusted, for the one origin that the operator configured. A guard says which URLs may be asked
 * and owns the sockets. Proxies from the environment play no part. Knows nothing of bodies.
 * @thread main|verify
 */
import http from 'node:http';
import https from 'node:https';
import type { LookupFunction } from 'node:net';
import tls from 'node:tls';
import { SECOND_MS } from '../base/units.ts';
import { isLocalHost, normalizeHost } from './address.ts';
import type { DnsCache } from './dns.ts';

export type Guard = {
  /** True when this guard lets the URL be asked. */
  admits(url: URL): boolean;
  agentFor(url: URL): http.Agent;
  /** Closes idle sockets to all origins: after a failure none of them is trusted (D23). */
  dropIdle(): void;
  close(): void;
};

/** What the websocket dialer passes to net.connect and tls.connect. */
export type DialOptions = {
  readonly lookup: LookupFunction;
  readonly secureContext: tls.SecureContext;
  readonly autoSelectFamily: boolean;
  readonly autoSelectFamilyAttemptTimeout: number;
};

/**
 * Node gives up on an address after half a second when the name has more than one; hosts on the
 * other side of the world on a slow line need longer.
 */
const ADDRESS_ATTEMPT_MS = 2 * SECOND_MS;
/** Idle sockets to the trusted origin are closed by us before most servers do. */
const IDLE_MS = 30 * SECOND_MS;

/** One per thread, for all connections: a context holds all root certificates. */
export function createSharedSecureContext(): tls.SecureContext {
  return tls.createSecureContext({ minVersion: 'TLSv1.2' });
}

/**
 * For connections to hosts in normal form (address.ts), and to those only: `lookup` is not called
 * for an IP literal.
 */
export function guardedDialOptions(dns: DnsCache, secureContext: tls.SecureContext): DialOptions {
  return {
    lookup: dns.lookup,
    secureContext,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
  };
}

export type GuardedOptions = {
  readonly dns: DnsCache;
  readonly secureContext: tls.SecureContext;
  readonly isInsecureAllowed: boolean;
};

/** No connection is kept: hardly any of these hosts is asked twice in a minute. */
export function createGuard(options: GuardedOptions): Guard {
  const dial = { ...guardedDialOptions(options.dns, options.secureContext), keepAlive: false };
  const plain = new http.Agent(dial);
  const secure = new https.Agent({ ...dial, maxCachedSessions: 0 });
  return {
    admits: (url) => isGuardedUrl(url, options.isInsecureAllowed),
    agentFor: (url) => (url.protocol === 'https:' ? secure : plain),
    dropIdle: () => {},
    close: () => {
      plain.destroy();
      secure.destroy();
    },
  };
}

function isGuardedUrl(url: URL, isInsecureAllowed: boolean): boolean {
  if (url.username !== '' || url.password !== '') return false;
  const { host, fault } = normalizeHost(url.host, { isInsecureAllowed });
  if (fault !== undefined || host !== url.host) return false;
  return url.protocol === (isLocalHost(host) ? 'http:' : 'https:');
}

export type TrustedOptions = {
  /** Scheme, host and port; from the configuration, never from input (S7). */
  readonly origin: string;
  readonly socketsMax: number;
  readonly secureContext: tls.SecureContext;
};

/** Any address will do, also a private one; the system's resolver is asked, a few times an hour. */
export function createTrustedGuard(options: TrustedOptions): Guard {
  const shared = {
    keepAlive: true,
    maxSockets: options.socketsMax,
    maxFreeSockets: options.socketsMax,
    timeout: IDLE_MS,
    scheduling: 'lifo' as const,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
  };
  const agent = options.origin.startsWith('https:')
    ? new https.Agent({ ...shared, secureContext: options.secureContext })
    : new http.Agent(shared);
  return {
    admits: (url) => url.origin === options.origin && url.username === '' && url.password === '',
    agentFor: () => agent,
    dropIdle: () => {
      for (const sockets of Object.values(agent.freeSockets)) {
        for (const socket of sockets ?? []) socket.destroy();
      }
    },
    close: () => agent.destroy(),
  };
}
