/**
 * The partial Merkle search tree of one commit: loads every node that the CAR holds, leaves the
 * others as stubs, and checks the structure (spec §1.9 and §1.10 step 3): layers, order over the
 * in-order walk, each node once; `mst-node.ts` checks what concerns one node. Plain inversion
 * accepts trees that break these rules, so they are checked here, on load, for every node.
 * Does not know operations: `invert.ts` changes the tree, `mst-encode.ts` gives its new root.
 * @thread any
 */
import { MiB } from '../base/units.ts';
import type { RejectCode } from '../reject/codes.ts';
import { CID_BYTES } from '../wire/cbor.ts';
import type { CarIndex } from './car.ts';
import { HeightCheck, keyHeight } from './key-height.ts';
import { MstArena, NONE } from './mst-arena.ts';
import { NodeReader } from './mst-node.ts';

/** Deepest layer: an honest key above it has a chance of 4^-64 (LM-9). */
export const LAYER_MAX = 64;
/** Most bytes of blocks and whole keys of one tree; 200 operations need about 1 MiB. */
export const TREE_BYTES_MAX = 16 * MiB;
/** Layer of a root before its first key is known. */
const LAYER_UNKNOWN = -1;

export class PartialTree {
  readonly arena = new MstArena();
  /** Node of the root; NONE before a load. The tree without records is a root without items. */
  root = NONE;

  readonly #reader = new NodeReader(this.arena);
  readonly #heights = new HeightCheck();
  #car: CarIndex;
  #buf: Buffer = Buffer.alloc(0);
  #fault: RejectCode | undefined;
  /** By block number: the load in which the block was used last. */
  #loadOfBlock = new Uint32Array(256);
  #loadNo = 0;
  /** Blocks of this load that were used. */
  #usedCount = 0;
  /** Leaf that the in-order walk passed last. */
  #lastLeaf = NONE;

  /** The blocks come from `car` as it is indexed at each load. */
  constructor(car: CarIndex) {
    this.#car = car;
  }

  /**
   * Loads the tree under the root CID at `buf[rootCidAt]`; `buf` is the buffer that the CAR lies
   * in, and its blocks are known to match their CIDs.
   */
  load(buf: Buffer, rootCidAt: number): RejectCode | undefined {
    this.arena.reset();
    this.root = NONE;
    this.#buf = buf;
    this.#fault = undefined;
    this.#lastLeaf = NONE;
    this.#beginBlocks();
    this.#heights.begin();
    const block = this.#car.find(buf, rootCidAt);
    if (block < 0) return 'commit_block_missing';
    this.root = this.#loadNode(block, LAYER_UNKNOWN);
    if (this.root !== NONE && !this.#heights.end()) this.#fail();
    return this.#fault;
  }

  firstOf(node: number): number {
    return this.arena.nodeFirst[node] as number;
  }

  nextOf(item: number): number {
    return this.arena.itemNext[item] as number;
  }

  layerOf(node: number): number {
    return this.arena.nodeLayer[node] as number;
  }

  /** Notes that a block is used that is no node: the commit, a record. */
  useBlock(block: number): void {
    if (block < 0 || this.#loadOfBlock[block] === this.#loadNo) return;
    this.#loadOfBlock[block] = this.#loadNo;
    this.#usedCount++;
  }

  /**
   * Blocks to which nothing that was loaded leads, repeats of others included (CA-3). After the
   * load and `useBlock` of what else was used, before any edit.
   */
  countUnlinked(): number {
    const { arena } = this;
    // Mostly all were used. Else a leaf may lead to a record that no operation names.
    if (this.#usedCount === this.#car.blockCount) return 0;
    for (let item = 0; item < arena.itemCount; item++) {
      if (!arena.isLeaf(item)) continue;
      this.useBlock(this.#car.find(arena.bytes, arena.itemCidAt[item] as number));
    }
    return this.#car.blockCount - this.#usedCount;
  }

  #beginBlocks(): void {
    this.#usedCount = 0;
    this.#loadNo = (this.#loadNo + 1) >>> 0;
    const isTooSmall = this.#car.blockCount > this.#loadOfBlock.length;
    if (isTooSmall || this.#loadNo === 0) {
      this.#loadOfBlock = new Uint32Array(Math.max(256, 2 * this.#car.blockCount));
      this.#loadNo = 1;
    }
  }

  /** Loads a block as a node of `layer` and all below it; NONE and a fault where it is refused. */
  #loadNode(block: number, layer: number): number {
    // A node twice would hold its keys twice; it is also how a small CAR claims 2^40 nodes (H112).
    if (this.#loadOfBlock[block] === this.#loadNo) return this.#refuse('commit_mst_bad');
    this.useBlock(block);
    const node = this.#readNode(block);
    if (node === NONE) return NONE;
    const isRoot = layer === LAYER_UNKNOWN;
    // Only the root of the tree without records has neither key nor link (MS-6, H107).
    if (!isRoot && this.firstOf(node) === NONE) return this.#refuse('commit_mst_bad');
    const nodeLayer = isRoot ? this.#rootLayer(node) : layer;
    if (nodeLayer < 0) return this.#refuse('commit_mst_bad');
    if (nodeLayer > LAYER_MAX) return this.#refuse('commit_mst_limit');
    this.arena.nodeLayer[node] = nodeLayer;
    return this.#loadItems(node, nodeLayer) ? node : NONE;
  }

  #readNode(block: number): number {
    const arena = this.arena;
    const start = this.#car.blockStart(block) - CID_BYTES;
    const end = this.#car.blockEnd(block);
    if (arena.bytesUsed + end - start > TREE_BYTES_MAX) return this.#refuse('commit_mst_limit');
    // Its CID stands before every block and is copied along: links are made from the arena alone.
    const cidAt = arena.addBytes(this.#buf, start, end);
    const node = arena.addBlockNode(cidAt, arena.bytesUsed);
    const fault = this.#reader.read(node, cidAt, arena.bytesUsed);
    return fault === undefined ? node : this.#refuse(fault);
  }

  /** The layer of its first key; negative for a root that only points to a child (MS-6, H106). */
  #rootLayer(node: number): number {
    const first = this.firstOf(node);
    if (first === NONE) return 0;
    const leaf = this.arena.isLeaf(first) ? first : this.nextOf(first);
    return leaf === NONE ? -1 : this.#heightOf(leaf);
  }

  /** Walks the items of a node in order, loading the children that are present. */
  #loadItems(node: number, layer: number): boolean {
    const arena = this.arena;
    // The reader compared the keys of this node with each other, not with those around it.
    let isOrderKnown = false;
    for (let item = this.firstOf(node); item !== NONE; item = this.nextOf(item)) {
      if (arena.isLeaf(item)) {
        if (!this.#isOfHeight(item, layer)) return this.#fail();
        if (!isOrderKnown && !this.#isAfterLastLeaf(item)) return this.#fail();
        isOrderKnown = true;
        this.#lastLeaf = item;
        continue;
      }
      // Before going down, so that the layer of the root bounds the depth (H111, H114).
      if (layer === 0) return this.#fail();
      const block = this.#car.find(arena.bytes, arena.itemCidAt[item] as number);
      if (block < 0) continue;
      const child = this.#loadNode(block, layer - 1);
      if (child === NONE) return false;
      arena.itemNode[item] = child;
      isOrderKnown = false;
    }
    return true;
  }

  #isAfterLastLeaf(leaf: number): boolean {
    const arena = this.arena;
    if (this.#lastLeaf === NONE) return true;
    const keyAt = arena.itemKeyAt[leaf] as number;
    return arena.compareKey(this.#lastLeaf, keyAt, arena.itemKeyBytes[leaf] as number) < 0;
  }

  /** False where it is seen that this leaf, or one before it, stands in the wrong layer (H103). */
  #isOfHeight(leaf: number, layer: number): boolean {
    const arena = this.arena;
    const keyAt = arena.itemKeyAt[leaf] as number;
    return this.#heights.add(arena.view, keyAt, arena.itemKeyBytes[leaf] as number, layer);
  }

  #heightOf(leaf: number): number {
    const arena = this.arena;
    const keyAt = arena.itemKeyAt[leaf] as number;
    return keyHeight(arena.view, keyAt, arena.itemKeyBytes[leaf] as number);
  }

  #fail(): false {
    this.#fault = 'commit_mst_bad';
    return false;
  }

  #refuse(code: RejectCode): number {
    this.#fault = code;
    return NONE;
  }
}
