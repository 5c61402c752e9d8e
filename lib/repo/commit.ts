/**
 * The signed commit object (spec §1.7), read where it lies: a canonical map of known fields and
 * any others (A22), each once and in order. What was signed is the block without its `sig` entry
 * and with a smaller map head (CM-2, CM-3): those bytes are spliced, never encoded anew, so that
 * fields we do not know stay covered. Does not know keys, nor whether the values are right.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import { latin1 } from '../base/bytes.ts';
import type { RejectCode } from '../reject/codes.ts';
import {
  CID_BYTES,
  CODEC_DRISL,
  headArgument,
  headBytes,
  keyEnd,
  LINK_BYTES,
  linkEnd,
  MAJOR_BYTES,
  MAJOR_MAP,
  MAJOR_TEXT,
  NULL_BYTE,
  RULES_FRAME,
  scanItem,
  skipItem,
  writeHead,
} from '../wire/cbor.ts';
import { byteAt } from '../wire/utf8.ts';
import type { Cid } from './cid.ts';

const COMMIT_VERSION = 3;
const UNSIGNED_BYTES_AT_START = 1024;
const UNSIGNED_BYTES_KEPT_MAX = 65_536;

/** Keys with their heads, and the bits that mark them as seen. */
const KEY_DID = Buffer.from('\x63did', 'latin1');
const KEY_REV = Buffer.from('\x63rev', 'latin1');
const KEY_SIG = Buffer.from('\x63sig', 'latin1');
const KEY_DATA = Buffer.from('\x64data', 'latin1');
const KEY_PREV = Buffer.from('\x64prev', 'latin1');
const KEY_VERSION = Buffer.from('\x67version', 'latin1');
const SAW_DID = 1;
const SAW_REV = 2;
const SAW_SIG = 4;
const SAW_DATA = 8;
const SAW_PREV = 16;
const SAW_VERSION = 32;
const SAW_OBJECT = SAW_DID | SAW_REV | SAW_DATA | SAW_PREV;

/** Reused from commit to commit: `parse` sets every field anew. */
export class CommitObject {
  #buf: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  #didAt = 0;
  #didEnd = 0;
  #revAt = 0;
  #revEnd = 0;
  #dataAt = 0;
  #sigEntryAt = 0;
  #sigAt = 0;
  #sigEnd = 0;
  #unsigned = Buffer.allocUnsafeSlow(UNSIGNED_BYTES_AT_START);

  /** Reads the block `buf[start, end)`; the buffer must stay as it is while this is used. */
  parse(buf: Buffer, start: number, end: number): RejectCode | undefined {
    this.#buf = buf;
    this.#start = start;
    this.#end = end;
    // One strict scan of the whole block first: what follows only picks fields out (H75, H82).
    if (scanItem(buf, start, end, RULES_FRAME) !== end) return 'commit_object_bad';
    if (byteAt(buf, start) >> 5 !== MAJOR_MAP) return 'commit_object_bad';
    let seen = 0;
    for (let at = start + headBytes(byteAt(buf, start)); at < end; ) {
      const valueAt = keyEnd(buf, at, end);
      const valueEnd = skipItem(buf, valueAt, end);
      assert(valueEnd > at, 'the block was scanned');
      const bit = this.#readField(at, valueAt, valueEnd);
      if (bit < 0) return bit === BAD_VERSION ? 'commit_version_bad' : 'commit_object_bad';
      seen |= bit;
      at = valueEnd;
    }
    if ((seen & SAW_VERSION) === 0) return 'commit_version_bad';
    if ((seen & SAW_OBJECT) !== SAW_OBJECT) return 'commit_object_bad';
    return (seen & SAW_SIG) === 0 ? 'commit_signature_malformed' : undefined;
  }

  /** As one character per byte: equal to a valid DID only where the bytes are the same. */
  get did(): string {
    return latin1(this.#buf, this.#didAt, this.#didEnd);
  }

  get rev(): string {
    return latin1(this.#buf, this.#revAt, this.#revEnd);
  }

  /** Root of the tree. */
  get dataCid(): Cid {
    return latin1(this.#buf, this.#dataAt, this.#dataAt + CID_BYTES);
  }

  /** Where the root CID of the tree stands in the buffer. */
  get dataCidAt(): number {
    return this.#dataAt;
  }

  /** The signature's bytes, a view. */
  get signature(): Buffer {
    return this.#buf.subarray(this.#sigAt, this.#sigEnd);
  }

  /** The bytes that were signed, a view that the next call overwrites. */
  unsignedBytes(): Buffer {
    const bytes = this.#end - this.#start;
    const isTooSmall = this.#unsigned.length < bytes;
    if (isTooSmall || this.#unsigned.length > UNSIGNED_BYTES_KEPT_MAX) {
      this.#unsigned = Buffer.allocUnsafeSlow(Math.max(bytes, UNSIGNED_BYTES_AT_START));
    }
    const count = headArgument(this.#buf, this.#start, this.#end);
    let at = writeHead(this.#unsigned, 0, MAJOR_MAP, count - 1);
    const bodyAt = this.#start + headBytes(byteAt(this.#buf, this.#start));
    at += this.#buf.copy(this.#unsigned, at, bodyAt, this.#sigEntryAt);
    at += this.#buf.copy(this.#unsigned, at, this.#sigEnd, this.#end);
    return this.#unsigned.subarray(0, at);
  }

  /** Notes one entry; the bit of its field, 0 for an unknown one, negative where it is bad. */
  #readField(keyAt: number, at: number, end: number): number {
    const buf = this.#buf;
    const first = byteAt(buf, at);
    if (isKey(buf, keyAt, at, KEY_DID)) {
      this.#didAt = at + headBytes(first);
      this.#didEnd = end;
      return first >> 5 === MAJOR_TEXT ? SAW_DID : BAD_VALUE;
    }
    if (isKey(buf, keyAt, at, KEY_REV)) {
      this.#revAt = at + headBytes(first);
      this.#revEnd = end;
      return first >> 5 === MAJOR_TEXT ? SAW_REV : BAD_VALUE;
    }
    if (isKey(buf, keyAt, at, KEY_SIG)) {
      this.#sigEntryAt = keyAt;
      this.#sigAt = at + headBytes(first);
      this.#sigEnd = end;
      return first >> 5 === MAJOR_BYTES ? SAW_SIG : BAD_VALUE;
    }
    if (isKey(buf, keyAt, at, KEY_DATA)) {
      this.#dataAt = at + LINK_BYTES - CID_BYTES;
      return isDrislLink(buf, at, end) ? SAW_DATA : BAD_VALUE;
    }
    if (isKey(buf, keyAt, at, KEY_PREV)) {
      return first === NULL_BYTE || isDrislLink(buf, at, end) ? SAW_PREV : BAD_VALUE;
    }
    if (isKey(buf, keyAt, at, KEY_VERSION)) {
      return first === COMMIT_VERSION ? SAW_VERSION : BAD_VERSION;
    }
    return 0;
  }
}

const BAD_VALUE = -1;
const BAD_VERSION = -2;

function isKey(buf: Buffer, at: number, end: number, key: Buffer): boolean {
  if (end - at !== key.length) return false;
  for (let i = 0; i < key.length; i++) if (buf[at + i] !== key[i]) return false;
  return true;
}

/** Links of a commit are strict: DRISL only (CD-4, H79). */
function isDrislLink(buf: Buffer, at: number, end: number): boolean {
  return (
    linkEnd(buf, at, end) === end && byteAt(buf, at + LINK_BYTES - CID_BYTES + 1) === CODEC_DRISL
  );
}
