/**
 * Storage of one partial tree: nodes and items as rows of Int32Arrays, and one byte arena that
 * holds node blocks, whole keys and CIDs. Reused for every commit, so the hot path allocates
 * nothing; `reset()` forgets everything. Knows nothing of tree rules.
 *
 *   node ──first──▶ item ──next──▶ item ──next──▶ … ─▶ NONE
 *                   a leaf (key, value CID) or a child link (CID, node or NONE = stub)
 *
 * @thread any
 */
import { latin1, writeLatin1 } from '../base/bytes.ts';
import { MiB } from '../base/units.ts';
import { CID_BYTES } from '../wire/cbor.ts';

/** No node, no item. */
export const NONE = -1;
/** `nodeChange`: what has to be done before the CID of a node is right again. */
export const UNCHANGED = 0;
/** Its items are those of its block, but CIDs in the block are others: it is hashed again. */
export const PATCHED = 1;
/** Its items are others: it is written and hashed anew. */
export const REBUILT = 2;
/** `itemKeyAt` of a child link. */
const CHILD = -1;

/**
 * Usual keys differ within these bytes, and a loop is fastest; the rest is left to a native call,
 * or long keys that share nearly everything would cost a hostile commit 0.2 s.
 */
const COMPARED_HERE_BYTES_MAX = 64;

const ROWS_AT_START = 1024;
const ARENA_BYTES_AT_START = MiB / 4;
/** An arena that a huge commit made larger than this is given back at the next reset. */
const ARENA_BYTES_KEPT_MAX = 4 * MiB;
const ROWS_KEPT_MAX = 65_536;

export class MstArena {
  /** Blocks, keys and CIDs. Every `…At` below is an offset into it. */
  bytes = Buffer.allocUnsafeSlow(ARENA_BYTES_AT_START);
  /** The same bytes: four at a time are one load here, and a call of a `read…` there. */
  view = viewOf(this.bytes);
  bytesUsed = 0;

  nodeCount = 0;
  nodeFirst = new Int32Array(ROWS_AT_START);
  nodeLayer = new Int32Array(ROWS_AT_START);
  /** Where its CID stands, with its block behind it up to `nodeEnd`; NONE before it has one. */
  nodeCidAt = new Int32Array(ROWS_AT_START);
  /** NONE where there is no block, or none that fits the items. */
  nodeEnd = new Int32Array(ROWS_AT_START);
  nodeChange = new Uint8Array(ROWS_AT_START);

  itemCount = 0;
  itemNext = new Int32Array(ROWS_AT_START);
  /** Offset of the whole key, or CHILD. */
  itemKeyAt = new Int32Array(ROWS_AT_START);
  itemKeyBytes = new Int32Array(ROWS_AT_START);
  itemCidAt = new Int32Array(ROWS_AT_START);
  /** Node of a child link that was loaded; NONE for a stub. */
  itemNode = new Int32Array(ROWS_AT_START);

  reset(): void {
    this.bytesUsed = 0;
    this.nodeCount = 0;
    this.itemCount = 0;
    if (this.bytes.length > ARENA_BYTES_KEPT_MAX) {
      this.bytes = Buffer.allocUnsafeSlow(ARENA_BYTES_AT_START);
      this.view = viewOf(this.bytes);
    }
    if (this.nodeFirst.length > ROWS_KEPT_MAX) this.#sizeNodes(ROWS_AT_START);
    if (this.itemNext.length > ROWS_KEPT_MAX) this.#sizeItems(ROWS_AT_START);
  }

  /** Makes room for `bytes` more in the arena; offsets stay valid, `this.bytes` may change. */
  reserve(bytes: number): void {
    const needed = this.bytesUsed + bytes;
    if (needed <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, this.bytesUsed);
    this.bytes = larger;
    this.view = viewOf(larger);
  }

  /** Copies `source[from, to)` in and returns where it stands. */
  addBytes(source: Buffer, from: number, to: number): number {
    this.reserve(to - from);
    const at = this.bytesUsed;
    source.copy(this.bytes, at, from, to);
    this.bytesUsed = at + to - from;
    return at;
  }

  /** Stores a latin1 string (a CID, a path) and returns where it stands. */
  addText(text: string): number {
    this.reserve(text.length);
    const at = this.bytesUsed;
    writeLatin1(this.bytes, text, at);
    this.bytesUsed = at + text.length;
    return at;
  }

  /** A node whose CID and block stand at `bytes[cidAt, end)`; its items are read later. */
  addBlockNode(cidAt: number, end: number): number {
    const node = this.#addNode(NONE);
    this.nodeCidAt[node] = cidAt;
    this.nodeEnd[node] = end;
    this.nodeChange[node] = UNCHANGED;
    return node;
  }

  /** A node that no block shows. */
  addNewNode(first: number, layer: number): number {
    const node = this.#addNode(first);
    this.nodeLayer[node] = layer;
    this.nodeCidAt[node] = NONE;
    this.nodeEnd[node] = NONE;
    this.nodeChange[node] = REBUILT;
    return node;
  }

  /** Notes that the node gets other items. */
  rebuild(node: number): void {
    this.nodeChange[node] = REBUILT;
    this.nodeEnd[node] = NONE;
  }

  /** Notes that CIDs in the node change, of values or of children, but not its items. */
  patch(node: number): void {
    this.nodeChange[node] = (this.nodeEnd[node] as number) === NONE ? REBUILT : PATCHED;
  }

  addLeaf(keyAt: number, keyBytes: number, cidAt: number): number {
    const item = this.#addItem(cidAt);
    this.itemKeyAt[item] = keyAt;
    this.itemKeyBytes[item] = keyBytes;
    return item;
  }

  addChild(node: number, cidAt: number): number {
    const item = this.#addItem(cidAt);
    this.itemNode[item] = node;
    return item;
  }

  isLeaf(item: number): boolean {
    return (this.itemKeyAt[item] as number) !== CHILD;
  }

  isChild(item: number): boolean {
    return item !== NONE && (this.itemKeyAt[item] as number) === CHILD;
  }

  /** Links `item` after `after`, or at the head of `node` where `after` is NONE. */
  link(node: number, after: number, item: number): void {
    if (after === NONE) this.nodeFirst[node] = item;
    else this.itemNext[after] = item;
  }

  /** Puts the CID at `bytes[cidAt]` where that of the item stands: in its node's block, if any. */
  replaceCid(item: number, cidAt: number): void {
    const target = this.itemCidAt[item] as number;
    const view = this.view;
    for (let i = 0; i < CID_BYTES; i += 4) view.setInt32(target + i, view.getInt32(cidAt + i));
  }

  cidAt(at: number): string {
    return latin1(this.bytes, at, at + CID_BYTES);
  }

  /** Negative, zero or positive: the key of a leaf against `bytes[keyAt, keyAt + keyBytes)`. */
  compareKey(leaf: number, keyAt: number, keyBytes: number): number {
    const { bytes, view } = this;
    const leafAt = this.itemKeyAt[leaf] as number;
    const leafBytes = this.itemKeyBytes[leaf] as number;
    const shared = Math.min(leafBytes, keyBytes, COMPARED_HERE_BYTES_MAX);
    let i = 0;
    for (; i + 4 <= shared; i += 4) {
      if (view.getInt32(leafAt + i) !== view.getInt32(keyAt + i)) break;
    }
    for (; i < shared; i++) {
      const order = (bytes[leafAt + i] as number) - (bytes[keyAt + i] as number);
      if (order !== 0) return order;
    }
    if (shared < COMPARED_HERE_BYTES_MAX) return leafBytes - keyBytes;
    const keyEnd = keyAt + keyBytes;
    return bytes.compare(bytes, keyAt + shared, keyEnd, leafAt + shared, leafAt + leafBytes);
  }

  #addNode(first: number): number {
    if (this.nodeCount === this.nodeFirst.length) this.#sizeNodes(this.nodeCount * 2);
    const node = this.nodeCount++;
    this.nodeFirst[node] = first;
    return node;
  }

  #addItem(cidAt: number): number {
    if (this.itemCount === this.itemNext.length) this.#sizeItems(this.itemCount * 2);
    const item = this.itemCount++;
    this.itemNext[item] = NONE;
    this.itemKeyAt[item] = CHILD;
    this.itemKeyBytes[item] = 0;
    this.itemCidAt[item] = cidAt;
    this.itemNode[item] = NONE;
    return item;
  }

  #sizeNodes(rows: number): void {
    this.nodeFirst = resized(this.nodeFirst, rows);
    this.nodeLayer = resized(this.nodeLayer, rows);
    this.nodeCidAt = resized(this.nodeCidAt, rows);
    this.nodeEnd = resized(this.nodeEnd, rows);
    const changes = new Uint8Array(rows);
    changes.set(this.nodeChange.subarray(0, rows));
    this.nodeChange = changes;
  }

  #sizeItems(rows: number): void {
    this.itemNext = resized(this.itemNext, rows);
    this.itemKeyAt = resized(this.itemKeyAt, rows);
    this.itemKeyBytes = resized(this.itemKeyBytes, rows);
    this.itemCidAt = resized(this.itemCidAt, rows);
    this.itemNode = resized(this.itemNode, rows);
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function resized(column: Int32Array<ArrayBuffer>, rows: number): Int32Array<ArrayBuffer> {
  const next = new Int32Array(rows);
  next.set(column.length > rows ? column.subarray(0, rows) : column);
  return next;
}
