/**
 * Where the document of a DID is to be had. Pure and strict: what passes is safe in a URL (S7).
 * did:web is a host name and nothing else (DD-4); the PLC directory comes from the configuration.
 * @thread any
 */
import { didVerdict } from '../repo/did.ts';
import { normalizeHost, originOfHost } from './address.ts';

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

/** undefined for every DID that cannot resolve, whatever the network says (DD-2…DD-5, H45…H49). */
export function didUrl(did: string, policy: DidUrlPolicy): DidUrl | undefined {
  if (didVerdict(did, { isInsecure: policy.isInsecureAllowed }) !== undefined) return undefined;
  if (did.startsWith('did:plc:')) {
    return { method: 'plc', url: `${policy.plcUrl}/${did}`, origin: policy.plcUrl };
  }
  const host = did.slice('did:web:'.length).replace('%3A', ':');
  // A DID has one spelling: what would need normalising is another DID, or none. And the syntax
  // is not all: the name must also be one that we would connect to (S1).
  if (normalizeHost(host, policy).host !== host) return undefined;
  const origin = originOfHost(host);
  return { method: 'web', url: `${origin}/.well-known/did.json`, origin };
}
