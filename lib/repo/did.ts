/**
 * Syntax of DIDs: the generic form (DD-1), exact did:plc (DD-3), hostname-only did:web (DD-4).
 * Only the spelling: nothing is resolved here, and nobody's case is folded (DD-5).
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';

export type DidOptions = {
  /** Development: allows did:web on `localhost`, with a port, and on the `.test` domain. */
  readonly isInsecure: boolean;
};

/** Longest DID, in characters (LM-6). */
export const DID_CHARS_MAX = 2048;
const HOSTNAME_CHARS_MAX = 253;
const LABEL_CHARS_MAX = 63;

const GENERIC = /^did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]$/;
const PLC = /^did:plc:[a-z2-7]{24}$/;
const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const LOCALHOST = /^localhost(%3A[1-9][0-9]{0,4})?$/;
const TOP_LEVELS_REFUSED = new Set([
  'alt',
  'arpa',
  'example',
  'internal',
  'invalid',
  'local',
  'localhost',
  'onion',
]);
const PORT_MAX = 65_535;

/** True for any DID the generic syntax allows, of whatever method. */
export function isDidSyntax(did: string): boolean {
  return did.length <= DID_CHARS_MAX && GENERIC.test(did);
}

function isWebHostname(name: string, options: DidOptions): boolean {
  if (name.length > HOSTNAME_CHARS_MAX) return false;
  const labels = name.split('.');
  if (labels.length < 2) return false;
  if (!labels.every((label) => label.length <= LABEL_CHARS_MAX && LABEL.test(label))) return false;
  const top = labels.at(-1) ?? '';
  // A top-level domain never begins with a digit: this also refuses bare IPv4 addresses.
  if (/^[0-9]/.test(top) || TOP_LEVELS_REFUSED.has(top)) return false;
  return top !== 'test' || options.isInsecure;
}

function isLocalhost(name: string): boolean {
  const port = LOCALHOST.exec(name)?.[1];
  return port === undefined ? LOCALHOST.test(name) : Number(port.slice('%3A'.length)) <= PORT_MAX;
}

/** Why this DID cannot be an account here, or undefined where its spelling is fine (H45…H49). */
export function didVerdict(did: string, options: DidOptions): RejectCode | undefined {
  if (!isDidSyntax(did)) return 'did_syntax_bad';
  if (did.startsWith('did:plc:')) return PLC.test(did) ? undefined : 'did_syntax_bad';
  if (!did.startsWith('did:web:')) return 'did_method_unsupported';
  const name = did.slice('did:web:'.length);
  // `%3A` is the only upper-case letter in a normalised did:web.
  if (/[A-Z]/.test(name.replace('%3A', ''))) return 'did_syntax_bad';
  if (options.isInsecure && isLocalhost(name)) return undefined;
  return isWebHostname(name, options) ? undefined : 'did_method_unsupported';
}
