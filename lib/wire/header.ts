/**
 * The first of the two objects of a frame (FR-4, FR-5): which kind of message follows, and where.
 * The five headers that well-behaved hosts send are told by their bytes; any other form of the
 * same map is scanned. Does not look at the payload.
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';
import {
  encodeHead,
  encodeText,
  encodeUint,
  headArgument,
  MAJOR_MAP,
  MAJOR_NEGATIVE,
  MAJOR_TEXT,
  MAJOR_UINT,
} from './cbor.ts';
import { EntryTable, scanEntries } from './entries.ts';
import { startsWith } from './fields.ts';
import { KIND_NAMES } from './kinds.ts';
import { byteAt } from './utf8.ts';

/** What a frame is: a Kind (1 … 4), or one of these, which are never stored or forwarded. */
export const FRAME_INFO = 5;
export const FRAME_ERROR = 6;

const TYPE_NAMES = [...KIND_NAMES, '#info'];
const TYPE_TEXTS: readonly Buffer[] = TYPE_NAMES.map((name) => encodeText(name));
const KEY_T = encodeText('t');
const KEY_OP = encodeText('op');

/** Canonical header of each type, `{t, op: 1}`; `t` sorts first (FR-14). */
export const HEADERS: readonly Buffer[] = TYPE_TEXTS.map((text) =>
  Buffer.concat([encodeHead(MAJOR_MAP, 2), KEY_T, text, KEY_OP, encodeUint(1)]),
);
/** Canonical header of an error frame, `{op: -1}`. */
export const ERROR_HEADER = Buffer.concat([
  encodeHead(MAJOR_MAP, 1),
  KEY_OP,
  encodeHead(MAJOR_NEGATIVE, 0),
]);

/** Place of the length of `t` in a canonical header, by which the type is guessed. */
const TEXT_HEAD_AT = 1 + KEY_T.length;
const HEADER_BYTES_MIN = ERROR_HEADER.length;

export class Header {
  /** A Kind, FRAME_INFO or FRAME_ERROR. */
  type = 0;
  payloadStart = 0;
  isSorted = true;
  /** Bytes of fields other than `op` and `t`, which are kept. */
  unknownBytes = 0;
  /** The entries, filled only when the header is not one of the canonical ones. */
  readonly entries = new EntryTable();
}

/**
 * Reads the header of the frame [start, end) into `out`. Rejects: frame_header_bad (no map, no
 * `op`, no `t`: H2, H6, H7, H9), wire_cbor_bad (H19, H21 …), frame_op_unknown (H8),
 * frame_kind_unknown (H10).
 */
export function readHeader(
  buf: Buffer,
  start: number,
  end: number,
  out: Header,
): RejectCode | undefined {
  out.isSorted = true;
  out.unknownBytes = 0;
  out.entries.reset();
  const type = end - start > HEADER_BYTES_MIN ? guessType(byteAt(buf, start + TEXT_HEAD_AT)) : 0;
  if (type !== 0) {
    // `#sync` and `#info` are equally long.
    if (isHeader(buf, start, end, type)) return takeCanonical(type, start, out);
    if (type === 2 && isHeader(buf, start, end, FRAME_INFO)) {
      return takeCanonical(FRAME_INFO, start, out);
    }
  }
  return readAnyHeader(buf, start, end, out);
}

function guessType(textHead: number): number {
  const length = textHead - (MAJOR_TEXT << 5);
  if (length === 7) return 1;
  if (length === 5) return 2;
  if (length === 9) return 3;
  return length === 8 ? 4 : 0;
}

function isHeader(buf: Buffer, start: number, end: number, type: number): boolean {
  const header = HEADERS[type] as Buffer;
  return end - start >= header.length && startsWith(buf, start, header);
}

function takeCanonical(type: number, start: number, out: Header): undefined {
  out.type = type;
  out.payloadStart = start + (HEADERS[type] as Buffer).length;
}

/** A header with other fields, in another order, of another type, or broken. */
function readAnyHeader(
  buf: Buffer,
  start: number,
  end: number,
  out: Header,
): RejectCode | undefined {
  if (start >= end || byteAt(buf, start) >> 5 !== MAJOR_MAP) return 'frame_header_bad';
  const next = scanEntries(buf, start, end, out.entries, undefined);
  if (next < 0) return 'wire_cbor_bad';
  out.payloadStart = next;
  out.isSorted = out.entries.isSorted;
  let opAt = -1;
  let typeAt = -1;
  for (let index = 0; index < out.entries.count; index++) {
    const keyAt = out.entries.keyAt[index] as number;
    const valueAt = out.entries.valueAt[index] as number;
    if (startsWith(buf, keyAt, KEY_OP)) opAt = valueAt;
    else if (startsWith(buf, keyAt, KEY_T)) typeAt = valueAt;
    else out.unknownBytes += (out.entries.valueEnd[index] as number) - keyAt;
  }
  return opAt < 0 ? 'frame_header_bad' : judge(buf, opAt, typeAt, end, out);
}

/** Op and type of a header that is well formed; `typeAt` is -1 when there is no `t`. */
function judge(
  buf: Buffer,
  opAt: number,
  typeAt: number,
  end: number,
  out: Header,
): RejectCode | undefined {
  const major = byteAt(buf, opAt) >> 5;
  const argument = headArgument(buf, opAt, end);
  if (major !== MAJOR_UINT && major !== MAJOR_NEGATIVE) return 'frame_header_bad';
  if (major === MAJOR_NEGATIVE && argument === 0) {
    out.type = FRAME_ERROR;
    return undefined;
  }
  if (major === MAJOR_NEGATIVE || argument !== 1) return 'frame_op_unknown';
  if (typeAt < 0 || byteAt(buf, typeAt) >> 5 !== MAJOR_TEXT) return 'frame_header_bad';
  out.type = TYPE_TEXTS.findIndex((text, type) => type > 0 && startsWith(buf, typeAt, text));
  return out.type < 0 ? 'frame_kind_unknown' : undefined;
}
