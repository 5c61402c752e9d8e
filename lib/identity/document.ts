/**
 * What a DID document says about an account: where its PDS is, which key signs for it, what it is
 * called. Strict and pure; fetching is elsewhere (resolve.ts). A document that is right but lacks
 * a key or a PDS still is an identity: whoever judges an event refuses it with the right reason.
 * @thread any
 */
import { type HostFault, type HostPolicy, isDomainName, normalizeHost } from './address.ts';
import { type PublicKey, parseMethodKey } from './key.ts';

export type Identity = {
  readonly did: string;
  /** In normal form (address.ts); null when the document names no usable PDS (H142). */
  readonly pdsHost: string | null;
  /** null when there is no valid #atproto key (H93). */
  readonly key: PublicKey | null;
  /** Lower case and as declared: that the handle points back at the DID is not checked (ID-3). */
  readonly handle: string | null;
};

/** Why `key` is null; for /explain. */
export type KeyFault = 'missing' | 'controller' | 'invalid';
/** Why `pdsHost` is null; for /explain. */
export type PdsFault = 'missing' | 'type' | HostFault;

export type DocumentVerdict =
  | {
      readonly identity: Identity;
      readonly keyFault: KeyFault | null;
      readonly pdsFault: PdsFault | null;
      readonly fault?: undefined;
    }
  | { readonly identity?: undefined; readonly fault: 'not_object' | 'id_mismatch' };

/** A key costs 0.1 ms to check and 64 KiB hold hundreds: more than this are not looked at. */
const CANDIDATES_MAX = 16;

/** Reads the parsed JSON of a document for `did` (DD-6, SG-5, SG-6, HO-2, H142…H146). */
export function parseDocument(did: string, document: unknown, policy: HostPolicy): DocumentVerdict {
  if (!isRecord(document)) return { fault: 'not_object' };
  if (field(document, 'id') !== did) return { fault: 'id_mismatch' };
  const key = findKey(did, document);
  const pds = findPds(did, document, policy);
  return {
    identity: { did, pdsHost: pds.host, key: key.key, handle: findHandle(document) },
    keyFault: key.fault,
    pdsFault: pds.fault,
  };
}

type FoundKey = { readonly key: PublicKey | null; readonly fault: KeyFault | null };

/** The first valid entry wins, the others do not count (SG-5, H145, H146). */
function findKey(did: string, document: object): FoundKey {
  let fault: KeyFault = 'missing';
  for (const entry of entriesOf(document, 'verificationMethod', did, '#atproto')) {
    const type = field(entry, 'type');
    const multibase = field(entry, 'publicKeyMultibase');
    if (field(entry, 'controller') !== did) {
      fault = 'controller';
      continue;
    }
    fault = 'invalid';
    if (typeof type !== 'string' || typeof multibase !== 'string') continue;
    const key = parseMethodKey(type, multibase);
    if (key !== undefined) return { key, fault: null };
  }
  return { key: null, fault };
}

type FoundPds = { readonly host: string | null; readonly fault: PdsFault | null };

function findPds(did: string, document: object, policy: HostPolicy): FoundPds {
  let fault: PdsFault = 'missing';
  for (const entry of entriesOf(document, 'service', did, '#atproto_pds')) {
    const endpoint = field(entry, 'serviceEndpoint');
    if (field(entry, 'type') !== 'AtprotoPersonalDataServer') {
      fault = 'type';
      continue;
    }
    const verdict = endpointVerdict(endpoint, policy);
    if (verdict.fault === undefined) return { host: verdict.host, fault: null };
    fault = verdict.fault;
  }
  return { host: null, fault };
}

/** Unlike a crawl request, an endpoint has to name its scheme. */
function endpointVerdict(endpoint: unknown, policy: HostPolicy): ReturnType<typeof normalizeHost> {
  if (typeof endpoint !== 'string' || !/^https?:\/\//i.test(endpoint)) return { fault: 'scheme' };
  return normalizeHost(endpoint, policy);
}

function findHandle(document: object): string | null {
  for (const alias of listOf(document, 'alsoKnownAs')) {
    if (typeof alias !== 'string' || !alias.startsWith('at://')) continue;
    const handle = alias.slice('at://'.length).toLowerCase();
    if (isDomainName(handle)) return handle;
  }
  return null;
}

/** Entries whose id is `fragment`, written relative or in full, at most CANDIDATES_MAX. */
function entriesOf(document: object, name: string, did: string, fragment: string): object[] {
  const found: object[] = [];
  for (const entry of listOf(document, name)) {
    if (!isRecord(entry)) continue;
    const id = field(entry, 'id');
    if (id === fragment || id === `${did}${fragment}`) found.push(entry);
    if (found.length === CANDIDATES_MAX) break;
  }
  return found;
}

function listOf(record: object, name: string): readonly unknown[] {
  const value = field(record, name);
  return Array.isArray(value) ? value : [];
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Own fields only: a document must not reach what every object inherits (S39). */
function field(record: object, name: string): unknown {
  return Object.hasOwn(record, name) ? Reflect.get(record, name) : undefined;
}
