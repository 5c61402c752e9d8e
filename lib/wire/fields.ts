/**
 * The names of payload fields and which kind of event has which. A field is told by the head and
 * first byte of its key, which differ for all names, and then compared in full: no string is made.
 * @thread any
 */
import { encodeText, headArgument, MAJOR_NEGATIVE, MAJOR_UINT } from './cbor.ts';
import { KIND_ACCOUNT, KIND_COMMIT, KIND_SYNC, type Kind } from './kinds.ts';
import { byteAt } from './utf8.ts';

export const FIELD_UNKNOWN = 0;
export const FIELD_SEQ = 1;
export const FIELD_DID = 2;
export const FIELD_REPO = 3;
export const FIELD_TIME = 4;
export const FIELD_REV = 5;
export const FIELD_SINCE = 6;
export const FIELD_BLOCKS = 7;
export const FIELD_COMMIT = 8;
export const FIELD_OPS = 9;
export const FIELD_BLOBS = 10;
export const FIELD_REBASE = 11;
export const FIELD_TOO_BIG = 12;
export const FIELD_PREV_DATA = 13;
export const FIELD_ACTIVE = 14;
export const FIELD_STATUS = 15;
export const FIELD_HANDLE = 16;

/** Names by field number. */
const NAMES = [
  '',
  'seq',
  'did',
  'repo',
  'time',
  'rev',
  'since',
  'blocks',
  'commit',
  'ops',
  'blobs',
  'rebase',
  'tooBig',
  'prevData',
  'active',
  'status',
  'handle',
] as const;

/** Encoded keys by field number. Names are shorter than 24, so the head is one byte. */
export const FIELD_KEYS: readonly Buffer[] = NAMES.map((name) => encodeText(name));

const NAME_BYTES_MAX = 8;
/** Field number by `(length << 8) | first character`. */
const FIELD_BY_START = new Uint8Array((NAME_BYTES_MAX + 1) << 8);
for (const [field, name] of NAMES.entries()) {
  if (field > 0) FIELD_BY_START[(name.length << 8) | name.charCodeAt(0)] = field;
}

/** The field of the key at `keyAt`, a key that was scanned; FIELD_UNKNOWN for any other name. */
export function fieldOf(buf: Uint8Array, keyAt: number): number {
  const length = byteAt(buf, keyAt) & 31;
  if (length > NAME_BYTES_MAX) return FIELD_UNKNOWN;
  const field = FIELD_BY_START[(length << 8) | byteAt(buf, keyAt + 1)] as number;
  return field !== FIELD_UNKNOWN && startsWith(buf, keyAt, FIELD_KEYS[field] as Buffer)
    ? field
    : FIELD_UNKNOWN;
}

/** Whether the bytes at `at` are `expected`; the caller knows that so many are there. */
export function startsWith(buf: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) {
    if (buf[at + i] !== expected[i]) return false;
  }
  return true;
}

function maskOf(...fields: number[]): number {
  return fields.reduce((mask, field) => mask | (1 << field), 0);
}

const IDENTITY_REQUIRED = maskOf(FIELD_SEQ, FIELD_DID, FIELD_TIME);
const ACCOUNT_REQUIRED = IDENTITY_REQUIRED | maskOf(FIELD_ACTIVE);
const SYNC_REQUIRED = IDENTITY_REQUIRED | maskOf(FIELD_REV, FIELD_BLOCKS);
const COMMIT_REQUIRED = maskOf(
  FIELD_SEQ,
  FIELD_REPO,
  FIELD_TIME,
  FIELD_REV,
  FIELD_BLOCKS,
  FIELD_COMMIT,
  FIELD_OPS,
);
/** Required by the lexicon as well, but with one right value: we add or correct them (H43, H44). */
const COMMIT_ADDED = maskOf(FIELD_SINCE, FIELD_BLOBS, FIELD_REBASE, FIELD_TOO_BIG);
const COMMIT_KNOWN = COMMIT_REQUIRED | COMMIT_ADDED | maskOf(FIELD_PREV_DATA);
const ACCOUNT_KNOWN = ACCOUNT_REQUIRED | maskOf(FIELD_STATUS);
const IDENTITY_KNOWN = IDENTITY_REQUIRED | maskOf(FIELD_HANDLE);

/** Mask (1 << field) of the fields without which an event of the kind is dropped. */
export function fieldsRequired(kind: Kind): number {
  if (kind === KIND_COMMIT) return COMMIT_REQUIRED;
  if (kind === KIND_SYNC) return SYNC_REQUIRED;
  return kind === KIND_ACCOUNT ? ACCOUNT_REQUIRED : IDENTITY_REQUIRED;
}

/** Mask of the required fields that we add when they are missing. */
export function fieldsAdded(kind: Kind): number {
  return kind === KIND_COMMIT ? COMMIT_ADDED : 0;
}

/** Mask of all fields with a meaning in an event of the kind; others are kept as they are. */
export function fieldsKnown(kind: Kind): number {
  if (kind === KIND_COMMIT) return COMMIT_KNOWN;
  if (kind === KIND_SYNC) return SYNC_REQUIRED;
  return kind === KIND_ACCOUNT ? ACCOUNT_KNOWN : IDENTITY_KNOWN;
}

/** Longest DID (LM-6). */
export const DID_BYTES_MAX = 2048;

/** Whether the item at `at` is an integer of either sign. */
export function isInteger(buf: Uint8Array, at: number): boolean {
  const major = byteAt(buf, at) >> 5;
  return major === MAJOR_UINT || major === MAJOR_NEGATIVE;
}

/** The host's seq that the integer at `at` is: 1 … 2^53-1, or 0 when it is none (H34, H35). */
export function hostSeqAt(buf: Uint8Array, at: number, end: number): number {
  if (byteAt(buf, at) >> 5 !== MAJOR_UINT) return 0;
  const value = headArgument(buf, at, end);
  return value > 0 && value <= Number.MAX_SAFE_INTEGER ? value : 0;
}
