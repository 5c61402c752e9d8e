/**
 * The root CID of an edited partial tree (spec §1.10 step 9): prunes the top, then bottom-up makes
 * the CIDs of changed nodes. Mostly only the CID of a child is another one: it is put into the
 * block as it was read, and that hashed. Where items are others, the node is written as canonical
 * DRISL. Unchanged nodes and stubs keep their CIDs.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import { writeLatin1 } from '../base/bytes.ts';
import {
  CID_BYTES,
  LINK_BYTES,
  MAJOR_ARRAY,
  MAJOR_BYTES,
  MAJOR_UINT,
  NULL_BYTE,
  writeHead,
} from '../wire/cbor.ts';
import { CID_PREFIX_DRISL, type Cid, EMPTY_TREE_CID } from './cid.ts';
import { digestOf } from './digest.ts';
import type { PartialTree } from './mst.ts';
import { type MstArena, NONE, PATCHED, UNCHANGED } from './mst-arena.ts';

const OUT_BYTES_AT_START = 16 * 1024;
const OUT_BYTES_KEPT_MAX = 1024 * 1024;
const DIGEST_BYTES = 32;
/** Most bytes of an entry beside its key: heads, key names and two links. Also of a node's rest. */
const ENTRY_BYTES_MAX = 112;

export class TreeEncoder {
  readonly #tree: PartialTree;
  readonly #arena: MstArena;
  #out = Buffer.allocUnsafeSlow(OUT_BYTES_AT_START);

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
    this.#settle(root);
    return arena.cidAt(arena.nodeCidAt[root] as number);
  }

  /** Makes the CID of a node right, and before it those of the nodes below. */
  #settle(node: number): void {
    const arena = this.#arena;
    const change = arena.nodeChange[node] as number;
    if (change === UNCHANGED) return;
    const isPatched = change === PATCHED;
    for (let item = this.#tree.firstOf(node); item !== NONE; item = this.#tree.nextOf(item)) {
      const child = arena.itemNode[item] as number;
      if (child === NONE) continue;
      this.#settle(child);
      const cidAt = arena.nodeCidAt[child] as number;
      if (isPatched) arena.replaceCid(item, cidAt);
      else arena.itemCidAt[item] = cidAt;
    }
    if (isPatched) this.#hashAgain(node);
    else this.#write(node);
    arena.nodeChange[node] = UNCHANGED;
  }

  /** Puts the digest of the node's block into the CID that stands before it. */
  #hashAgain(node: number): void {
    const arena = this.#arena;
    const start = (arena.nodeCidAt[node] as number) + CID_BYTES;
    const digest = digestOf(arena.bytes, start, arena.nodeEnd[node] as number);
    writeLatin1(arena.bytes, digest, start - DIGEST_BYTES);
  }

  /** Writes the node and stores the CID of what was written. */
  #write(node: number): void {
    const arena = this.#arena;
    const first = this.#tree.firstOf(node);
    let bytesMax = ENTRY_BYTES_MAX;
    let entryCount = 0;
    for (let item = first; item !== NONE; item = this.#tree.nextOf(item)) {
      if (!arena.isLeaf(item)) continue;
      entryCount++;
      bytesMax += (arena.itemKeyBytes[item] as number) + ENTRY_BYTES_MAX;
    }
    if (bytesMax > this.#out.length) this.#out = Buffer.allocUnsafeSlow(2 * bytesMax);
    const bytes = writeNode(this.#out, arena, first, entryCount);
    const digest = digestOf(this.#out, 0, bytes);
    arena.nodeCidAt[node] = arena.addText(CID_PREFIX_DRISL + digest);
  }
}

/** Writes the node whose items begin with `first`; the CIDs of its children stand. Its length. */
function writeNode(out: Buffer, arena: MstArena, first: number, entryCount: number): number {
  out[0] = 0xa2;
  out[1] = 0x61;
  out[2] = 0x65;
  let at = putHead(out, 3, MAJOR_ARRAY, entryCount);
  const left = arena.isChild(first) ? first : NONE;
  let leaf = left === NONE ? first : (arena.itemNext[left] as number);
  let previous = NONE;
  while (leaf !== NONE) {
    assert(arena.isLeaf(leaf), 'two children side by side');
    const next = arena.itemNext[leaf] as number;
    const child = arena.isChild(next) ? next : NONE;
    at = putEntry(out, at, arena, leaf, previous, child);
    previous = leaf;
    leaf = child === NONE ? next : (arena.itemNext[child] as number);
  }
  out[at++] = 0x61;
  out[at++] = 0x6c;
  return putLink(out, at, arena, left);
}

function putEntry(
  out: Buffer,
  start: number,
  arena: MstArena,
  leaf: number,
  previous: number,
  child: number,
): number {
  const bytes = arena.bytes;
  const keyAt = arena.itemKeyAt[leaf] as number;
  const keyBytes = arena.itemKeyBytes[leaf] as number;
  const prefixBytes = previous === NONE ? 0 : sharedBytes(arena, previous, keyAt, keyBytes);
  let at = start;
  out[at++] = 0xa4;
  out[at++] = 0x61;
  out[at++] = 0x6b;
  at = putHead(out, at, MAJOR_BYTES, keyBytes - prefixBytes);
  for (let i = prefixBytes; i < keyBytes; i++) out[at++] = bytes[keyAt + i] as number;
  out[at++] = 0x61;
  out[at++] = 0x70;
  at = putHead(out, at, MAJOR_UINT, prefixBytes);
  out[at++] = 0x61;
  out[at++] = 0x74;
  at = putLink(out, at, arena, child);
  out[at++] = 0x61;
  out[at++] = 0x76;
  return putLink(out, at, arena, leaf);
}

/** How many bytes the key of a leaf shares with `bytes[keyAt, keyAt + keyBytes)`. */
function sharedBytes(arena: MstArena, leaf: number, keyAt: number, keyBytes: number): number {
  const bytes = arena.bytes;
  const leafAt = arena.itemKeyAt[leaf] as number;
  const max = Math.min(arena.itemKeyBytes[leaf] as number, keyBytes);
  let shared = 0;
  while (shared < max && bytes[leafAt + shared] === bytes[keyAt + shared]) shared++;
  return shared;
}

function putHead(out: Buffer, at: number, major: number, argument: number): number {
  if (argument >= 24) return writeHead(out, at, major, argument);
  out[at] = (major << 5) | argument;
  return at + 1;
}

/** The CID of an item as a link; null where there is no item. */
function putLink(out: Buffer, at: number, arena: MstArena, item: number): number {
  if (item === NONE) {
    out[at] = NULL_BYTE;
    return at + 1;
  }
  out[at] = 0xd8;
  out[at + 1] = 0x2a;
  out[at + 2] = 0x58;
  out[at + 3] = 0x25;
  out[at + 4] = 0;
  const bytes = arena.bytes;
  const cidAt = arena.itemCidAt[item] as number;
  const target = at + LINK_BYTES - CID_BYTES;
  for (let i = 0; i < CID_BYTES; i++) out[target + i] = bytes[cidAt + i] as number;
  return at + LINK_BYTES;
}
