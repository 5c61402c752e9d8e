/**
 * The whole tree of a fleet repo in memory: persistent nodes (a change makes new nodes along one
 * path and shares the rest), their DRISL blocks, and the covering proof of an operation. Written
 * from the specification apart from `lib/repo`, so that the two check each other.
 */
import { hash } from 'node:crypto';
import { DrislWriter } from './drisl.ts';

export type Leaf = { readonly key: string; readonly value: string };
export type Item = Leaf | TreeNode;

export class TreeNode {
  readonly layer: number;
  /** Leaves and children in key order; two children are never neighbours. */
  readonly items: readonly Item[];
  /** Whether an earlier commit of the repo has carried this node already. */
  isPublished = false;
  #cid = '';

  constructor(layer: number, items: readonly Item[]) {
    this.layer = layer;
    this.items = items;
  }

  get cid(): string {
    if (this.#cid === '') this.#cid = cidOf(this.encode());
    return this.#cid;
  }

  encode(): Buffer {
    const items = this.items;
    const left = items[0] instanceof TreeNode ? items[0].cid : null;
    const out = new DrislWriter().map(2).text('e');
    out.array(items.filter((item) => !(item instanceof TreeNode)).length);
    let previous = '';
    for (const [index, item] of items.entries()) {
      if (item instanceof TreeNode) continue;
      const next = items[index + 1];
      const shared = sharedChars(previous, item.key);
      out
        .map(4)
        .text('k')
        .bytes(Buffer.from(item.key.slice(shared), 'latin1'));
      out.text('p').integer(shared);
      out.text('t').link(next instanceof TreeNode ? next.cid : null);
      out.text('v').link(item.value);
      previous = item.key;
    }
    return out.text('l').link(left).done();
  }
}

export const EMPTY_TREE = new TreeNode(0, []);

/** CIDv1 of a DRISL block, 36 latin1 characters. */
export function cidOf(block: Uint8Array): string {
  return `\x01\x71\x12\x20${hash('sha256', block, 'latin1')}`;
}

/** Pairs of leading zero bits of the key's SHA-256. */
export function layerOf(key: string): number {
  const digest = hash('sha256', key, 'hex');
  const zeroNibbles = /^0*/.exec(digest)?.[0].length ?? 0;
  const nibble = Number.parseInt(digest.charAt(zeroNibbles), 16);
  return zeroNibbles * 2 + (nibble < 4 ? 1 : 0);
}

export function getLeaf(root: TreeNode, key: string): string | undefined {
  for (let node: Item | undefined = root; node instanceof TreeNode; ) {
    const index = indexOf(node, key);
    const item: Item | undefined = node.items[index];
    if (item !== undefined && !(item instanceof TreeNode) && item.key === key) return item.value;
    node = node.items[index - 1];
  }
  return undefined;
}

/** All leaves in key order. */
export function leavesOf(node: TreeNode): Leaf[] {
  return node.items.flatMap((item) => (item instanceof TreeNode ? leavesOf(item) : [item]));
}

/** The tree with the key set to a value. */
export function putLeaf(root: TreeNode, key: string, value: string): TreeNode {
  const layer = layerOf(key);
  if (root.items.length === 0) return new TreeNode(layer, [{ key, value }]);
  return put(root, { key, value }, layer);
}

/** The tree without the key, which is present. */
export function removeLeaf(root: TreeNode, key: string): TreeNode {
  let top = remove(root, key) ?? EMPTY_TREE;
  while (top.items.length === 1 && top.items[0] instanceof TreeNode) top = top.items[0];
  return top;
}

/**
 * Every node that proves an operation on the key, on the tree after it: the way to the key's
 * place, and from there to its left and right neighbours (spec §1.10, block coverage rules).
 */
export function coverKey(node: TreeNode, key: string, into: Set<TreeNode>): void {
  into.add(node);
  const index = indexOf(node, key);
  const item = node.items[index];
  const left = node.items[index - 1];
  if (left instanceof TreeNode) coverKey(left, key, into);
  if (item === undefined || item instanceof TreeNode || item.key !== key) return;
  const right = node.items[index + 1];
  if (right instanceof TreeNode) coverKey(right, key, into);
}

/** Moves the nodes that no earlier call has seen, from the root down, into a set. */
export function takeNewNodes(node: TreeNode, into: Set<TreeNode>): void {
  if (node.isPublished) return;
  // All repos without records share one root: that one has sent it says nothing of the others.
  node.isPublished = node.items.length > 0;
  into.add(node);
  for (const item of node.items) if (item instanceof TreeNode) takeNewNodes(item, into);
}

function sharedChars(a: string, b: string): number {
  let shared = 0;
  while (shared < a.length && a.charCodeAt(shared) === b.charCodeAt(shared)) shared++;
  return shared;
}

/** Index of the first leaf that is not before the key; the number of items where there is none. */
function indexOf(node: TreeNode, key: string): number {
  const found = node.items.findIndex((item) => !(item instanceof TreeNode) && item.key >= key);
  return found < 0 ? node.items.length : found;
}

function replaced(node: TreeNode, from: number, to: number, ...items: (Item | null)[]): TreeNode {
  const kept = items.filter((item) => item !== null);
  return new TreeNode(node.layer, node.items.toSpliced(from, to - from, ...kept));
}

/** The node under leafless ones up to a layer. */
function lifted(node: TreeNode | null, layer: number): TreeNode | null {
  if (node === null || node.layer === layer) return node;
  return lifted(new TreeNode(node.layer + 1, [node]), layer);
}

function put(node: TreeNode, leaf: Leaf, layer: number): TreeNode {
  if (layer > node.layer) {
    const [left, right] = split(node, leaf.key);
    const items = [lifted(left, layer - 1), leaf, lifted(right, layer - 1)];
    return new TreeNode(
      layer,
      items.filter((item) => item !== null),
    );
  }
  const index = indexOf(node, leaf.key);
  const left = node.items[index - 1];
  const right = node.items[index];
  if (layer < node.layer) {
    if (left instanceof TreeNode) {
      return replaced(node, index - 1, index, put(left, leaf, layer));
    }
    return replaced(node, index, index, lifted(new TreeNode(layer, [leaf]), node.layer - 1));
  }
  if (right !== undefined && !(right instanceof TreeNode) && right.key === leaf.key) {
    return replaced(node, index, index + 1, leaf);
  }
  if (!(left instanceof TreeNode)) return replaced(node, index, index, leaf);
  const [leftPart, rightPart] = split(left, leaf.key);
  return replaced(node, index - 1, index, leftPart, leaf, rightPart);
}

function split(node: TreeNode, key: string): [TreeNode | null, TreeNode | null] {
  const index = indexOf(node, key);
  const left = node.items.slice(0, index);
  const right = node.items.slice(index);
  const last = left.at(-1);
  if (last instanceof TreeNode) {
    const [leftPart, rightPart] = split(last, key);
    left.pop();
    if (leftPart !== null) left.push(leftPart);
    if (rightPart !== null) right.unshift(rightPart);
  }
  const toNode = (items: Item[]): TreeNode | null =>
    items.length === 0 ? null : new TreeNode(node.layer, items);
  return [toNode(left), toNode(right)];
}

function remove(node: TreeNode, key: string): TreeNode | null {
  const index = indexOf(node, key);
  const item = node.items[index];
  const left = node.items[index - 1];
  let result: TreeNode;
  if (item !== undefined && !(item instanceof TreeNode) && item.key === key) {
    const right = node.items[index + 1];
    const isSeam = left instanceof TreeNode && right instanceof TreeNode;
    result = isSeam
      ? replaced(node, index - 1, index + 2, merged(left, right))
      : replaced(node, index, index + 1);
  } else {
    if (!(left instanceof TreeNode)) throw new Error(`no such key: ${key}`);
    result = replaced(node, index - 1, index, remove(left, key));
  }
  return result.items.length === 0 ? null : result;
}

function merged(a: TreeNode, b: TreeNode): TreeNode {
  const tail = a.items.at(-1);
  const head = b.items[0];
  if (!(tail instanceof TreeNode) || !(head instanceof TreeNode)) {
    return new TreeNode(a.layer, [...a.items, ...b.items]);
  }
  return new TreeNode(a.layer, [...a.items.slice(0, -1), merged(tail, head), ...b.items.slice(1)]);
}
