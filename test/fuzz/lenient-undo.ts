/**
 * Operations undone on a tree that may be wrong in any way, as a verifier would do it that looks
 * only at what it needs: keys are searched by order, layers are taken from where they stand. What
 * comes out is the `prevData` with which only the structure itself can give a wrong tree away.
 */
import { cidOf, layerOf } from '../../scripts/fleet/repo-tree.ts';
import { DraftNode, type Link } from './draft-node.ts';

export type UndoOp = {
  readonly action: string;
  readonly path: string;
  readonly prev: string | null | undefined;
};

type Leaf = { key: string; value: string };
type Item = Leaf | Tree;

class Tree {
  readonly layer: number;
  items: Item[];
  /** The node that it is, as long as nothing in or below it has changed. */
  source: DraftNode | undefined;

  constructor(layer: number, items: Item[], source?: DraftNode) {
    this.layer = layer;
    this.items = items;
    this.source = source;
  }
}

/** A node that is not there. */
class Stub extends Tree {
  readonly cid: string;

  constructor(layer: number, cid: string) {
    super(layer, []);
    this.cid = cid;
  }
}

class OutOfReach extends Error {}

const NODES_MAX = 1000;
const ORDER = ['delete', 'update', 'create'];

/** Root CID before the operations, or undefined where nodes or keys are missing for it. */
export function lenientUndo(root: DraftNode, ops: readonly UndoOp[]): string | undefined {
  const rank = (op: UndoOp): number => ORDER.indexOf(op.action);
  try {
    let tree = treeOf(root, topLayer(root));
    for (const op of [...ops].sort((a, b) => rank(a) - rank(b))) tree = undone(tree, op);
    return rootCid(tree);
  } catch (error) {
    if (error instanceof OutOfReach) return undefined;
    throw error;
  }
}

function topLayer(root: DraftNode): number {
  let layersAbove = 0;
  for (let node: DraftNode | undefined = root; node !== undefined; node = node.children[0]) {
    const [first] = node.entries;
    if (first !== undefined) return layerOf(first.key) + layersAbove;
    layersAbove += 1;
  }
  return layersAbove;
}

/** `budget`: nodes that may still be taken; a few blocks can stand for very many. */
function treeOf(node: DraftNode, layer: number, budget = { nodes: NODES_MAX }): Tree {
  budget.nodes -= 1;
  if (budget.nodes < 0) throw new OutOfReach();
  const items: Item[] = [];
  const add = (to: Link): void => {
    if (to instanceof DraftNode) items.push(treeOf(to, layer - 1, budget));
    else if (to !== null) items.push(new Stub(layer - 1, to));
  };
  add(node.left);
  for (const { key, value, right } of node.entries) {
    items.push({ key, value });
    add(right);
  }
  return new Tree(layer, items, node);
}

function undone(tree: Tree, { action, path, prev }: UndoOp): Tree {
  if (action === 'create') return removed(tree, path);
  if (typeof prev !== 'string') throw new OutOfReach();
  if (action === 'delete') return inserted(tree, { key: path, value: prev }, layerOf(path));
  leafOf(tree, path).value = prev;
  return tree;
}

function open(tree: Tree): Item[] {
  if (tree instanceof Stub) throw new OutOfReach();
  return tree.items;
}

/** Where a key stands or would; who asks is about to change something there. */
function indexOf(tree: Tree, key: string): number {
  tree.source = undefined;
  const index = open(tree).findIndex((item) => !(item instanceof Tree) && item.key >= key);
  return index < 0 ? tree.items.length : index;
}

function leafOf(tree: Tree, key: string): Leaf {
  const index = indexOf(tree, key);
  const item = tree.items[index];
  if (item !== undefined && !(item instanceof Tree) && item.key === key) return item;
  const left = tree.items[index - 1];
  if (!(left instanceof Tree)) throw new OutOfReach();
  return leafOf(left, key);
}

function removed(tree: Tree, key: string): Tree {
  const index = indexOf(tree, key);
  const item = tree.items[index];
  const left = tree.items[index - 1];
  if (item !== undefined && !(item instanceof Tree) && item.key === key) {
    const right = tree.items[index + 1];
    const isSeam = left instanceof Tree && right instanceof Tree;
    if (isSeam) tree.items.splice(index - 1, 3, merged(left, right));
    else tree.items.splice(index, 1);
    return tree;
  }
  if (!(left instanceof Tree)) throw new OutOfReach();
  removed(left, key);
  if (left.items.length === 0) tree.items.splice(index - 1, 1);
  return tree;
}

function merged(a: Tree, b: Tree): Tree {
  const items = [...open(a), ...open(b)];
  const seam = a.items.length;
  const [left, right] = [items[seam - 1], items[seam]];
  if (left instanceof Tree && right instanceof Tree) items.splice(seam - 1, 2, merged(left, right));
  return new Tree(a.layer, items);
}

function inserted(tree: Tree, leaf: Leaf, layer: number): Tree {
  if (!(tree instanceof Stub) && tree.items.length === 0) return new Tree(layer, [leaf]);
  if (layer > tree.layer) {
    const parts = split(tree, leaf.key).map((part) => lifted(part, layer - 1));
    const [left, right] = parts;
    return new Tree(layer, [...(left ? [left] : []), leaf, ...(right ? [right] : [])]);
  }
  const index = indexOf(tree, leaf.key);
  const left = tree.items[index - 1];
  if (layer < tree.layer) {
    if (left instanceof Tree) tree.items[index - 1] = inserted(left, leaf, layer);
    else {
      const child = lifted(new Tree(layer, [leaf]), tree.layer - 1) as Tree;
      tree.items.splice(index, 0, child);
    }
    return tree;
  }
  if (!(left instanceof Tree)) tree.items.splice(index, 0, leaf);
  else {
    const [before, after] = split(left, leaf.key);
    const parts = [...(before ? [before] : []), leaf, ...(after ? [after] : [])];
    tree.items.splice(index - 1, 1, ...parts);
  }
  return tree;
}

function lifted(tree: Tree | undefined, layer: number): Tree | undefined {
  if (tree === undefined || tree.layer >= layer) return tree;
  return lifted(new Tree(tree.layer + 1, [tree]), layer);
}

function split(tree: Tree, key: string): [Tree | undefined, Tree | undefined] {
  const index = indexOf(tree, key);
  const left = tree.items.slice(0, index);
  const right = tree.items.slice(index);
  const last = left.at(-1);
  if (last instanceof Tree) {
    const [before, after] = split(last, key);
    left.splice(-1, 1, ...(before ? [before] : []));
    if (after !== undefined) right.unshift(after);
  }
  const toTree = (items: Item[]): Tree | undefined =>
    items.length === 0 ? undefined : new Tree(tree.layer, items);
  return [toTree(left), toTree(right)];
}

function rootCid(tree: Tree): string {
  const [only] = tree.items;
  if (!(tree instanceof Stub) && tree.items.length === 1 && only instanceof Tree) {
    return rootCid(only);
  }
  return cidOfTree(tree);
}

function cidOfTree(tree: Tree): string {
  if (tree instanceof Stub) return tree.cid;
  if (tree.source !== undefined) return tree.source.block.cid;
  const node = new DraftNode();
  let last = -1;
  for (const item of tree.items) {
    if (item instanceof Tree) node.setLink(last, cidOfTree(item));
    else {
      node.entries.push({ ...item, right: null });
      last += 1;
    }
  }
  return cidOf(node.block.bytes);
}
