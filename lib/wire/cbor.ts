/**
 * Strict DRISL (spec §1.4) over offsets: every function takes a buffer and a range and returns the
 * end of what it read, or BAD. No objects, no recursion, no allocation: depth, items and key sizes
 * are bounded, so the cost of a hostile item is bounded too. Knows nothing of frames or events.
 *
 * Two rule sets: an event frame (no floats at all, blessed links, safe integers) and, for record
 * blocks, one that also passes 64-bit floats and integers and links of other hashes (H121).
 * @thread any
 */
import { byteAt, isUtf8 } from './utf8.ts';

/** Returned instead of an offset: not canonical DRISL, truncated, or beyond a budget. */
export const BAD = -1;

export const MAJOR_UINT = 0;
export const MAJOR_NEGATIVE = 1;
export const MAJOR_BYTES = 2;
export const MAJOR_TEXT = 3;
export const MAJOR_ARRAY = 4;
export const MAJOR_MAP = 5;
export const MAJOR_TAG = 6;
export const MAJOR_SIMPLE = 7;

export const FALSE_BYTE = 0xf4;
export const TRUE_BYTE = 0xf5;
export const NULL_BYTE = 0xf6;
const FLOAT64_BYTE = 0xfb;
const FLOAT64_BYTES = 9;

/** Containers may nest this deep (LM-10). */
export const DEPTH_MAX = 32;
/** Most elements of one container, and most items of one scan (LM-10). */
export const ITEMS_MAX = 131_072;
/** Longest map key (LM-10). */
export const KEY_BYTES_MAX = 8192;

/** A CID is always these many bytes: version, codec, hash, length, 32 of digest (CD-1). */
export const CID_BYTES = 36;
/** A link: tag 42 head, bytes head, 00, CID (CD-2). */
export const LINK_BYTES = 41;
export const CODEC_DRISL = 0x71;
export const CODEC_RAW = 0x55;

/** Bits of a rule set. */
export const ALLOW_INT64 = 1;
export const ALLOW_FLOAT64 = 2;
export const ALLOW_ANY_LINK = 4;
export const RULES_FRAME = 0;
export const RULES_RECORD = ALLOW_INT64 | ALLOW_FLOAT64 | ALLOW_ANY_LINK;

/** Bytes of a head (1, 2, 3, 5 or 9) by its first byte. */
export function headBytes(first: number): number {
  const info = first & 31;
  if (info < 24) return 1;
  return info === 24 ? 2 : info === 25 ? 3 : info === 26 ? 5 : 9;
}

/**
 * The argument of the head at `at` (`at` < `end`), or BAD when it is truncated, indefinite,
 * reserved or not in its shortest form (CB-2). Above 2^53 it is rounded, and stays above.
 */
export function headArgument(buf: Uint8Array, at: number, end: number): number {
  const info = (buf[at] as number) & 31;
  if (info < 24) return info;
  return info > 27 ? BAD : longArgument(buf, at, end, info);
}

function longArgument(buf: Uint8Array, at: number, end: number, info: number): number {
  if (at + headBytes(info) > end) return BAD;
  if (info === 24) {
    const value = byteAt(buf, at + 1);
    return value < 24 ? BAD : value;
  }
  if (info === 25) {
    const value = (byteAt(buf, at + 1) << 8) | byteAt(buf, at + 2);
    return value <= 0xff ? BAD : value;
  }
  const high = uint32At(buf, at + 1);
  if (info === 26) return high <= 0xffff ? BAD : high;
  return high === 0 ? BAD : high * 2 ** 32 + uint32At(buf, at + 5);
}

function uint32At(buf: Uint8Array, at: number): number {
  const high = (byteAt(buf, at) << 8) | byteAt(buf, at + 1);
  return high * 0x10000 + ((byteAt(buf, at + 2) << 8) | byteAt(buf, at + 3));
}

/** End of the map key at `at`: a non-empty, valid text of bounded length (CB-3, CB-4, CB-8). */
export function keyEnd(buf: Uint8Array, at: number, end: number): number {
  if (at >= end) return BAD;
  const first = byteAt(buf, at);
  if (first >> 5 !== MAJOR_TEXT) return BAD;
  const length = headArgument(buf, at, end);
  const start = at + headBytes(first);
  if (length <= 0 || length > KEY_BYTES_MAX || length > end - start) return BAD;
  return isUtf8(buf, start, start + length) ? start + length : BAD;
}

/**
 * Canonical order of two encoded keys (CB-3): below 0, 0 or above 0 as `a` comes before, is equal
 * to or comes after `b`. The heads hold the lengths, so bytewise is also length first, and a
 * difference always shows before the shorter one ends.
 */
export function compareKeys(buf: Uint8Array, a: number, b: number, bEnd: number): number {
  const length = bEnd - b;
  for (let i = 0; i < length; i++) {
    const difference = (buf[a + i] as number) - (buf[b + i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** End of the link at `at`: tag 42 over CIDv1, SHA-256, codec DRISL or raw (CD-1, CD-2). */
export function linkEnd(buf: Uint8Array, at: number, end: number): number {
  if (at + LINK_BYTES > end) return BAD;
  if (byteAt(buf, at) !== 0xd8 || byteAt(buf, at + 1) !== 42) return BAD;
  if (byteAt(buf, at + 2) !== 0x58 || byteAt(buf, at + 3) !== 37) return BAD;
  if (byteAt(buf, at + 4) !== 0 || byteAt(buf, at + 5) !== 1) return BAD;
  const codec = byteAt(buf, at + 6);
  if (codec !== CODEC_DRISL && codec !== CODEC_RAW) return BAD;
  return byteAt(buf, at + 7) === 0x12 && byteAt(buf, at + 8) === 32 ? at + LINK_BYTES : BAD;
}

/** End of a tag 42 over any byte string with the leading 00 of a binary CID. */
function anyLinkEnd(buf: Uint8Array, at: number, end: number): number {
  if (at + 3 > end || byteAt(buf, at) !== 0xd8 || byteAt(buf, at + 1) !== 42) return BAD;
  const body = at + 2;
  if (byteAt(buf, body) >> 5 !== MAJOR_BYTES) return BAD;
  const bodyEnd = stringEnd(buf, body, end);
  const content = body + headBytes(byteAt(buf, body));
  return bodyEnd > content && byteAt(buf, content) === 0 ? bodyEnd : BAD;
}

/** End of the byte or text string at `at`, its content not looked at. */
function stringEnd(buf: Uint8Array, at: number, end: number): number {
  const length = headArgument(buf, at, end);
  const start = at + headBytes(byteAt(buf, at));
  return length < 0 || length > end - start ? BAD : start + length;
}

function integerEnd(buf: Uint8Array, at: number, end: number, rules: number): number {
  const first = byteAt(buf, at);
  const argument = headArgument(buf, at, end);
  if (argument < 0) return BAD;
  // -1 - argument must be safe too. Decoders of our consumers throw beyond 53 bits (CB-7).
  const argumentMax = Number.MAX_SAFE_INTEGER - (first >> 5);
  if (argument > argumentMax && (rules & ALLOW_INT64) === 0) return BAD;
  return at + headBytes(first);
}

function simpleEnd(buf: Uint8Array, at: number, end: number, rules: number): number {
  const first = byteAt(buf, at);
  if (first >= FALSE_BYTE && first <= NULL_BYTE) return at + 1;
  if (first !== FLOAT64_BYTE || (rules & ALLOW_FLOAT64) === 0) return BAD;
  if (at + FLOAT64_BYTES > end) return BAD;
  // An exponent of all ones is NaN or an infinity (CB-6).
  return (uint32At(buf, at + 1) & 0x7ff00000) === 0x7ff00000 ? BAD : at + FLOAT64_BYTES;
}

/** End of the item at `at` (`at` < `end`), which is no container. */
function scalarEnd(buf: Uint8Array, at: number, end: number, rules: number): number {
  const first = byteAt(buf, at);
  const major = first >> 5;
  if (major <= MAJOR_NEGATIVE) return integerEnd(buf, at, end, rules);
  if (major === MAJOR_BYTES) return stringEnd(buf, at, end);
  if (major === MAJOR_TEXT) {
    const next = stringEnd(buf, at, end);
    return next >= 0 && isUtf8(buf, at + headBytes(first), next) ? next : BAD;
  }
  if (major === MAJOR_SIMPLE) return simpleEnd(buf, at, end, rules);
  const strict = linkEnd(buf, at, end);
  return strict >= 0 || (rules & ALLOW_ANY_LINK) === 0 ? strict : anyLinkEnd(buf, at, end);
}

// Scratch of scanItem, one row per open container. A scan never yields, so one set per thread.
const itemsLeft = new Int32Array(DEPTH_MAX + 1);
const lastKeyAt = new Int32Array(DEPTH_MAX + 1);
const IS_ARRAY = -1;
const NO_KEY_YET = -2;

/** Opens the array or map at `at` in row `depth`; returns the end of its head, or BAD. */
function openContainer(buf: Uint8Array, at: number, end: number, depth: number): number {
  const first = byteAt(buf, at);
  const count = headArgument(buf, at, end);
  const body = at + headBytes(first);
  const isMap = first >> 5 === MAJOR_MAP;
  // An element takes a byte, a pair two: a head that claims more is refused before any work (H28).
  if (count < 0 || count > ITEMS_MAX || (isMap ? 2 * count : count) > end - body) return BAD;
  if (depth > DEPTH_MAX) return BAD;
  itemsLeft[depth] = count;
  lastKeyAt[depth] = isMap ? NO_KEY_YET : IS_ARRAY;
  return body;
}

/**
 * End of the one item that starts at `start`, or BAD. Checks all of CB-1 … CB-9, the depth and
 * the number of items; the caller compares the result with the end it wants (trailing bytes).
 */
export function scanItem(buf: Uint8Array, start: number, end: number, rules: number): number {
  let at = start;
  let depth = 0;
  let itemsAllowed = ITEMS_MAX;
  for (;;) {
    const previousKey = depth === 0 ? IS_ARRAY : (lastKeyAt[depth] as number);
    if (previousKey !== IS_ARRAY) {
      const next = keyEnd(buf, at, end);
      if (next < 0) return BAD;
      if (previousKey >= 0 && compareKeys(buf, previousKey, at, next) >= 0) return BAD;
      lastKeyAt[depth] = at;
      at = next;
    }
    itemsAllowed -= 1;
    if (at >= end || itemsAllowed < 0) return BAD;
    const major = byteAt(buf, at) >> 5;
    if (major === MAJOR_ARRAY || major === MAJOR_MAP) {
      const isEmpty = (byteAt(buf, at) & 31) === 0;
      at = openContainer(buf, at, end, depth + 1);
      if (at < 0) return BAD;
      if (!isEmpty) {
        depth += 1;
        continue;
      }
    } else {
      at = scalarEnd(buf, at, end, rules);
      if (at < 0) return BAD;
    }
    for (; depth > 0; depth--) {
      const left = (itemsLeft[depth] as number) - 1;
      itemsLeft[depth] = left;
      if (left > 0) break;
    }
    if (depth === 0) return at;
  }
}

/**
 * End of the item at `at` by its heads alone, for a walk over what a strict scan will judge later:
 * no order, no UTF-8, no depth (a counter needs no stack), at most ITEMS_MAX heads.
 */
export function skipItem(buf: Uint8Array, start: number, end: number): number {
  let at = start;
  let pending = 1;
  for (let item = 0; item < ITEMS_MAX; item++) {
    if (at >= end) return BAD;
    const first = byteAt(buf, at);
    const argument = headArgument(buf, at, end);
    if (argument < 0) return BAD;
    const major = first >> 5;
    at += headBytes(first);
    if (major === MAJOR_BYTES || major === MAJOR_TEXT) {
      if (argument > end - at) return BAD;
      at += argument;
    } else if (major === MAJOR_ARRAY) pending += argument;
    else if (major === MAJOR_MAP) pending += 2 * argument;
    else if (major === MAJOR_TAG) pending += 1;
    pending -= 1;
    if (pending === 0) return at;
  }
  return BAD;
}

/** Bytes of the shortest head for an argument of 0 … 2^53-1. */
export function headBytesOf(argument: number): number {
  if (argument < 24) return 1;
  if (argument <= 0xff) return 2;
  if (argument <= 0xffff) return 3;
  return argument <= 0xffffffff ? 5 : 9;
}

/** Writes the shortest head at `at`; returns its end. The argument is 0 … 2^53-1. */
export function writeHead(target: Buffer, at: number, major: number, argument: number): number {
  const kind = major << 5;
  if (argument < 24) return target.writeUInt8(kind | argument, at);
  if (argument <= 0xff) return target.writeUInt8(argument, target.writeUInt8(kind | 24, at));
  if (argument <= 0xffff) return target.writeUInt16BE(argument, target.writeUInt8(kind | 25, at));
  if (argument <= 0xffffffff) {
    return target.writeUInt32BE(argument, target.writeUInt8(kind | 26, at));
  }
  const lowAt = target.writeUInt32BE(
    Math.floor(argument / 2 ** 32),
    target.writeUInt8(kind | 27, at),
  );
  return target.writeUInt32BE(argument % 2 ** 32, lowAt);
}

/** A head as bytes of its own. */
export function encodeHead(major: number, argument: number): Buffer {
  const head = Buffer.alloc(headBytesOf(argument));
  writeHead(head, 0, major, argument);
  return head;
}

/** The unsigned integer `value` (0 … 2^53-1) as canonical CBOR. */
export function encodeUint(value: number): Buffer {
  return encodeHead(MAJOR_UINT, value);
}

/** `text` as a canonical CBOR text; lone surrogates become U+FFFD, as in any UTF-8 encoder. */
export function encodeText(text: string): Buffer {
  const content = Buffer.from(text, 'utf8');
  return Buffer.concat([encodeHead(MAJOR_TEXT, content.length), content]);
}
