/**
 * The root CID of an edited partial tree (spec §1.10 step 9): prunes the top, writes the DIRTY
 * nodes bottom-up as canonical DRISL and hashes them; unchanged nodes and stubs keep their CIDs.
 * @thread any
 */
import { hash } from 'node:crypto';
import { assert } from '../base/assert.ts';
import {
  CID_BYTES,
  MAJOR_ARRAY,
  MAJOR_BYTES,
  MAJOR_UINT,
  NULL_BYTE,
  writeHead,
} from '../wire/cbor.ts';
import { CID_PREFIX_DRISL, type Cid, EMPTY_TREE_CID } from './cid.ts';
import type { PartialTree } from './mst.ts';
import { DIRTY, type MstArena, NONE } from './mst-arena.ts';

const OUT_BYTES_AT_START = 16 * 1024;
const OUT_BYTES_KEPT_MAX = 1024 * 1024;
/** Most bytes of an entry beside its key: heads, key names and two links. */
const ENTRY_BYTES_MAX = 112;

export class TreeEncoder {
  readonly #tree: PartialTree;
  readonly #arena: MstArena;
  #out = Buffer.allocUnsafeSlow(OUT_BYTES_AT_START);
  #outUsed = 0;

  constructor(tree: PartialTree) {
    this.#tree = tree;
    this.#arena = tree.arena;
  }

  /** CID of the tree as it stands. */
  rootCid(): Cid {
    const arena = this.#arena;
    if (this.#out.length > OUT_BYTES_KEPT_MAX) {
      this.#out = Buffer.allocUnsafeSlow(OUT_BYTES_AT_START);
    }
    let root = this.#tree.root;
    for (;;) {
      const first = this.#tree.firstOf(root);
      if (first === NONE) return EMPTY_TREE_CID;
      if (arena.isLeaf(first) || this.#tree.nextOf(first) !== NONE) break;
      const child = arena.itemNode[first] as number;
      // The new root may be a node that the CAR does not hold: its CID is all that is asked for.
      if (child === NONE) return arena.cidAt(arena.itemCidAt[first] as number);
      root = child;
    }
    return arena.cidAt(this.#encodedAt(root));
  }

  /** Where the CID of a node stands, after writing what is dirty in and below it. */
  #encodedAt(node: number): number {
    const arena = this.#arena;
    const known = arena.nodeCidAt[node] as number;
    if (known !== DIRTY) return known;
    let bytesMax = ENTRY_BYTES_MAX;
    let entries = 0;
    for (let item = this.#tree.firstOf(node); item !== NONE; item = this.#tree.nextOf(item)) {
      if (arena.isLeaf(item)) {
        entries++;
        bytesMax += (arena.itemKeyBytes[item] as number) + ENTRY_BYTES_MAX;
        continue;
      }
      const child = arena.itemNode[item] as number;
      if (child !== NONE) arena.itemCidAt[item] = this.#encodedAt(child);
    }
    if (bytesMax > this.#out.length) this.#out = Buffer.allocUnsafeSlow(2 * bytesMax);
    this.#write(node, entries);
    const digest = hash('sha256', this.#out.subarray(0, this.#outUsed), 'latin1');
    const cidAt = arena.addText(CID_PREFIX_DRISL + digest);
    arena.nodeCidAt[node] = cidAt;
    return cidAt;
  }

  #write(node: number, entries: number): void {
    const arena = this.#arena;
    this.#outUsed = 0;
    this.#bytes2(0xa2, 0x61);
    this.#byte(0x65);
    this.#head(MAJOR_ARRAY, entries);
    const first = this.#tree.firstOf(node);
    const left = arena.isChild(first) ? first : NONE;
    let item = left === NONE ? first : this.#tree.nextOf(left);
    let previous = NONE;
    while (item !== NONE) {
      assert(arena.isLeaf(item), 'two children side by side');
      const next = this.#tree.nextOf(item);
      const child = arena.isChild(next) ? next : NONE;
      this.#writeEntry(item, previous, child);
      previous = item;
      item = child === NONE ? next : this.#tree.nextOf(child);
    }
    this.#bytes2(0x61, 0x6c);
    this.#linkOrNull(left);
  }

  #writeEntry(leaf: number, previous: number, child: number): void {
    const arena = this.#arena;
    const keyAt = arena.itemKeyAt[leaf] as number;
    const keyBytes = arena.itemKeyBytes[leaf] as number;
    const prefixBytes = previous === NONE ? 0 : this.#sharedBytes(previous, leaf);
    this.#bytes2(0xa4, 0x61);
    this.#byte(0x6b);
    this.#head(MAJOR_BYTES, keyBytes - prefixBytes);
    this.#copy(keyAt + prefixBytes, keyAt + keyBytes);
    this.#bytes2(0x61, 0x70);
    this.#head(MAJOR_UINT, prefixBytes);
    this.#bytes2(0x61, 0x74);
    this.#linkOrNull(child);
    this.#bytes2(0x61, 0x76);
    this.#linkOrNull(leaf);
  }

  #sharedBytes(a: number, b: number): number {
    const { bytes, itemKeyAt, itemKeyBytes } = this.#arena;
    const aAt = itemKeyAt[a] as number;
    const bAt = itemKeyAt[b] as number;
    const max = Math.min(itemKeyBytes[a] as number, itemKeyBytes[b] as number);
    let shared = 0;
    while (shared < max && bytes[aAt + shared] === bytes[bAt + shared]) shared++;
    return shared;
  }

  #linkOrNull(item: number): void {
    if (item === NONE) {
      this.#byte(NULL_BYTE);
      return;
    }
    this.#bytes2(0xd8, 0x2a);
    this.#bytes2(0x58, 0x25);
    this.#byte(0);
    const cidAt = this.#arena.itemCidAt[item] as number;
    this.#copy(cidAt, cidAt + CID_BYTES);
  }

  #byte(byte: number): void {
    this.#out[this.#outUsed++] = byte;
  }

  #bytes2(first: number, second: number): void {
    this.#out[this.#outUsed++] = first;
    this.#out[this.#outUsed++] = second;
  }

  #head(major: number, argument: number): void {
    if (argument < 24) this.#byte((major << 5) | argument);
    else this.#outUsed = writeHead(this.#out, this.#outUsed, major, argument);
  }

  #copy(from: number, to: number): void {
    const bytes = this.#arena.bytes;
    const out = this.#out;
    let at = this.#outUsed;
    for (let i = from; i < to; i++) out[at++] = bytes[i] as number;
    this.#outUsed = at;
  }
}
