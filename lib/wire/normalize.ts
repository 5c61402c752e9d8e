/**
 * The frame as it goes out: canonical, with every field that the lexicon requires, seq still the
 * host's. A frame that is right already is returned as it is; any other is written anew from the
 * ranges of its view, unknown fields byte for byte. Does not judge: the view was accepted.
 * @thread any
 */
import { FRAME_BYTES_MAX } from '../base/units.ts';
import type { RejectCode } from '../reject/codes.ts';
import {
  encodeHead,
  encodeText,
  FALSE_BYTE,
  MAJOR_ARRAY,
  MAJOR_MAP,
  NULL_BYTE,
  TRUE_BYTE,
} from './cbor.ts';
import { EntryTable, scanEntries } from './entries.ts';
import type { EventView } from './event.ts';
import {
  FIELD_ACTIVE,
  FIELD_BLOBS,
  FIELD_HANDLE,
  FIELD_KEYS,
  FIELD_OPS,
  FIELD_PREV_DATA,
  FIELD_REBASE,
  FIELD_SEQ,
  FIELD_SINCE,
  FIELD_STATUS,
  FIELD_TIME,
  FIELD_TOO_BIG,
  fieldOf,
  fieldsAdded,
  fieldsKnown,
} from './fields.ts';
import { KIND_ACCOUNT, KIND_IDENTITY } from './kinds.ts';
import { OP_CID, OP_CID_KEY, OP_PREV, type OpView, opFieldOf } from './ops.ts';

/** What the relay says instead of the host. A field that is left out stays as it came. */
export type Overrides = {
  /** Of an account event. */
  readonly active?: boolean;
  /** Of an account event; null takes the field away. */
  readonly status?: string | null;
  /** Of an identity event. */
  readonly dropHandle?: true;
  /** A datetime, where the host's own is none. */
  readonly time?: string;
};

/** The result; reused. `bytes` is the input itself, or a buffer of its own when changed. */
export class NormalFrame {
  bytes: Buffer = Buffer.alloc(0);
  /** The CBOR integer of `seq` in `bytes`. */
  seqStart = 0;
  seqEnd = 0;
  isChanged = false;
}

/** An entry of a map that is written: encoded key, encoded value. */
type Pair = { readonly key: Buffer; readonly value: Buffer };

/** Longest CBOR integer: what `seq` may grow to when it becomes ours. */
const SEQ_BYTES_MAX = 9;
const FALSE_VALUE = Buffer.from([FALSE_BYTE]);
const TRUE_VALUE = Buffer.from([TRUE_BYTE]);
const NULL_VALUE = Buffer.from([NULL_BYTE]);
const EMPTY_ARRAY = encodeHead(MAJOR_ARRAY, 0);

/**
 * Puts the outgoing form of the frame `buf`, decoded into `view`, into `out`. Rejects only with
 * wire_output_too_large: when it could be over 5,000,000 bytes with a seq of ours in it.
 */
export function normalizeFrame(
  buf: Buffer,
  view: EventView,
  overrides: Overrides | undefined,
  out: NormalFrame,
): RejectCode | undefined {
  out.isChanged =
    !view.isCanonical || (overrides !== undefined && isOverridden(buf, view, overrides));
  if (out.isChanged) rewrite(buf, view, overrides ?? {}, out);
  else {
    out.bytes = buf;
    out.seqStart = view.seqStart;
    out.seqEnd = view.seqEnd;
  }
  const bytesMax = out.bytes.length - (out.seqEnd - out.seqStart) + SEQ_BYTES_MAX;
  return bytesMax > FRAME_BYTES_MAX ? 'wire_output_too_large' : undefined;
}

function isOverridden(buf: Buffer, view: EventView, overrides: Overrides): boolean {
  if (overrides.time !== undefined) {
    const isSame = buf.utf8Slice(view.timeStart, view.timeEnd) === overrides.time;
    if (!isSame) return true;
  }
  if (view.kind === KIND_IDENTITY) return overrides.dropHandle === true && view.hasHandle;
  if (view.kind !== KIND_ACCOUNT) return false;
  if (overrides.active !== undefined && overrides.active !== view.active) return true;
  if (overrides.status === undefined) return false;
  return overrides.status === null
    ? view.hasStatus
    : !view.hasStatus || overrides.status !== view.status;
}

function rewrite(buf: Buffer, view: EventView, overrides: Overrides, out: NormalFrame): void {
  const payloadStart = view.header.payloadStart;
  const header = view.header.isSorted
    ? buf.subarray(0, payloadStart)
    : encodeMap(pairsOf(buf, view.header.entries));
  const pairs = payloadPairs(buf, view, overrides);
  sortPairs(pairs);
  const parts = [header, encodeHead(MAJOR_MAP, pairs.length)];
  let at = header.length + (parts[1] as Buffer).length;
  for (const { key, value } of pairs) {
    parts.push(key, value);
    at += key.length + value.length;
    if (key.equals(FIELD_KEYS[FIELD_SEQ] as Buffer)) {
      out.seqStart = at - value.length;
      out.seqEnd = at;
    }
  }
  out.bytes = Buffer.concat(parts, at);
}

function payloadPairs(buf: Buffer, view: EventView, overrides: Overrides): Pair[] {
  const known = fieldsKnown(view.kind);
  const pairs: Pair[] = [];
  let seen = 0;
  for (const pair of pairsOf(buf, view.entries)) {
    const bit = (1 << fieldOf(pair.key, 0)) & known;
    seen |= bit;
    const value = bit === 0 ? pair.value : outgoing(buf, view, overrides, bit, pair.value);
    if (value !== undefined) pairs.push({ key: pair.key, value });
  }
  const added = fieldsAdded(view.kind) & ~seen;
  if ((added & (1 << FIELD_SINCE)) !== 0) pairs.push(pairFor(FIELD_SINCE, NULL_VALUE));
  if ((added & (1 << FIELD_BLOBS)) !== 0) pairs.push(pairFor(FIELD_BLOBS, EMPTY_ARRAY));
  if ((added & (1 << FIELD_REBASE)) !== 0) pairs.push(pairFor(FIELD_REBASE, FALSE_VALUE));
  if ((added & (1 << FIELD_TOO_BIG)) !== 0) pairs.push(pairFor(FIELD_TOO_BIG, FALSE_VALUE));
  const status = statusOf(view, overrides);
  if (status !== null) pairs.push(pairFor(FIELD_STATUS, encodeText(status)));
  return pairs;
}

function pairFor(field: number, value: Buffer): Pair {
  return { key: FIELD_KEYS[field] as Buffer, value };
}

/** The status that goes out, or null for none. */
function statusOf(view: EventView, overrides: Overrides): string | null {
  if (view.kind !== KIND_ACCOUNT) return null;
  if (overrides.status !== undefined) return overrides.status;
  return view.hasStatus ? view.status : null;
}

/** The outgoing value of a known field, `bit` = 1 << its number; undefined leaves it out. */
function outgoing(
  buf: Buffer,
  view: EventView,
  overrides: Overrides,
  bit: number,
  given: Buffer,
): Buffer | undefined {
  switch (bit) {
    case 1 << FIELD_REBASE:
    case 1 << FIELD_TOO_BIG:
      return FALSE_VALUE;
    case 1 << FIELD_BLOBS:
      return EMPTY_ARRAY;
    case 1 << FIELD_OPS:
      return opsValue(buf, view);
    case 1 << FIELD_PREV_DATA:
      return view.hasPrevData ? given : undefined;
    case 1 << FIELD_TIME:
      return overrides.time === undefined ? given : encodeText(overrides.time);
    case 1 << FIELD_HANDLE:
      return view.hasHandle && overrides.dropHandle !== true ? given : undefined;
    case 1 << FIELD_ACTIVE:
      return (overrides.active ?? view.active) ? TRUE_VALUE : FALSE_VALUE;
    case 1 << FIELD_STATUS:
      // Added from `statusOf`, whether it was there or not.
      return undefined;
    default:
      return given;
  }
}

function opsValue(buf: Buffer, view: EventView): Buffer {
  const parts = [encodeHead(MAJOR_ARRAY, view.opCount)];
  for (let index = 0; index < view.opCount; index++) {
    const op = view.ops[index] as OpView;
    parts.push(op.isCanonical ? buf.subarray(op.start, op.end) : encodeOp(buf, op));
  }
  return Buffer.concat(parts);
}

// Scratch for the entries of one operation; a rewrite never yields.
const opEntries = new EntryTable();

/** The operation in canonical order, without a `prev` of null, with a `cid` of null if missing. */
function encodeOp(buf: Buffer, op: OpView): Buffer {
  scanEntries(buf, op.start, op.end, opEntries, undefined);
  const pairs: Pair[] = [];
  let hasCid = false;
  for (const pair of pairsOf(buf, opEntries)) {
    const field = opFieldOf(pair.key, 0);
    if (field === OP_CID) hasCid = true;
    if (field !== OP_PREV || op.prev !== '') pairs.push(pair);
  }
  if (!hasCid) pairs.push({ key: OP_CID_KEY, value: NULL_VALUE });
  return encodeMap(pairs);
}

function pairsOf(buf: Buffer, table: EntryTable): Pair[] {
  const pairs: Pair[] = [];
  for (let index = 0; index < table.count; index++) {
    const valueAt = table.valueAt[index] as number;
    const key = buf.subarray(table.keyAt[index], valueAt);
    pairs.push({ key, value: buf.subarray(valueAt, table.valueEnd[index]) });
  }
  return pairs;
}

/** Encoded keys compare bytewise in canonical order, because their heads hold the lengths. */
function sortPairs(pairs: Pair[]): void {
  pairs.sort((a, b) => Buffer.compare(a.key, b.key));
}

function encodeMap(pairs: Pair[]): Buffer {
  sortPairs(pairs);
  const parts = [encodeHead(MAJOR_MAP, pairs.length)];
  for (const { key, value } of pairs) parts.push(key, value);
  return Buffer.concat(parts);
}
