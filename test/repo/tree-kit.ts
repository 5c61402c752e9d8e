/** Partial trees for tests: nodes written by hand, keys of a wanted layer, loading and undoing. */
import { hash } from 'node:crypto';
import { CarIndex } from '../../lib/repo/car.ts';
import { Inversion } from '../../lib/repo/invert.ts';
import { PartialTree } from '../../lib/repo/mst.ts';
import { type OpAction, OpView } from '../../lib/wire/ops.ts';
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { cidOf, layerOf, type TreeNode } from '../../scripts/fleet/repo-tree.ts';
import { type Block, encodeCar } from '../../scripts/fleet/signed-repo.ts';

export type RawEntry = {
  readonly k: string;
  readonly p?: number;
  readonly t?: string | null;
  readonly v: string;
};

/** A node block as told, right or wrong; `k` is the suffix after `p` characters. */
export function rawNode(entries: readonly RawEntry[], left: string | null = null): Block {
  const out = new DrislWriter().map(2).text('e').array(entries.length);
  for (const { k, p = 0, t = null, v } of entries) {
    out.map(4).text('k').bytes(Buffer.from(k, 'latin1')).text('p').integer(p);
    out.text('t').link(t).text('v').link(v);
  }
  return blockOf(out.text('l').link(left).done());
}

export function blockOf(bytes: Buffer): Block {
  return { cid: cidOf(bytes), bytes };
}

export function nodeBlock(node: TreeNode): Block {
  return { cid: node.cid, bytes: node.encode() };
}

/** A CID that is nobody's. */
export function someCid(seed: string): string {
  return `\x01\x71\x12\x20${hash('sha256', `some ${seed}`, 'latin1')}`;
}

const keysOfLayer = new Map<number, string[]>();
let keyNo = 0;

/**
 * The `index`-th key of a layer, in a fixed order that is also key order:
 * keys of any layers are compared by when they were found.
 */
export function keyOf(layer: number, index: number): string {
  for (;;) {
    const found = keysOfLayer.get(layer)?.[index];
    if (found !== undefined) return found;
    const key = `app.bsky.feed.post/${(keyNo++).toString().padStart(10, '0')}`;
    const row = keysOfLayer.get(layerOf(key)) ?? [];
    keysOfLayer.set(layerOf(key), row);
    row.push(key);
  }
}

/** The first key of a layer that is after another key. */
export function keyAfter(key: string, layer: number): string {
  for (let index = 0; ; index++) {
    const found = keyOf(layer, index);
    if (found > key) return found;
  }
}

export function opView(action: OpAction, path: string, cid: string, prev: string): OpView {
  const op = new OpView();
  op.action = action;
  op.path = path;
  op.cid = cid;
  op.prev = prev;
  return op;
}

const car = new CarIndex();
const tree = new PartialTree(car);
const inversion = new Inversion(tree);

/** What loading the tree under `root` says. The scratch is the same for all, as in the relay. */
export function loadVerdict(root: string, blocks: readonly Block[]): string {
  const bytes = encodeCar([root], blocks);
  const fault = car.load(bytes, 0, bytes.length);
  if (fault !== undefined) return fault;
  if (!car.isIntact()) return 'commit_block_hash_bad';
  return tree.load(bytes, bytes.indexOf(root, 0, 'latin1')) ?? 'ok';
}

/** Loads, checks and undoes: the root CID before the operations, or the reject code. */
export function undone(root: string, blocks: readonly Block[], ops: readonly OpView[]): string {
  const loaded = loadVerdict(root, blocks);
  if (loaded !== 'ok') return loaded;
  return inversion.checkForward(ops, ops.length) ?? inversion.undo() ?? inversion.rootCid();
}
