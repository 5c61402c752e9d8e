/**
 * A CARv1 inside a message (spec §1.6), indexed where it lies: offsets, no object per block.
 * Any block order, duplicates and unlinked blocks are fine; a block under a CID that is not one
 * of the two blessed forms, or does not hash to its CID, is not. Does not know what a block means.
 *
 *   varint │ DRISL {roots, version: 1} │ ( varint │ CID 36 bytes │ data ) *
 *
 * Lookup is open addressing over the digest, for blocks that were hashed only: CIDs that merely
 * claim to be digests could be made to collide, 10,000 of them all with each other. Of true ones
 * nobody can prepare many, for there is a secret per process.
 * @thread any
 */
import { randomBytes } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { latin1 } from '../base/bytes.ts';
import type { RejectCode } from '../reject/codes.ts';
import {
  BAD,
  CID_BYTES,
  CODEC_DRISL,
  CODEC_RAW,
  headArgument,
  headBytes,
  keyEnd,
  LINK_BYTES,
  linkEnd,
  MAJOR_ARRAY,
  MAJOR_MAP,
  RULES_FRAME,
  scanItem,
  skipItem,
} from '../wire/cbor.ts';
import { startsWith } from '../wire/fields.ts';
import { byteAt } from '../wire/utf8.ts';
import type { Cid } from './cid.ts';
import { digestOf } from './digest.ts';

/** Most blocks of one CAR; a longer one is abuse (H73, S36). */
export const CAR_BLOCKS_MAX = 10_000;
/** A length of more bytes than this cannot be one of ours (H62). */
const VARINT_BYTES_MAX = 8;
const DIGEST_BYTES = 32;
const BLOCKS_AT_START = 256;
const NO_BLOCK = -1;

const SECRETS = randomBytes(8);
const SECRET_0 = SECRETS.readInt32LE(0) | 1;
const SECRET_1 = SECRETS.readInt32LE(4) | 1;

export class CarIndex {
  #buf: Buffer = Buffer.alloc(0);
  #blockStart = new Int32Array(BLOCKS_AT_START);
  #blockEnd = new Int32Array(BLOCKS_AT_START);
  #blockCount = 0;
  /** Block number by slot; a power of two and at least twice the blocks. */
  #slots = new Int32Array(2 * BLOCKS_AT_START);
  #slotMask = 0;
  /** Every block was found to hash to its CID, and `find` can be asked. */
  #isIndexed = false;
  /** A block that was found to; NO_BLOCK for none. */
  #intactBlock = NO_BLOCK;
  #rootCidAt = 0;
  /** Where #varint stopped. */
  #at = 0;

  /** Reads `buf[start, end)`. The buffer must stay as it is for as long as this is used. */
  load(buf: Buffer, start: number, end: number): RejectCode | undefined {
    this.#buf = buf;
    this.#blockCount = 0;
    this.#isIndexed = false;
    this.#intactBlock = NO_BLOCK;
    const headerBytes = this.#varint(start, end);
    if (headerBytes <= 0 || headerBytes > end - this.#at) return 'commit_car_bad';
    const blocksStart = this.#at + headerBytes;
    if (!this.#readHeader(this.#at, blocksStart)) return 'commit_car_bad';
    return this.#readBlocks(blocksStart, end);
  }

  get blockCount(): number {
    return this.#blockCount;
  }

  /** The first root: the commit (CA-2). */
  get rootCid(): Cid {
    return latin1(this.#buf, this.#rootCidAt, this.#rootCidAt + CID_BYTES);
  }

  /** Number of the first block under the root CID, or NO_BLOCK (-1). Looks at each until then. */
  findRoot(): number {
    for (let block = 0; block < this.#blockCount; block++) {
      const cidAt = this.blockStart(block) - CID_BYTES;
      if (isSameCid(this.#buf, cidAt, this.#buf, this.#rootCidAt)) return block;
    }
    return NO_BLOCK;
  }

  /** Number of the block under the CID at `source[cidAt]`, or NO_BLOCK (-1); after `isIntact`. */
  find(source: Uint8Array, cidAt: number): number {
    assert(this.#isIndexed, 'a block looked up among CIDs that nobody has checked');
    for (let slot = slotOf(source, cidAt) & this.#slotMask; ; slot = (slot + 1) & this.#slotMask) {
      const block = this.#slots[slot] as number;
      if (block === NO_BLOCK) return NO_BLOCK;
      const at = this.blockStart(block) - CID_BYTES;
      if (isSameCid(this.#buf, at, source, cidAt)) return block;
    }
  }

  blockStart(block: number): number {
    return this.#blockStart[block] as number;
  }

  blockEnd(block: number): number {
    return this.#blockEnd[block] as number;
  }

  /** Whether the block hashes to its CID (CA-4, H68). */
  isBlockIntact(block: number): boolean {
    const start = this.blockStart(block);
    const digest = digestOf(this.#buf, start, this.blockEnd(block));
    if (!isDigest(this.#buf, start - DIGEST_BYTES, digest)) return false;
    this.#intactBlock = block;
    return true;
  }

  /** Whether every block does, duplicates and unlinked ones included: we pass them all on. */
  isIntact(): boolean {
    this.#clearSlots();
    for (let block = 0; block < this.#blockCount; block++) {
      if (block !== this.#intactBlock && !this.isBlockIntact(block)) return false;
      this.#indexBlock(block);
    }
    this.#isIndexed = true;
    return true;
  }

  /** The LEB128 number at `start`, or BAD when truncated, too long or not in its shortest form. */
  #varint(start: number, end: number): number {
    let value = 0;
    let scale = 1;
    const last = Math.min(end, start + VARINT_BYTES_MAX);
    for (let at = start; at < last; at++) {
      const byte = byteAt(this.#buf, at);
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte >= 0x80) continue;
      if (byte === 0 && at > start) return BAD;
      this.#at = at + 1;
      return value;
    }
    return BAD;
  }

  /** A canonical map with `roots` (one CID or more) and `version` 1; other keys are allowed. */
  #readHeader(start: number, end: number): boolean {
    const buf = this.#buf;
    if (scanItem(buf, start, end, RULES_FRAME) !== end) return false;
    if (byteAt(buf, start) >> 5 !== MAJOR_MAP) return false;
    let hasRoots = false;
    let hasVersion = false;
    let at = start + headBytes(byteAt(buf, start));
    while (at < end) {
      const valueAt = keyEnd(buf, at, end);
      const valueEnd = skipItem(buf, valueAt, end);
      if (isKey(buf, at, valueAt, KEY_ROOTS)) hasRoots = this.#readRoots(valueAt, valueEnd);
      if (isKey(buf, at, valueAt, KEY_VERSION)) hasVersion = byteAt(buf, valueAt) === 1;
      at = valueEnd;
    }
    return hasRoots && hasVersion;
  }

  #readRoots(start: number, end: number): boolean {
    const first = byteAt(this.#buf, start);
    if (first >> 5 !== MAJOR_ARRAY || headArgument(this.#buf, start, end) === 0) return false;
    let at = start + headBytes(first);
    this.#rootCidAt = at + LINK_BYTES - CID_BYTES;
    while (at < end) {
      at = linkEnd(this.#buf, at, end);
      if (at < 0) return false;
    }
    return true;
  }

  #readBlocks(start: number, end: number): RejectCode | undefined {
    for (let at = start; at < end; ) {
      const sectionBytes = this.#varint(at, end);
      const cidAt = this.#at;
      if (sectionBytes < CID_BYTES || sectionBytes > end - cidAt) return 'commit_car_bad';
      if (!isBlessed(this.#buf, cidAt)) return 'commit_block_cid_bad';
      if (this.#blockCount === CAR_BLOCKS_MAX) return 'commit_car_blocks_too_many';
      at = cidAt + sectionBytes;
      this.#addBlock(cidAt + CID_BYTES, at);
    }
    return undefined;
  }

  #addBlock(start: number, end: number): void {
    const block = this.#blockCount++;
    if (block === this.#blockStart.length) {
      this.#blockStart = doubled(this.#blockStart);
      this.#blockEnd = doubled(this.#blockEnd);
    }
    this.#blockStart[block] = start;
    this.#blockEnd[block] = end;
  }

  #clearSlots(): void {
    let slotCount = 64;
    while (slotCount < 2 * this.#blockCount) slotCount *= 2;
    if (slotCount > this.#slots.length) this.#slots = new Int32Array(slotCount);
    this.#slots.fill(NO_BLOCK, 0, slotCount);
    this.#slotMask = slotCount - 1;
  }

  /** Of two blocks with the same CID the first is found. */
  #indexBlock(block: number): void {
    const cidAt = this.blockStart(block) - CID_BYTES;
    let slot = slotOf(this.#buf, cidAt) & this.#slotMask;
    for (;;) {
      const other = this.#slots[slot] as number;
      if (other === NO_BLOCK) break;
      if (isSameCid(this.#buf, this.blockStart(other) - CID_BYTES, this.#buf, cidAt)) return;
      slot = (slot + 1) & this.#slotMask;
    }
    this.#slots[slot] = block;
  }
}

const KEY_ROOTS = Buffer.from('\x65roots', 'latin1');
const KEY_VERSION = Buffer.from('\x67version', 'latin1');

function isKey(buf: Buffer, at: number, end: number, key: Buffer): boolean {
  return end - at === key.length && startsWith(buf, at, key);
}

function word(source: Uint8Array, at: number): number {
  return (
    (source[at] as number) |
    ((source[at + 1] as number) << 8) |
    ((source[at + 2] as number) << 16) |
    ((source[at + 3] as number) << 24)
  );
}

/** Multilinear hash of the digest's first words; its high bits are the good ones. */
function slotOf(source: Uint8Array, cidAt: number): number {
  const at = cidAt + CID_BYTES - DIGEST_BYTES;
  const sum = Math.imul(word(source, at), SECRET_0) + Math.imul(word(source, at + 4), SECRET_1);
  return sum >>> 15;
}

/** Whether a CID of one of the two blessed forms begins at `at` (CD-1). */
function isBlessed(buf: Uint8Array, at: number): boolean {
  const codec = byteAt(buf, at + 1);
  if (codec !== CODEC_DRISL && codec !== CODEC_RAW) return false;
  return byteAt(buf, at) === 1 && byteAt(buf, at + 2) === 0x12 && byteAt(buf, at + 3) === 32;
}

function isDigest(buf: Uint8Array, at: number, digest: string): boolean {
  for (let i = 0; i < DIGEST_BYTES; i++) if (buf[at + i] !== digest.charCodeAt(i)) return false;
  return true;
}

function isSameCid(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  for (let i = 0; i < CID_BYTES; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}

function doubled(column: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const next = new Int32Array(column.length * 2);
  next.set(column);
  return next;
}
