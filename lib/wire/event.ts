/**
 * The strict decoder: a frame in, all fields of its event out, as offsets and a few strings. Both
 * objects are scanned to the last byte; types, sizes and syntax that belong to the envelope are
 * checked here (spec §1.4, §5.1 … §5.3). What the blocks hold, whether the DID is a DID and a path
 * a path, and whether any of it is true, is judged elsewhere.
 * @thread any
 */
import { latin1 } from '../base/bytes.ts';
import type { RejectCode } from '../reject/codes.ts';
import {
  CID_BYTES,
  CODEC_DRISL,
  FALSE_BYTE,
  headBytes,
  LINK_BYTES,
  linkEnd,
  MAJOR_ARRAY,
  MAJOR_BYTES,
  MAJOR_MAP,
  MAJOR_TEXT,
  NULL_BYTE,
  TRUE_BYTE,
} from './cbor.ts';
import { EntryTable, scanEntries } from './entries.ts';
import {
  DID_BYTES_MAX,
  FIELD_ACTIVE,
  FIELD_BLOBS,
  FIELD_BLOCKS,
  FIELD_COMMIT,
  FIELD_DID,
  FIELD_OPS,
  FIELD_PREV_DATA,
  FIELD_REBASE,
  FIELD_REPO,
  FIELD_REV,
  FIELD_SEQ,
  FIELD_SINCE,
  FIELD_STATUS,
  FIELD_TIME,
  FIELD_TOO_BIG,
  fieldsAdded,
  fieldsKnown,
  fieldsRequired,
  hostSeqAt,
  isInteger,
} from './fields.ts';
import { Header, readHeader } from './header.ts';
import { KIND_COMMIT, KIND_SYNC, type Kind } from './kinds.ts';
import type { OpSink, OpView } from './ops.ts';
import { isDatetime, isHandle, isTid } from './syntax.ts';
import { byteAt, textOf } from './utf8.ts';

/** Largest `blocks` of a commit (LM-2) and of a sync (LM-3). */
export const COMMIT_BLOCKS_BYTES_MAX = 2_000_000;
export const SYNC_BLOCKS_BYTES_MAX = 10_000;
/** All fields without a meaning to us, together; they are passed on as they are. */
export const UNKNOWN_BYTES_MAX = 65_536;
/** Longest account status; the longest known one has 14 bytes. */
export const STATUS_BYTES_MAX = 128;
/** `80`, the only right value of `blobs`. */
const EMPTY_ARRAY_BYTE = MAJOR_ARRAY << 5;

/**
 * What a frame says. Reused from frame to frame: `decodeEvent` sets every field. Offsets count
 * from the start of the frame; CIDs are strings of 36 characters, one per byte.
 */
export class EventView implements OpSink {
  kind: Kind = KIND_COMMIT;
  /** `repo` of a commit, `did` of the others; at most 2048 bytes, syntax not checked. */
  did = '';
  hostSeq = 0;
  /** The CBOR integer of `seq`. */
  seqStart = 0;
  seqEnd = 0;
  /** The text of `time`, without its head. */
  timeStart = 0;
  timeEnd = 0;
  /** False only for identity and account events, in which a bad time is no reject (H51). */
  isTimeValid = false;
  /** A TID. */
  rev = '';
  /** A TID, or '' when `since` is null or absent. */
  since = '';
  commitCid = '';
  /** '' and `hasPrevData` false when it is absent or null. */
  prevData = '';
  hasPrevData = false;
  /** The CAR in `blocks`, without the head of the byte string. */
  blocksStart = 0;
  blocksEnd = 0;
  /** The first `opCount` are valid. */
  readonly ops: OpView[] = [];
  opCount = 0;
  opReject: RejectCode | undefined;
  /** An update or delete without `prev`; can only be true when `prevData` is absent (H60). */
  isOpPrevMissing = false;
  active = false;
  /** '' and `hasStatus` false when it is absent or null; an unknown status is kept (A31). */
  status = '';
  hasStatus = false;
  /** '' and `hasHandle` false when it is absent, null, or no handle by its syntax. */
  handle = '';
  hasHandle = false;
  /** Whether header, payload and operations have their keys in canonical order (H20, A25). */
  isSorted = true;
  /** Whether a field must be added, corrected or left out before the frame goes out (H43, H44). */
  isFixNeeded = false;
  unknownBytes = 0;
  readonly header = new Header();
  readonly entries = new EntryTable();

  /** Whether the frame can go out as it came, but for `seq`. */
  get isCanonical(): boolean {
    return this.isSorted && !this.isFixNeeded;
  }

  reset(kind: Kind): void {
    this.kind = kind;
    this.did = '';
    this.hostSeq = 0;
    this.seqStart = 0;
    this.seqEnd = 0;
    this.timeStart = 0;
    this.timeEnd = 0;
    this.isTimeValid = false;
    this.rev = '';
    this.since = '';
    this.commitCid = '';
    this.prevData = '';
    this.hasPrevData = false;
    this.blocksStart = 0;
    this.blocksEnd = 0;
    this.opCount = 0;
    this.opReject = undefined;
    this.isOpPrevMissing = false;
    this.active = false;
    this.status = '';
    this.hasStatus = false;
    this.handle = '';
    this.hasHandle = false;
    this.isSorted = true;
    this.isFixNeeded = false;
    this.unknownBytes = 0;
    this.entries.reset();
  }
}

/**
 * Decodes the frame that is all of `buf`, of the kind that `peek` said, into `out`. After a reject
 * `out` holds what was read until then and is good for a log line only.
 */
export function decodeEvent(buf: Buffer, kind: Kind, out: EventView): RejectCode | undefined {
  out.reset(kind);
  const end = buf.length;
  const reject = readHeader(buf, 0, end, out.header);
  if (reject !== undefined) return reject;
  if (out.header.type !== kind) return 'frame_header_bad';
  const start = out.header.payloadStart;
  if (start >= end || byteAt(buf, start) >> 5 !== MAJOR_MAP) return 'wire_payload_not_map';
  const next = scanEntries(buf, start, end, out.entries, out);
  if (next < 0) return 'wire_cbor_bad';
  if (next !== end) return 'frame_trailing_bytes';
  if (!out.header.isSorted || !out.entries.isSorted) out.isSorted = false;
  out.unknownBytes += out.header.unknownBytes;
  return takeFields(buf, out);
}

/** Walks the entries and takes every known one; the first reject in frame order wins. */
function takeFields(buf: Buffer, view: EventView): RejectCode | undefined {
  const known = fieldsKnown(view.kind);
  let reject: RejectCode | undefined;
  let seen = 0;
  for (let index = 0; index < view.entries.count; index++) {
    const valueAt = view.entries.valueAt[index] as number;
    const valueEnd = view.entries.valueEnd[index] as number;
    const bit = 1 << (view.entries.field[index] as number);
    if ((known & bit) === 0) {
      view.unknownBytes += valueEnd - (view.entries.keyAt[index] as number);
      continue;
    }
    seen |= bit;
    const verdict = takeField(buf, bit, valueAt, valueEnd, view);
    reject ??= verdict;
  }
  const required = fieldsRequired(view.kind);
  if ((seen & required) !== required) reject ??= 'wire_field_missing';
  const added = fieldsAdded(view.kind);
  if ((seen & added) !== added) view.isFixNeeded = true;
  if (view.unknownBytes > UNKNOWN_BYTES_MAX) reject ??= 'wire_field_bad';
  // With prevData the commit claims the inductive protocol, in which `prev` is required (H60).
  if (view.hasPrevData && view.isOpPrevMissing) reject ??= 'commit_op_bad';
  return reject;
}

/** One known field: `bit` is 1 << its number. The value is well-formed CBOR. */
function takeField(
  buf: Buffer,
  bit: number,
  at: number,
  end: number,
  view: EventView,
): RejectCode | undefined {
  switch (bit) {
    case 1 << FIELD_SEQ:
      return takeSeq(buf, at, end, view);
    case 1 << FIELD_DID:
    case 1 << FIELD_REPO:
      return takeDid(buf, at, end, view);
    case 1 << FIELD_TIME:
      return takeTime(buf, at, end, view);
    case 1 << FIELD_REV:
      return takeRev(buf, at, end, view);
    case 1 << FIELD_SINCE:
      return takeSince(buf, at, end, view);
    case 1 << FIELD_BLOCKS:
      return takeBlocks(buf, at, end, view);
    case 1 << FIELD_COMMIT:
      view.commitCid = cidAt(buf, at, end);
      return view.commitCid === '' ? 'wire_field_bad' : undefined;
    case 1 << FIELD_OPS:
      return view.opReject;
    case 1 << FIELD_BLOBS:
      return takeBlobs(buf, at, view);
    case 1 << FIELD_REBASE:
    case 1 << FIELD_TOO_BIG:
      return takeFlag(buf, at, view);
    case 1 << FIELD_PREV_DATA:
      return takePrevData(buf, at, end, view);
    case 1 << FIELD_ACTIVE:
      view.active = byteAt(buf, at) === TRUE_BYTE;
      return view.active || byteAt(buf, at) === FALSE_BYTE ? undefined : 'wire_field_bad';
    case 1 << FIELD_STATUS:
      return takeStatus(buf, at, end, view);
    default:
      return takeHandle(buf, at, end, view);
  }
}

/** Start of the text at `at`, or -1 when the value there is no text. */
function textStart(buf: Buffer, at: number): number {
  const first = byteAt(buf, at);
  return first >> 5 === MAJOR_TEXT ? at + headBytes(first) : -1;
}

/** The CID of a link to a DRISL block (CD-4), or '' for any other value. */
function cidAt(buf: Buffer, at: number, end: number): string {
  const cidStart = at + LINK_BYTES - CID_BYTES;
  const isDrislLink = linkEnd(buf, at, end) === end && byteAt(buf, cidStart + 1) === CODEC_DRISL;
  return isDrislLink ? latin1(buf, cidStart, end) : '';
}

function takeSeq(buf: Buffer, at: number, end: number, view: EventView): RejectCode | undefined {
  if (!isInteger(buf, at)) return 'wire_field_bad';
  view.hostSeq = hostSeqAt(buf, at, end);
  view.seqStart = at;
  view.seqEnd = end;
  return view.hostSeq === 0 ? 'host_seq_bad' : undefined;
}

function takeDid(buf: Buffer, at: number, end: number, view: EventView): RejectCode | undefined {
  const start = textStart(buf, at);
  if (start < 0) return 'wire_field_bad';
  if (start === end || end - start > DID_BYTES_MAX) return 'did_syntax_bad';
  view.did = textOf(buf, start, end);
  return undefined;
}

function takeTime(buf: Buffer, at: number, end: number, view: EventView): RejectCode | undefined {
  const start = textStart(buf, at);
  if (start < 0) return 'wire_field_bad';
  view.timeStart = start;
  view.timeEnd = end;
  view.isTimeValid = isDatetime(buf, start, end);
  const isStrict = view.kind === KIND_COMMIT || view.kind === KIND_SYNC;
  return isStrict && !view.isTimeValid ? 'wire_time_bad' : undefined;
}

function takeRev(buf: Buffer, at: number, end: number, view: EventView): RejectCode | undefined {
  const start = textStart(buf, at);
  if (start < 0) return 'wire_field_bad';
  if (!isTid(buf, start, end)) return 'commit_rev_bad';
  view.rev = latin1(buf, start, end);
  return undefined;
}

function takeSince(buf: Buffer, at: number, end: number, view: EventView): RejectCode | undefined {
  if (byteAt(buf, at) === NULL_BYTE) return undefined;
  const start = textStart(buf, at);
  if (start < 0 || !isTid(buf, start, end)) return 'wire_field_bad';
  view.since = latin1(buf, start, end);
  return undefined;
}

function takeBlocks(buf: Buffer, at: number, end: number, view: EventView): RejectCode | undefined {
  const first = byteAt(buf, at);
  if (first >> 5 !== MAJOR_BYTES) return 'wire_field_bad';
  view.blocksStart = at + headBytes(first);
  view.blocksEnd = end;
  const bytes = end - view.blocksStart;
  if (bytes === 0) return 'commit_blocks_empty';
  const bytesMax = view.kind === KIND_COMMIT ? COMMIT_BLOCKS_BYTES_MAX : SYNC_BLOCKS_BYTES_MAX;
  return bytes > bytesMax ? 'commit_blocks_too_large' : undefined;
}

/** `blobs` is deprecated and always empty; null and old lists become `[]` (H43, CH-7). */
function takeBlobs(buf: Buffer, at: number, view: EventView): RejectCode | undefined {
  const first = byteAt(buf, at);
  if (first === EMPTY_ARRAY_BYTE) return undefined;
  view.isFixNeeded = true;
  return first === NULL_BYTE || first >> 5 === MAJOR_ARRAY ? undefined : 'wire_field_bad';
}

/** `rebase` and `tooBig` are deprecated: the content is judged, the flag goes out false (H44). */
function takeFlag(buf: Buffer, at: number, view: EventView): RejectCode | undefined {
  const first = byteAt(buf, at);
  if (first === FALSE_BYTE) return undefined;
  view.isFixNeeded = true;
  return first === TRUE_BYTE || first === NULL_BYTE ? undefined : 'wire_field_bad';
}

/** True for an optional field that is null: not the lexicon, but absent is what is meant. */
function isLeftOut(buf: Buffer, at: number, view: EventView): boolean {
  if (byteAt(buf, at) !== NULL_BYTE) return false;
  view.isFixNeeded = true;
  return true;
}

function takePrevData(
  buf: Buffer,
  at: number,
  end: number,
  view: EventView,
): RejectCode | undefined {
  if (isLeftOut(buf, at, view)) return undefined;
  view.prevData = cidAt(buf, at, end);
  view.hasPrevData = view.prevData !== '';
  return view.hasPrevData ? undefined : 'wire_field_bad';
}

function takeStatus(buf: Buffer, at: number, end: number, view: EventView): RejectCode | undefined {
  if (isLeftOut(buf, at, view)) return undefined;
  const start = textStart(buf, at);
  if (start < 0 || end - start > STATUS_BYTES_MAX) return 'wire_field_bad';
  view.status = textOf(buf, start, end);
  view.hasStatus = true;
  return undefined;
}

/** A handle that is none is left out: the event still says "look again", which is its purpose. */
function takeHandle(buf: Buffer, at: number, end: number, view: EventView): RejectCode | undefined {
  if (isLeftOut(buf, at, view)) return undefined;
  const start = textStart(buf, at);
  if (start < 0) return 'wire_field_bad';
  if (isHandle(buf, start, end)) {
    view.handle = latin1(buf, start, end);
    view.hasHandle = true;
  } else {
    view.isFixNeeded = true;
  }
  return undefined;
}
