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
import { byteAt } from '../wire/utf8.ts';
import { CID_HEAD_DRISL, CID_HEAD_RAW } from './cid.ts';
import { type MstArena, NONE } from './mst-arena.ts';
import { BAD_KEY, keySlash, NO_SLASH } from './nsid.ts';

/** Most keys of one node: an honest one with more has a chance of (3/4)^512 (LM-9, H113). */
export const NODE_ENTRIES_MAX = 512;
/** Longest key, in bytes (LM-8, H110). */
export const KEY_BYTES_MAX = 1024;

/** A loop is faster than a native call up to here. */
const COPIED_HERE_BYTES_MAX = 128;
const WORD_BYTES = 4;

/** What stands on the wire before a node's entries, `a2 61 "e"`, and before those of an entry. */
const NODE_START = 0xa2_61_65;
const ENTRY_START = 0xa4_61_6b;
const START_BYTES = 3;
const KEY_L = 0x61_6c;
const KEY_P = 0x61_70;
const KEY_T = 0x61_74;
const KEY_V = 0x61_76;
const KEY_BYTES = 2;
/** Tag 42 and the head of 37 bytes; a zero byte and the CID follow. */
const LINK_HEAD = 0xd8_2a_58_25;
/** The shortest node, an entry as short, and what follows its suffix: `p`, `t` null, `v`. */
const NODE_BYTES_MIN = START_BYTES + 1 + KEY_BYTES + 1;
const AFTER_SUFFIX_BYTES_MIN = 3 * KEY_BYTES + 2 + LINK_BYTES;
const ENTRY_BYTES_MIN = START_BYTES + 2 + AFTER_SUFFIX_BYTES_MIN;
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
    const arena = this.#arena;
    const start = cidAt + CID_BYTES;
    const countAt = start + START_BYTES;
    if (start + NODE_BYTES_MIN > end || startAt(arena.view, start) !== NODE_START) {
      return 'commit_mst_bad';
    }
    const count = argumentAt(arena.bytes, countAt, end, MAJOR_ARRAY);
    if (count < 0) return 'commit_mst_bad';
    if (count > NODE_ENTRIES_MAX) return 'commit_mst_limit';
    // Whole keys are written behind the block, a word at a time.
    arena.reserve(count * KEY_BYTES_MAX + WORD_BYTES);
    this.#at = countAt + headBytes(byteAt(arena.bytes, countAt));
    this.#end = end;
    this.#leaf = NONE;
    // Items are linked behind a placeholder for `l`, which stands after the entries on the wire.
    const left = arena.addChild(NONE, NONE);
    let last = left;
    for (let entry = 0; entry < count; entry++) {
      last = this.#readEntry(last);
      if (last === NONE) return 'commit_mst_bad';
    }
    const leftAt = linkAfter(arena.view, this.#at, KEY_L, end, false);
    const nodeEnd = leftAt === NONE ? this.#at + KEY_BYTES + 1 : leftAt + CID_BYTES;
    if (leftAt === NO_LINK || nodeEnd !== end) return 'commit_mst_bad';
    arena.itemCidAt[left] = leftAt;
    arena.nodeFirst[node] = leftAt === NONE ? (arena.itemNext[left] as number) : left;
    return undefined;
  }

  /** Reads one entry behind `previous`: a leaf and, where `t` is a link, a child. Its last item. */
  #readEntry(previous: number): number {
    const arena = this.#arena;
    const { bytes, view } = arena;
    const end = this.#end;
    const start = this.#at;
    if (start + ENTRY_BYTES_MIN > end || startAt(view, start) !== ENTRY_START) return NONE;
    const headAt = start + START_BYTES;
    const suffixBytes = argumentAt(bytes, headAt, end, MAJOR_BYTES);
    if (suffixBytes <= 0 || suffixBytes > KEY_BYTES_MAX) return NONE;
    const suffixAt = headAt + headBytes(byteAt(bytes, headAt));
    const suffixEnd = suffixAt + suffixBytes;
    if (suffixEnd + AFTER_SUFFIX_BYTES_MIN > end || view.getUint16(suffixEnd) !== KEY_P)
      return NONE;
    const prefixAt = suffixEnd + KEY_BYTES;
    const prefixBytes = argumentAt(bytes, prefixAt, end, MAJOR_UINT);
    const childKeyAt = prefixAt + headBytes(byteAt(bytes, prefixAt));
    const childAt = linkAfter(view, childKeyAt, KEY_T, end, false);
    const valueKeyAt = childAt === NONE ? childKeyAt + KEY_BYTES + 1 : childAt + CID_BYTES;
    const valueAt = childAt === NO_LINK ? NO_LINK : linkAfter(view, valueKeyAt, KEY_V, end, true);
    if (prefixBytes < 0 || valueAt < 0) return NONE;
    if (!this.#isKeyNext(prefixBytes, suffixAt, suffixBytes)) return NONE;
    const keyAt = prefixBytes === 0 ? suffixAt : this.#wholeKey(prefixBytes, suffixAt, suffixBytes);
    this.#at = valueAt + CID_BYTES;
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
    if (prefixBytes + suffixBytes > KEY_BYTES_MAX) return false;
    if (this.#leaf === NONE) {
      if (prefixBytes !== 0) return false;
      this.#slash = KEY_BYTES_MAX;
    } else {
      const leafAt = arena.itemKeyAt[this.#leaf] as number;
      const leafBytes = arena.itemKeyBytes[this.#leaf] as number;
      if (prefixBytes > leafBytes) return false;
      const isLonger = prefixBytes === leafBytes;
      const bytes = arena.bytes;
      if (!isLonger && byteAt(bytes, suffixAt) <= byteAt(bytes, leafAt + prefixBytes)) return false;
    }
    const slashAt = keySlash(arena.bytes, suffixAt, suffixAt + suffixBytes);
    if (this.#slash < prefixBytes) return slashAt === NO_SLASH;
    if (slashAt === NO_SLASH || slashAt === BAD_KEY) return false;
    this.#slash = prefixBytes + slashAt - suffixAt;
    return this.#slash > 0 && slashAt + 1 < suffixAt + suffixBytes;
  }

  /** Puts a key together behind the block, where `read` has made room. */
  #wholeKey(prefixBytes: number, suffixAt: number, suffixBytes: number): number {
    const arena = this.#arena;
    const { bytes, view } = arena;
    const keyAt = arena.bytesUsed;
    const leafAt = arena.itemKeyAt[this.#leaf] as number;
    if (prefixBytes > COPIED_HERE_BYTES_MAX) {
      bytes.copyWithin(keyAt, leafAt, leafAt + prefixBytes);
    } else {
      // Up to three bytes too many: the suffix, and then the next key, are written over them.
      for (let i = 0; i < prefixBytes; i += WORD_BYTES) {
        view.setInt32(keyAt + i, view.getInt32(leafAt + i));
      }
    }
    const tailAt = keyAt + prefixBytes;
    for (let i = 0; i < suffixBytes; i += WORD_BYTES) {
      view.setInt32(tailAt + i, view.getInt32(suffixAt + i));
    }
    arena.bytesUsed = tailAt + suffixBytes;
    return keyAt;
  }
}

/** The three bytes at `at`, where at least four are left. */
function startAt(view: DataView, at: number): number {
  return view.getInt32(at) >>> 8;
}

/** The argument of the head of that major type at `at` (`at` < `end`), or a negative number. */
function argumentAt(bytes: Uint8Array, at: number, end: number, major: number): number {
  return byteAt(bytes, at) >> 5 === major ? headArgument(bytes, at, end) : -1;
}

/** Where the CID of the link behind a key stands; NONE for null, NO_LINK for anything else. */
function linkAfter(
  view: DataView,
  keyAt: number,
  key: number,
  end: number,
  isValue: boolean,
): number {
  const at = keyAt + KEY_BYTES;
  if (at >= end || view.getUint16(keyAt) !== key) return NO_LINK;
  if (view.getUint8(at) === NULL_BYTE) return isValue ? NO_LINK : NONE;
  if (at + LINK_BYTES > end || view.getUint32(at) !== LINK_HEAD || view.getUint8(at + 4) !== 0) {
    return NO_LINK;
  }
  const cidAt = at + LINK_BYTES - CID_BYTES;
  const head = view.getInt32(cidAt);
  // Links between nodes are strict; records may be raw too (CD-4, A36, H116).
  return head === CID_HEAD_DRISL || (isValue && head === CID_HEAD_RAW) ? cidAt : NO_LINK;
}
