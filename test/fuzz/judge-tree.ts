/** The rules of tree and operations (spec §1.9, §1.10, §1.11, §5.6), step by step as they stand. */
import type { KnownRepo } from '../../lib/verify/order.ts';
import { layerOf } from '../../scripts/fleet/repo-tree.ts';
import type { OpenedCommit } from './judge-commit.ts';
import { type CommitMessage, isDrislCid, isRecordCid, type Op } from './judge-message.ts';
import type { Library, LibraryNode, PlacedNode } from './library.ts';
import { asked, askedLater, refuseUnless } from './refusal.ts';

export type TreeCase = {
  readonly library: Library;
  readonly commit: CommitMessage;
  readonly opened: OpenedCommit;
  readonly known: KnownRepo | null;
  readonly isStrict: boolean;
  readonly areRecordsRead: boolean;
};

export const EMPTY_TREE_CID = Buffer.from(
  '017112209dfefe61dd76ea3dcae5023880b08379d57adf20482d6fdbe275928' + '9f647677b',
  'hex',
).toString('latin1');
const ENTRIES_MAX = 512;
const LAYER_MAX = 64;
const KEY_BYTES_MAX = 1024;
const RECORD_BYTES_MAX = 1_000_000;
/** Record-key characters and exactly one slash (A41). */
const KEY = /^[A-Za-z0-9._:~-]+\/[A-Za-z0-9._:~-]+$/;
const UNDO_ORDER = ['delete', 'update', 'create'];

export async function checkTree(tree: TreeCase): Promise<void> {
  const { commit, opened, known, isStrict } = tree;
  const { ops, prevData } = commit;
  const isOpen = prevData === '' && (known === null || !isStrict);
  if (ops.length === 0) {
    // Step 2: the tree did not change, or is that of a new repo.
    const expected = prevData === '' ? EMPTY_TREE_CID : prevData;
    refuseUnless(isOpen || opened.dataCid === expected, 'step 2', 'data is not prevData');
    return;
  }
  const nodes = await loadTree(tree);
  for (const op of ops) checkShown(tree, nodes, op);
  if (isOpen) return;
  const before = await undo(tree, nodes);
  // CH-5: known, and without prevData: only a repo that starts again from nothing.
  const expected = prevData === '' ? EMPTY_TREE_CID : prevData;
  refuseUnless(before === expected, prevData === '' ? 'CH-5' : 'step 9', 'the tree before');
}

/** Step 3: every node that is there, in key order, with all that is to be checked of it. */
async function loadTree(tree: TreeCase): Promise<Map<string, PlacedNode>> {
  const { library } = tree;
  const nodes = new Map<string, PlacedNode>();
  let lastKey = '';
  const load = async (cid: string, layerWanted: number | undefined): Promise<void> => {
    const bytes = tree.opened.blocks.get(cid);
    refuseUnless(bytes !== undefined || layerWanted !== undefined, 'H94', 'no root');
    if (bytes === undefined) return;
    refuseUnless(!nodes.has(cid), 'MS-4', 'a node twice');
    const node = await readNode(library, bytes);
    const layer = checkNode(node, layerWanted);
    nodes.set(cid, { cid, layer, node });
    for (const [index, child] of node.children.entries()) {
      const key = node.keys[index - 1];
      if (key !== undefined) {
        refuseUnless(key > lastKey, 'MS-4', 'keys out of order');
        lastKey = key;
      }
      if (child === null) continue;
      refuseUnless(layer > 0, 'MS-5', 'a link at layer 0');
      await load(child, layer - 1);
    }
  };
  await load(tree.opened.dataCid, undefined);
  return nodes;
}

async function readNode(library: Library, bytes: Uint8Array): Promise<LibraryNode> {
  const node = await askedLater('MS-2', () => library.readNode(bytes));
  const again = await askedLater('MS-2', () => library.encodeNode(node));
  refuseUnless(Buffer.compare(again, bytes) === 0, 'MS-3', 'not the one encoding of its entries');
  return node;
}

/** Its layer. */
function checkNode({ keys, values, children }: LibraryNode, layerWanted?: number): number {
  refuseUnless(keys.length <= ENTRIES_MAX, 'LM-9', 'too many entries');
  for (const key of keys) {
    refuseUnless(key.length <= KEY_BYTES_MAX && KEY.test(key), 'MS-8', 'key');
  }
  refuseUnless(values.every(isRecordCid), 'CD-5', 'value');
  refuseUnless(
    children.every((child) => child === null || isDrislCid(child)),
    'CD-4',
    'link',
  );
  const [first] = keys;
  const layer = layerWanted ?? (first === undefined ? 0 : layerOf(first));
  refuseUnless(layer <= LAYER_MAX, 'LM-9', 'too deep');
  if (first === undefined) {
    const isLeafless = children[0] !== null;
    const isRoot = layerWanted === undefined;
    refuseUnless(isLeafless !== isRoot, 'MS-6', isRoot ? 'leafless root' : 'empty node');
  }
  for (const key of keys) refuseUnless(layerOf(key) === layer, 'MS-5', 'key in another layer');
  return layer;
}

/** Step 4: the tree shows the operation, and its record is there. */
function checkShown(tree: TreeCase, nodes: ReadonlyMap<string, PlacedNode>, op: Op): void {
  const { library } = tree;
  const shown = lookUp(tree.opened.dataCid, nodes, op.path);
  refuseUnless(shown === op.cid, 'step 4', 'the tree does not show it');
  if (op.cid === '') return;
  const record = tree.opened.blocks.get(op.cid);
  refuseUnless(record !== undefined, 'CA-5', 'no record block');
  refuseUnless(record.length <= RECORD_BYTES_MAX, 'LM-4', 'record too large');
  if (tree.areRecordsRead && isDrislCid(op.cid)) {
    asked('H122', () => library.decode(record));
  }
}

/** The value of a key, '' where it is conclusively absent. Goes down only to the key's layer. */
function lookUp(rootCid: string, nodes: ReadonlyMap<string, PlacedNode>, key: string): string {
  const height = layerOf(key);
  for (let cid: string | null = rootCid; cid !== null; ) {
    const placed = nodes.get(cid);
    refuseUnless(placed !== undefined, 'H97', 'a node on the way is missing');
    const { layer, node } = placed;
    if (height > layer) return '';
    const found = node.keys.findIndex((each) => each >= key);
    const index = found < 0 ? node.keys.length : found;
    if (height === layer) return node.keys[index] === key ? (node.values[index] ?? '') : '';
    cid = node.children[index] ?? null;
  }
  return '';
}

/** Steps 5 to 9: root CID of the tree before the operations. */
async function undo(tree: TreeCase, nodes: ReadonlyMap<string, PlacedNode>): Promise<string> {
  const { library, opened, commit } = tree;
  const rank = (op: Op): number => UNDO_ORDER.indexOf(op.action);
  const byPath = (a: Op, b: Op): number => (a.path < b.path ? -1 : 1);
  const ops = [...commit.ops].sort((a, b) => rank(a) - rank(b) || byPath(a, b));
  return askedLater('step 9', async () => {
    const editor = library.edit(opened.dataCid, nodes, opened.blocks);
    for (const op of ops) {
      if (op.action === 'delete') await editor.insert(op.path, op.prev);
      else if (op.action === 'update') await editor.update(op.path, op.prev);
      else await editor.remove(op.path);
    }
    return editor.rootCid();
  });
}
