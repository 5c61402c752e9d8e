/**
 * UTF-8 validity of a byte range (CB-8), written out because a decoder that puts U+FFFD in place
 * of bad bytes would change what was signed. Over-long forms, surrogates and code points above
 * U+10FFFF are refused (RFC 3629).
 * @thread any
 */
import { latin1 } from '../base/bytes.ts';

/**
 * One byte without a bounds check: the caller has compared `at` with the end. (The innermost loops
 * write it out: at four calls per key it was 15 % of a decode.)
 */
export function byteAt(buf: Uint8Array, at: number): number {
  return buf[at] as number;
}

/** Whether bytes [start, end) are ASCII only. */
export function isAscii(buf: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if ((buf[at] as number) > 0x7f) return false;
  return true;
}

/** Whether bytes [start, end) are well-formed UTF-8. */
export function isUtf8(buf: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    if ((buf[at] as number) <= 0x7f) {
      at += 1;
      continue;
    }
    const next = sequenceEnd(buf, at, end);
    if (next < 0) return false;
    at = next;
  }
  return true;
}

/** End of the multi-byte sequence at `at`, or -1. */
function sequenceEnd(buf: Uint8Array, at: number, end: number): number {
  const lead = byteAt(buf, at);
  if (lead < 0xc2 || lead > 0xf4) return -1;
  const next = at + (lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);
  if (next > end) return -1;
  const second = byteAt(buf, at + 1);
  const secondMin = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const secondMax = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < secondMin || second > secondMax) return -1;
  for (let i = at + 2; i < next; i++) if ((byteAt(buf, i) & 0xc0) !== 0x80) return -1;
  return next;
}

/** The JS string of a range that is known to be valid UTF-8. */
export function textOf(buf: Buffer, start: number, end: number): string {
  return isAscii(buf, start, end) ? latin1(buf, start, end) : buf.utf8Slice(start, end);
}
