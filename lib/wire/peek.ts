/**
 * The least that main must know of a frame to route it: kind, DID, the host's seq. Walks heads
 * and stops at what it wants; the verify thread judges the rest. What it reads is what the strict
 * decoder will read from any frame that the decoder accepts (a key twice is refused there).
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';
import {
  headArgument,
  headBytes,
  MAJOR_MAP,
  MAJOR_TEXT,
  RULES_FRAME,
  scanItem,
  skipItem,
} from './cbor.ts';
import { ENTRIES_MAX } from './entries.ts';
import {
  DID_BYTES_MAX,
  FIELD_DID,
  FIELD_REPO,
  FIELD_SEQ,
  fieldOf,
  hostSeqAt,
  isInteger,
} from './fields.ts';
import { FRAME_ERROR, FRAME_INFO, Header, readHeader } from './header.ts';
import { KIND_COMMIT, type Kind } from './kinds.ts';
import { byteAt } from './utf8.ts';

/** `event`: the fields of Peek are valid. `info` and `error`: for control.ts. Else the reject. */
export type PeekResult = 'event' | 'info' | 'error' | RejectCode;

export class Peek {
  kind: Kind = KIND_COMMIT;
  /** The DID's bytes. Not checked for syntax, nor even for UTF-8. */
  didStart = 0;
  didEnd = 0;
  /** 1 … 2^53-1. */
  hostSeq = 0;
  readonly header = new Header();
}

/** Peeks at a frame that is all of `buf`. */
export function peek(buf: Buffer, out: Peek): PeekResult {
  return peekAt(buf, 0, buf.length, out);
}

/** Peeks at the frame [start, end) of `buf`; offsets in `out` count from the start of `buf`. */
export function peekAt(buf: Buffer, start: number, end: number, out: Peek): PeekResult {
  const reject = readHeader(buf, start, end, out.header);
  if (reject !== undefined) return reject;
  const type = out.header.type;
  if (type === FRAME_INFO) return 'info';
  if (type === FRAME_ERROR) return 'error';
  out.kind = type as Kind;
  return peekPayload(buf, out.header.payloadStart, end, out) ?? 'event';
}

function peekPayload(buf: Buffer, start: number, end: number, out: Peek): RejectCode | undefined {
  if (start >= end || byteAt(buf, start) >> 5 !== MAJOR_MAP) return 'wire_payload_not_map';
  const count = headArgument(buf, start, end);
  if (count < 0 || count > ENTRIES_MAX) return 'wire_cbor_bad';
  const didField = out.kind === KIND_COMMIT ? FIELD_REPO : FIELD_DID;
  out.didEnd = 0;
  out.hostSeq = 0;
  let at = start + headBytes(byteAt(buf, start));
  for (let index = 0; index < count; index++) {
    const valueAt = keySkip(buf, at, end);
    if (valueAt < 0) return 'wire_cbor_bad';
    const field = fieldOf(buf, at);
    let reject: RejectCode | undefined;
    if (field === FIELD_SEQ) reject = readSeq(buf, valueAt, end, out);
    else if (field === didField) reject = readDid(buf, valueAt, end, out);
    if (reject !== undefined) return reject;
    if (out.didEnd > 0 && out.hostSeq > 0) return undefined;
    at = skipItem(buf, valueAt, end);
    if (at < 0) return 'wire_cbor_bad';
  }
  return 'wire_field_missing';
}

/** End of the text key at `at` with a value behind it, or -1. */
function keySkip(buf: Buffer, at: number, end: number): number {
  if (at >= end || byteAt(buf, at) >> 5 !== MAJOR_TEXT) return -1;
  const length = headArgument(buf, at, end);
  const next = at + headBytes(byteAt(buf, at)) + length;
  return length >= 0 && next < end ? next : -1;
}

function readSeq(buf: Buffer, at: number, end: number, out: Peek): RejectCode | undefined {
  if (!isInteger(buf, at)) return wrongType(buf, at, end);
  if (headArgument(buf, at, end) < 0) return 'wire_cbor_bad';
  out.hostSeq = hostSeqAt(buf, at, end);
  return out.hostSeq === 0 ? 'host_seq_bad' : undefined;
}

function readDid(buf: Buffer, at: number, end: number, out: Peek): RejectCode | undefined {
  if (byteAt(buf, at) >> 5 !== MAJOR_TEXT) return wrongType(buf, at, end);
  const length = headArgument(buf, at, end);
  out.didStart = at + headBytes(byteAt(buf, at));
  if (length < 0 || length > end - out.didStart) return 'wire_cbor_bad';
  if (length === 0 || length > DID_BYTES_MAX) return 'did_syntax_bad';
  out.didEnd = out.didStart + length;
  return undefined;
}

/** The field is at fault, unless its value is no DRISL: a float, a tag, a broken head (H26). */
function wrongType(buf: Buffer, at: number, end: number): RejectCode {
  return scanItem(buf, at, end, RULES_FRAME) < 0 ? 'wire_cbor_bad' : 'wire_field_bad';
}
