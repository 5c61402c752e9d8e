/**
 * Reads one node block of the tree into the arena and checks all that concerns the node alone
 * (spec §1.9): canonical bytes in the one fixed shape, ascending keys, maximal prefixes, key
 * syntax, links of the blessed forms. Because every field is checked, a node that is read is
 * byte for byte what `mst-encode.ts` would write.
 *
 *   {e: [{k: suffix, p: prefix length, t: link|null, v: link} …], l: link|null}
 *
 * Does not know layers, nor what the links lead to.
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';
import {
  CID_BYTES,
  headArgument,
  headBytes,
  LINK_BYTES,
  MAJOR_ARRAY,
  MAJOR_BYTES,
  MAJOR_UINT,
  NULL_BYTE,
} from '../wire/cbor.ts';
import { CID_HEAD_DRISL, CID_HEAD_RAW } from './cid.ts';
import { type MstArena, NONE } from './mst-arena.ts';
import { BAD_KEY, keySlash, NO_SLASH } from './nsid.ts';

/** Most keys of one node: an honest one with more has a chance of (3/4)^512 (LM-9, H113). */
export const NODE_ENTRIES_MAX = 512;
/** Longest key, in bytes (LM-8, H110). */
export const KEY_BYTES_MAX = 1024;

/** A loop is faster than a native call up to here. */
const COPIED_HERE_BYTES_MAX = 128;

/** Heads and keys as they stand on the wire: `a2 61 "e"`, `a4 61 "k"`, `61 "l"` and so on. */
const NODE_MAP = 0xa2;
const ENTRY_MAP = 0xa4;
const KEY_E = 0x61_65;
const KEY_K = 0x61_6b;
const KEY_L = 0x61_6c;
const KEY_P = 0x61_70;
const KEY_T = 0x61_74;
const KEY_V = 0x61_76;
/** Tag 42 and the head of 37 bytes; a zero byte and the CID follow. */
const LINK_HEAD = 0xd8_2a_58_25;
/** Neither a link nor null. */
const NO_LINK = -2;

export class NodeReader {
  readonly #arena: MstArena;
  #at = 0;
  #end = 0;
  /** The leaf read last, against which the next key is compressed. */
  #leaf = NONE;
  /** Where the slash of its key stands, counted from the start of the key. */
  #slash = 0;

  constructor(arena: MstArena) {
    this.#arena = arena;
  }

  /**
   * Reads the node whose CID and block stand together at `arena.bytes[cidAt, end)` into row
   * `node`. Links are left as stubs.
   */
  read(node: number, cidAt: number, end: number): RejectCode | undefined {
    this.#at = cidAt + CID_BYTES;
    this.#end = end;
    this.#leaf = NONE;
    if (!this.#takeByte(NODE_MAP) || !this.#takeKey(KEY_E)) return 'commit_mst_bad';
    const count = this.#takeHead(MAJOR_ARRAY);
    if (count < 0) return 'commit_mst_bad';
    if (count > NODE_ENTRIES_MAX) return 'commit_mst_limit';
    // Items are linked behind a placeholder for `l`, which stands after the entries on the wire.
    const left = this.#arena.addChild(NONE, NONE);
    let last = left;
    for (let entry = 0; entry < count; entry++) {
      last = this.#readEntry(last);
      if (last === NONE) return 'commit_mst_bad';
    }
    const leftAt = this.#takeKey(KEY_L) ? this.#takeLink(false) : NO_LINK;
    if (leftAt === NO_LINK || this.#at !== this.#end) return 'commit_mst_bad';
    this.#arena.itemCidAt[left] = leftAt;
    const first = leftAt === NONE ? (this.#arena.itemNext[left] as number) : left;
    this.#arena.nodeFirst[node] = first;
    return undefined;
  }

  /** Reads one entry behind `previous`: a leaf and, where `t` is a link, a child. Its last item. */
  #readEntry(previous: number): number {
    const arena = this.#arena;
    if (!this.#takeByte(ENTRY_MAP) || !this.#takeKey(KEY_K)) return NONE;
    const suffixBytes = this.#takeHead(MAJOR_BYTES);
    const suffixAt = this.#at;
    if (suffixBytes < 0 || suffixBytes > KEY_BYTES_MAX) return NONE;
    this.#at += suffixBytes;
    const prefixBytes = this.#takeKey(KEY_P) ? this.#takeHead(MAJOR_UINT) : -1;
    const childAt = this.#takeKey(KEY_T) ? this.#takeLink(false) : NO_LINK;
    const valueAt = this.#takeKey(KEY_V) ? this.#takeLink(true) : NO_LINK;
    if (prefixBytes < 0 || childAt === NO_LINK || valueAt < 0) return NONE;
    if (!this.#isKeyNext(prefixBytes, suffixAt, suffixBytes)) return NONE;
    const keyAt = this.#wholeKey(prefixBytes, suffixAt, suffixBytes);
    this.#leaf = arena.addLeaf(keyAt, prefixBytes + suffixBytes, valueAt);
    arena.itemNext[previous] = this.#leaf;
    if (childAt === NONE) return this.#leaf;
    const child = arena.addChild(NONE, childAt);
    arena.itemNext[this.#leaf] = child;
    return child;
  }

  /**
   * Whether the key is right after the one before it: the prefix is the longest that both share,
   * so the first byte of the suffix alone decides that the key is greater (MS-3, MS-4, H104,
   * H105, H108, H109); and whether it is spelt like a path (A41, H110).
   */
  #isKeyNext(prefixBytes: number, suffixAt: number, suffixBytes: number): boolean {
    const arena = this.#arena;
    if (suffixBytes === 0 || prefixBytes + suffixBytes > KEY_BYTES_MAX) return false;
    if (this.#leaf === NONE) {
      if (prefixBytes !== 0) return false;
      this.#slash = KEY_BYTES_MAX;
    } else {
      const leafAt = arena.itemKeyAt[this.#leaf] as number;
      const leafBytes = arena.itemKeyBytes[this.#leaf] as number;
      if (prefixBytes > leafBytes) return false;
      const isLonger = prefixBytes === leafBytes;
      const bytes = arena.bytes;
      if (!isLonger && (bytes[suffixAt] as number) <= (bytes[leafAt + prefixBytes] as number)) {
        return false;
      }
    }
    const slashAt = keySlash(arena.bytes, suffixAt, suffixAt + suffixBytes);
    if (this.#slash < prefixBytes) return slashAt === NO_SLASH;
    if (slashAt === NO_SLASH || slashAt === BAD_KEY) return false;
    this.#slash = prefixBytes + slashAt - suffixAt;
    return this.#slash > 0 && slashAt + 1 < suffixAt + suffixBytes;
  }

  /** Where the whole key stands: in the block itself, or put together behind it. */
  #wholeKey(prefixBytes: number, suffixAt: number, suffixBytes: number): number {
    if (prefixBytes === 0) return suffixAt;
    const arena = this.#arena;
    arena.reserve(prefixBytes + suffixBytes);
    const bytes = arena.bytes;
    const keyAt = arena.bytesUsed;
    const leafAt = arena.itemKeyAt[this.#leaf] as number;
    if (prefixBytes > COPIED_HERE_BYTES_MAX) {
      bytes.copyWithin(keyAt, leafAt, leafAt + prefixBytes);
    } else {
      for (let i = 0; i < prefixBytes; i++) bytes[keyAt + i] = bytes[leafAt + i] as number;
    }
    const tailAt = keyAt + prefixBytes;
    for (let i = 0; i < suffixBytes; i++) bytes[tailAt + i] = bytes[suffixAt + i] as number;
    arena.bytesUsed = tailAt + suffixBytes;
    return keyAt;
  }

  #takeByte(byte: number): boolean {
    if (this.#at >= this.#end || this.#arena.bytes[this.#at] !== byte) return false;
    this.#at += 1;
    return true;
  }

  #takeKey(key: number): boolean {
    const at = this.#at;
    if (at + 2 > this.#end || this.#arena.bytes.readUInt16BE(at) !== key) return false;
    this.#at = at + 2;
    return true;
  }

  /** The argument of a head of that major type, or a negative number. */
  #takeHead(major: number): number {
    if (this.#at >= this.#end) return -1;
    const first = this.#arena.bytes[this.#at] as number;
    if (first >> 5 !== major) return -1;
    const argument = headArgument(this.#arena.bytes, this.#at, this.#end);
    this.#at += headBytes(first);
    return argument;
  }

  /** Where the CID of a link stands; NONE for null. */
  #takeLink(isRawAllowed: boolean): number {
    if (this.#takeByte(NULL_BYTE)) return NONE;
    const bytes = this.#arena.bytes;
    const at = this.#at;
    if (at + LINK_BYTES > this.#end) return NO_LINK;
    if (bytes.readUInt32BE(at) !== LINK_HEAD || bytes[at + 4] !== 0) return NO_LINK;
    const cidAt = at + LINK_BYTES - CID_BYTES;
    const head = bytes.readUInt32BE(cidAt);
    // Links between nodes are strict; records may be raw too (CD-4, A36, H116).
    if (head !== CID_HEAD_DRISL && !(isRawAllowed && head === CID_HEAD_RAW)) return NO_LINK;
    this.#at = at + LINK_BYTES;
    return cidAt;
  }
}
