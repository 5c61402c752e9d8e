/**
 * Where the document of a DID is to be had. Pure and strict: what passes is safe in a URL (S7).
 * did:web is a host name and nothing else (DD-4); the PLC directory comes from the configuration.
 * @thread any
 */
import { isLocalHost, normalizeHost, originOfHost } from './address.ts';

export type DidUrlPolicy = {
  /** Base of the directory, without a final slash. */
  readonly plcUrl: string;
  readonly isInsecureAllowed: boolean;
};

export type DidUrl = {
  readonly method: 'plc' | 'web';
  readonly url: string;
  /** Whose health this look-up depends on. */
  readonly origin: string;
};

const PLC = /^did:plc:[a-z2-7]{24}$/;
const WEB = /^did:web:([a-z0-9.-]{1,253}(?:%3A[1-9][0-9]{0,4})?)$/;

/** undefined for every DID that cannot resolve, whatever the network says (DD-2…DD-5, H45…H49). */
export function didUrl(did: string, policy: DidUrlPolicy): DidUrl | undefined {
  if (did.length > 2048) return undefined;
  if (PLC.test(did))
    return { method: 'plc', url: `${policy.plcUrl}/${did}`, origin: policy.plcUrl };
  const encodedHost = WEB.exec(did)?.[1];
  if (encodedHost === undefined) return undefined;
  const host = encodedHost.replace('%3A', ':');
  // A DID has one spelling: what would need normalising is another DID, or none.
  if (normalizeHost(host, policy).host !== host) return undefined;
  if (host !== encodedHost && !isLocalHost(host)) return undefined;
  const origin = originOfHost(host);
  return { method: 'web', url: `${origin}/.well-known/did.json`, origin };
}
