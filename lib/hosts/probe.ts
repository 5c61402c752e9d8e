/**
 * Is there a PDS behind this name? One guarded GET of describeServer (S9), and the look at the
 * `Server` header that keeps relays from subscribing to each other in a circle (S10). What comes
 * back is a value. Does not know why it is asked.
 * @thread main
 */
import { originOfHost } from '../identity/address.ts';
import type { FetchFault, FetchResult } from '../identity/fetch.ts';

/** `pds`, `relay`, or what kept us from knowing. */
export type ProbeFinding = 'pds' | 'relay' | 'not_pds' | 'http_status' | FetchFault;

export type HostProbe = (hostname: string) => Promise<ProbeFinding>;

/** What the probe needs of identity/fetch.ts. */
export type ProbeFetcher = { get(url: string): Promise<FetchResult> };

/** Reference relays name themselves `… (atproto-relay)`, and so do we. */
const RELAY_MARK = /atproto-relay|skyrelay/i;

/** True for the `Server` header of a relay, whichever it is (S10, H169). */
export function isRelayServer(serverHeader: string | string[] | undefined): boolean {
  return serverHeader !== undefined && RELAY_MARK.test(String(serverHeader).slice(0, 512));
}

/** A probe of hosts in the normal form of identity/address.ts. Never rejects. */
export function createProbe(fetcher: ProbeFetcher): HostProbe {
  return async (hostname) => {
    const url = `${originOfHost(hostname)}/xrpc/com.atproto.server.describeServer`;
    const result = await fetcher.get(url);
    if (result.fault !== undefined) return result.fault;
    if (isRelayServer(result.headers['server'])) return 'relay';
    if (result.status !== 200) return 'http_status';
    return isDescription(result.body) ? 'pds' : 'not_pds';
  };
}

/** The lexicon requires `did` and `availableUserDomains`; any PDS sends at least the first. */
function isDescription(body: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value !== 'object' || value === null) return false;
    const did: unknown = Reflect.get(value, 'did');
    return typeof did === 'string' && did.startsWith('did:') && did.length <= 2048;
  } catch {
    return false;
  }
}
