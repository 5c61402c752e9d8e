/**
 * Edits of a loaded partial tree (spec §1.10 steps 4 and 6–8): find, insert, set, remove, with
 * the splits and merges that keep its shape canonical. All look-ups go by layer. Touching a stub
 * means that the proof is short: `commit_block_missing`. Changed nodes are marked in the arena.
 * Does not know operations or CIDs of nodes.
 *
 * A failed edit leaves the tree half changed; it is thrown away with its commit.
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';
import type { PartialTree } from './mst.ts';
import { type MstArena, NONE } from './mst-arena.ts';

export class TreeEditor {
  readonly #tree: PartialTree;
  readonly #arena: MstArena;
  #fault: RejectCode | undefined;
  /** The key being worked on. */
  #keyAt = 0;
  #keyBytes = 0;
  #height = 0;
  /** Set by #locate: the items around the key's place in a node, and the leaf with that key. */
  #before = NONE;
  #left = NONE;
  #match = NONE;
  /** Set by #split: the node left of the key and the one right of it; NONE for an empty side. */
  #leftPart = NONE;
  #rightPart = NONE;

  constructor(tree: PartialTree) {
    this.#tree = tree;
    this.#arena = tree.arena;
  }

  /** Chooses the key at `arena.bytes[keyAt, keyAt + keyBytes)` for the edits that follow. */
  select(keyAt: number, keyBytes: number, height: number): void {
    this.#keyAt = keyAt;
    this.#keyBytes = keyBytes;
    this.#height = height;
    this.#fault = undefined;
  }

  /** The leaf of the key; NONE where it is conclusively absent, or with `fault` where unknown. */
  find(): number {
    for (let node = this.#tree.root; ; ) {
      const layer = this.#tree.layerOf(node);
      if (this.#height > layer) return NONE;
      this.#locate(node);
      if (this.#height === layer) return this.#match;
      if (!this.#arena.isChild(this.#left)) return NONE;
      node = this.#childNode(this.#left);
      if (node === NONE) return NONE;
    }
  }

  /** Why the last `find` could not tell. */
  get fault(): RejectCode | undefined {
    return this.#fault;
  }

  /** Puts the absent key in with the value CID at `arena.bytes[cidAt]` (step 6). */
  insert(cidAt: number): RejectCode | undefined {
    const tree = this.#tree;
    const leaf = this.#arena.addLeaf(this.#keyAt, this.#keyBytes, cidAt);
    const isEmpty = tree.firstOf(tree.root) === NONE;
    if (isEmpty) tree.root = this.#arena.addNewNode(leaf, this.#height);
    else if (this.#height > tree.layerOf(tree.root)) this.#raiseRoot(leaf);
    else this.#insertBelow(tree.root, leaf);
    return this.#fault;
  }

  /** Changes the value of the key from one CID to another (step 7). */
  set(oldCid: string, cidAt: number): RejectCode | undefined {
    const leaf = this.find();
    if (this.#fault !== undefined) return this.#fault;
    if (leaf === NONE || this.#valueOf(leaf) !== oldCid) return 'commit_op_mismatch';
    this.#arena.replaceCid(leaf, cidAt);
    this.#markPath();
    return undefined;
  }

  /** Takes the key out, which must have this value (step 8). */
  remove(cid: string): RejectCode | undefined {
    this.#removeBelow(this.#tree.root, cid);
    return this.#fault;
  }

  #valueOf(leaf: number): string {
    return this.#arena.cidAt(this.#arena.itemCidAt[leaf] as number);
  }

  #locate(node: number): void {
    this.#before = NONE;
    this.#left = NONE;
    this.#match = NONE;
    for (let item = this.#tree.firstOf(node); item !== NONE; item = this.#tree.nextOf(item)) {
      if (this.#arena.isLeaf(item)) {
        const order = this.#arena.compareKey(item, this.#keyAt, this.#keyBytes);
        if (order === 0) this.#match = item;
        if (order >= 0) return;
      }
      this.#before = this.#left;
      this.#left = item;
    }
  }

  /** The node of a child link; NONE and a fault where it is only a stub. */
  #childNode(item: number): number {
    const node = this.#arena.itemNode[item] as number;
    if (node === NONE) this.#fault = 'commit_block_missing';
    return node;
  }

  /** Marks the nodes from the root to the key, which is present. */
  #markPath(): void {
    for (let node = this.#tree.root; ; node = this.#childNode(this.#left)) {
      this.#arena.patch(node);
      if (this.#tree.layerOf(node) === this.#height) return;
      this.#locate(node);
    }
  }

  #itemAfter(node: number, left: number): number {
    return left === NONE ? this.#tree.firstOf(node) : this.#tree.nextOf(left);
  }

  /** A child link to `node` under leafless nodes up to `layer`. */
  #wrapped(node: number, layer: number): number {
    let top = node;
    for (let above = this.#tree.layerOf(node) + 1; above <= layer; above++) {
      top = this.#arena.addNewNode(this.#arena.addChild(top, NONE), above);
    }
    return this.#arena.addChild(top, NONE);
  }

  /** The key stands above the root: the root is split and a new one made of the key. */
  #raiseRoot(leaf: number): void {
    const arena = this.#arena;
    if (!this.#split(this.#tree.root)) return;
    const rightPart = this.#rightPart;
    const left = this.#leftPart === NONE ? NONE : this.#wrapped(this.#leftPart, this.#height - 1);
    const right = rightPart === NONE ? NONE : this.#wrapped(rightPart, this.#height - 1);
    if (left !== NONE) arena.itemNext[left] = leaf;
    arena.itemNext[leaf] = right;
    this.#tree.root = arena.addNewNode(left === NONE ? leaf : left, this.#height);
  }

  #insertBelow(node: number, leaf: number): void {
    this.#locate(node);
    if (this.#tree.layerOf(node) === this.#height) {
      this.#arena.rebuild(node);
      this.#insertHere(node, leaf);
      return;
    }
    const left = this.#left;
    if (this.#arena.isChild(left)) {
      this.#arena.patch(node);
      const child = this.#childNode(left);
      if (child !== NONE) this.#insertBelow(child, leaf);
      return;
    }
    this.#arena.rebuild(node);
    const bottom = this.#arena.addNewNode(leaf, this.#height);
    const link = this.#wrapped(bottom, this.#tree.layerOf(node) - 1);
    this.#arena.itemNext[link] = this.#itemAfter(node, left);
    this.#arena.link(node, left, link);
  }

  /** Inserts into the node that #locate looked at: its layer is the key's. */
  #insertHere(node: number, leaf: number): void {
    const arena = this.#arena;
    if (this.#match !== NONE) {
      this.#fault = 'commit_op_mismatch';
      return;
    }
    const before = this.#before;
    const left = this.#left;
    const right = this.#itemAfter(node, left);
    if (!arena.isChild(left)) {
      arena.itemNext[leaf] = right;
      arena.link(node, left, leaf);
      return;
    }
    const child = this.#childNode(left);
    if (child === NONE || !this.#split(child)) return;
    if (this.#leftPart === NONE) arena.link(node, before, leaf);
    else {
      arena.itemNode[left] = this.#leftPart;
      arena.itemNext[left] = leaf;
    }
    arena.itemNext[leaf] = right;
    if (this.#rightPart === NONE) return;
    const rightLink = arena.addChild(this.#rightPart, NONE);
    arena.itemNext[leaf] = rightLink;
    arena.itemNext[rightLink] = right;
  }

  /** Splits a node below the key's layer at the key into #leftPart and #rightPart. */
  #split(node: number): boolean {
    const arena = this.#arena;
    arena.rebuild(node);
    this.#locate(node);
    const before = this.#before;
    const left = this.#left;
    const right = this.#itemAfter(node, left);
    let last = left;
    let rightFirst = right;
    if (arena.isChild(left)) {
      const child = this.#childNode(left);
      if (child === NONE || !this.#split(child)) return false;
      if (this.#leftPart === NONE) last = before;
      else arena.itemNode[left] = this.#leftPart;
      if (this.#rightPart !== NONE) {
        rightFirst = arena.addChild(this.#rightPart, NONE);
        arena.itemNext[rightFirst] = right;
      }
    }
    arena.link(node, last, NONE);
    this.#leftPart = this.#tree.firstOf(node) === NONE ? NONE : node;
    const layer = this.#tree.layerOf(node);
    this.#rightPart = rightFirst === NONE ? NONE : arena.addNewNode(rightFirst, layer);
    return true;
  }

  #removeBelow(node: number, cid: string): boolean {
    const layer = this.#tree.layerOf(node);
    if (this.#height > layer) return this.#mismatch();
    this.#locate(node);
    if (this.#height === layer) return this.#removeHere(node, cid);
    const before = this.#before;
    const left = this.#left;
    if (!this.#arena.isChild(left)) return this.#mismatch();
    const child = this.#childNode(left);
    if (child === NONE || !this.#removeBelow(child, cid)) return false;
    if (this.#tree.firstOf(child) !== NONE) {
      this.#arena.patch(node);
      return true;
    }
    // A child without any item goes; one that only links further down stays, leafless.
    this.#arena.rebuild(node);
    this.#arena.link(node, before, this.#tree.nextOf(left));
    return true;
  }

  #removeHere(node: number, cid: string): boolean {
    const arena = this.#arena;
    const leaf = this.#match;
    const left = this.#left;
    if (leaf === NONE || this.#valueOf(leaf) !== cid) return this.#mismatch();
    arena.rebuild(node);
    const right = this.#tree.nextOf(leaf);
    if (!arena.isChild(left) || !arena.isChild(right)) {
      arena.link(node, left, right);
      return true;
    }
    return this.#joinChildren(left, right);
  }

  /** Makes one child of two that have become neighbours. */
  #joinChildren(left: number, right: number): boolean {
    const a = this.#childNode(left);
    const b = this.#childNode(right);
    if (a === NONE || b === NONE) return false;
    this.#arena.itemNext[left] = this.#tree.nextOf(right);
    return this.#merge(a, b);
  }

  /** Appends the items of `b` to `a`, its left neighbour of the same layer. */
  #merge(a: number, b: number): boolean {
    this.#arena.rebuild(a);
    let tail = this.#tree.firstOf(a);
    for (let next = tail; next !== NONE; next = this.#tree.nextOf(next)) tail = next;
    const head = this.#tree.firstOf(b);
    this.#arena.link(a, tail, head);
    const isSeam = this.#arena.isChild(tail) && this.#arena.isChild(head);
    return isSeam ? this.#joinChildren(tail, head) : true;
  }

  #mismatch(): false {
    this.#fault = 'commit_op_mismatch';
    return false;
  }
}
