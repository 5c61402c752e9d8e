/**
 * Is a record block CBOR at all: one item of definite lengths that fills the block. Nothing more:
 * key order, floats, foreign links, empty keys and bad texts are its reader's business, and real
 * hosts let them through (spec §1.16, H121, H122; a recorded session has keys that are empty).
 * Iterative, so that depth costs nothing; linear in the bytes.
 * @thread any
 */
import { MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_TAG, MAJOR_TEXT } from '../wire/cbor.ts';
import { byteAt } from '../wire/utf8.ts';

/** Whether `buf[start, end)` is exactly one well-formed item. */
export function isRecordCbor(buf: Buffer, start: number, end: number): boolean {
  let at = start;
  // Items that are still to come; each takes a byte at least.
  let pending = 1;
  while (pending > 0) {
    if (pending > end - at) return false;
    const first = byteAt(buf, at);
    const info = first & 31;
    // 28 … 30 are reserved, 31 is an indefinite length or its end.
    if (info > 27) return false;
    const argumentBytes = info < 24 ? 0 : 1 << (info - 24);
    if (argumentBytes > end - at - 1) return false;
    const argument = info < 24 ? info : argumentAt(buf, at + 1, argumentBytes);
    at += 1 + argumentBytes;
    const major = first >> 5;
    pending -= 1;
    if (major === MAJOR_BYTES || major === MAJOR_TEXT) {
      if (argument > end - at) return false;
      at += argument;
    } else if (major === MAJOR_ARRAY) pending += argument;
    else if (major === MAJOR_MAP) pending += 2 * argument;
    else if (major === MAJOR_TAG) pending += 1;
  }
  return at === end;
}

function argumentAt(buf: Buffer, at: number, bytes: number): number {
  let argument = 0;
  for (let i = 0; i < bytes; i++) argument = argument * 256 + byteAt(buf, at + i);
  return argument;
}
