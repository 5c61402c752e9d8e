/** Operations against a partial tree (spec §1.10 steps 4–9). */
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { cidFromText, cidText, EMPTY_TREE_CID } from '../../lib/repo/cid.ts';
import type { OpView } from '../../lib/wire/ops.ts';
import {
  coverKey,
  EMPTY_TREE,
  getLeaf,
  leavesOf,
  putLeaf,
  removeLeaf,
  type TreeNode,
} from '../../scripts/fleet/repo-tree.ts';
import type { Block } from '../../scripts/fleet/signed-repo.ts';
import { interopJson, interopLines } from './interop.ts';
import { keyAfter, keyOf, nodeBlock, opView, rawNode, someCid, undone } from './tree-kit.ts';

const V = someCid('record');
const W = someCid('other record');

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) =>
    permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]),
  );
}

function treeOf(keys: Iterable<string>): TreeNode {
  let tree = EMPTY_TREE;
  for (const key of keys) tree = putLeaf(tree, key, V);
  return tree;
}

function proofOf(tree: TreeNode, paths: readonly string[]): Block[] {
  const nodes = new Set<TreeNode>();
  for (const path of paths) coverKey(tree, path, nodes);
  return [...nodes].map(nodeBlock);
}

/** Applies operations and gives the tree after them. */
function applied(tree: TreeNode, ops: readonly OpView[]): TreeNode {
  let after = tree;
  for (const { action, path, cid } of ops) {
    after = action === 'delete' ? removeLeaf(after, path) : putLeaf(after, path, cid);
  }
  return after;
}

type ProofFixture = {
  readonly comment: string;
  readonly leafValue: string;
  readonly keys: readonly string[];
  readonly adds: readonly string[];
  readonly dels: readonly string[];
  readonly rootBeforeCommit: string;
  readonly rootAfterCommit: string;
  readonly blocksInProof: readonly string[];
};

/** The case in which two of the three blocks are not needed (spec sheet 4.2). */
const SPARE_CASE = 'add on edge with neighbor two layers down';

for (const fixture of interopJson<ProofFixture[]>('firehose/commit-proof-fixtures.json')) {
  t.test(`step 5, CA-5, H97, H118: interop proof: ${fixture.comment}`, async (t) => {
    const value = cidFromText(fixture.leafValue) ?? '';
    let before = EMPTY_TREE;
    for (const key of fixture.keys) before = putLeaf(before, key, value);
    let after = before;
    for (const key of fixture.adds) after = putLeaf(after, key, value);
    for (const key of fixture.dels) after = removeLeaf(after, key);
    t.equal(cidText(before.cid), fixture.rootBeforeCommit);
    t.equal(cidText(after.cid), fixture.rootAfterCommit);
    const proof = proofOf(after, [...fixture.adds, ...fixture.dels]);
    t.same(proof.map(({ cid }) => cidText(cid)).sort(), [...fixture.blocksInProof].sort());
    const ops = [
      ...fixture.adds.map((path) => opView('create', path, value, '')),
      ...fixture.dels.map((path) => opView('delete', path, '', value)),
    ];
    let needed = 0;
    for (const order of permutations(ops)) {
      t.equal(cidText(undone(after.cid, proof, order)), fixture.rootBeforeCommit, 'this order');
      needed = 0;
      for (let index = 0; index < proof.length; index++) {
        if (undone(after.cid, proof.toSpliced(index, 1), order) === 'commit_block_missing')
          needed++;
        else
          t.equal(undone(after.cid, proof.toSpliced(index, 1), order), before.cid, 'or not needed');
      }
    }
    t.equal(proof.length - needed, fixture.comment === SPARE_CASE ? 2 : 0, 'blocks not needed');
  });
}

t.test('step 4, H99, H100: an operation that the tree does not show', async (t) => {
  const keys = interopLines('mst/example_keys.txt').slice(0, 60);
  const tree = treeOf(keys);
  const all = [...new Set(leavesOf(tree).map((leaf) => leaf.key))];
  const there = all[17] ?? '';
  const absent = 'A0/000000';
  const proof = proofOf(tree, [there, absent]);
  const verdict = (op: OpView): string => undone(tree.cid, proof, [op]);
  t.equal(verdict(opView('create', there, V, '')), removeLeaf(tree, there).cid, 'a right one');
  t.equal(verdict(opView('create', there, W, '')), 'commit_op_mismatch', 'op.cid is another');
  t.equal(verdict(opView('update', there, W, V)), 'commit_op_mismatch', 'op.cid is another');
  t.equal(verdict(opView('create', absent, V, '')), 'commit_op_mismatch', 'not in the tree');
  t.equal(verdict(opView('update', absent, V, W)), 'commit_op_mismatch', 'not in the tree');
  t.equal(verdict(opView('delete', there, '', V)), 'commit_op_mismatch', 'still there');
});

t.test('step 4, H99: a key of a layer above the root is conclusively absent', async (t) => {
  const tree = treeOf([keyOf(0, 0)]);
  const high = keyOf(5, 0);
  const blocks = [nodeBlock(tree)];
  t.equal(undone(tree.cid, blocks, [opView('create', high, V, '')]), 'commit_op_mismatch');
  const before = putLeaf(tree, high, W);
  t.equal(undone(tree.cid, blocks, [opView('delete', high, '', W)]), before.cid);
});

t.test('step 7, H100: a wrong prev gives another root, not a failure', async (t) => {
  const tree = treeOf([keyOf(0, 0), keyOf(0, 1)]);
  const right = putLeaf(tree, keyOf(0, 1), W).cid;
  const blocks = [nodeBlock(tree)];
  t.equal(undone(tree.cid, blocks, [opView('update', keyOf(0, 1), V, W)]), right);
  const other = undone(tree.cid, blocks, [opView('update', keyOf(0, 1), V, someCid('x'))]);
  t.not(other, right);
  t.equal(other.length, 36);
});

t.test('step 7, H119: an update that changes nothing', async (t) => {
  const tree = treeOf([keyOf(0, 0), keyOf(1, 1)]);
  const path = keyOf(0, 0);
  t.equal(undone(tree.cid, proofOf(tree, [path]), [opView('update', path, V, V)]), tree.cid);
});

t.test('step 8, H132: undone to the empty tree', async (t) => {
  const paths = [keyOf(0, 0), keyOf(3, 0), keyOf(0, 9)];
  const tree = treeOf(paths);
  const ops = paths.map((path) => opView('create', path, V, ''));
  for (const order of permutations(ops))
    t.equal(undone(tree.cid, proofOf(tree, paths), order), EMPTY_TREE_CID);
});

t.test('step 6: deletes of all records, undone from the empty tree', async (t) => {
  const paths = [keyOf(0, 0), keyOf(3, 0), keyOf(0, 9)];
  const ops = paths.map((path) => opView('delete', path, '', V));
  for (const order of permutations(ops))
    t.equal(undone(EMPTY_TREE.cid, [nodeBlock(EMPTY_TREE)], order), treeOf(paths).cid);
});

t.test(
  'step 9, A10, H117: {X of layer 3} after [delete Y of layer 0, create X], in both orders',
  async (t) => {
    const x = keyOf(3, 0);
    const y = keyOf(0, 0);
    const after = treeOf([x]);
    const ops = [opView('delete', y, '', V), opView('create', x, V, '')];
    for (const order of permutations(ops))
      t.equal(undone(after.cid, [nodeBlock(after)], order), treeOf([y]).cid);
  },
);

t.test(
  'step 9, A11: {Y of layer 0} after [delete X of layer 3, create Y], in both orders',
  async (t) => {
    const x = keyOf(3, 0);
    const y = keyOf(0, 0);
    const after = treeOf([y]);
    const ops = [opView('delete', x, '', V), opView('create', y, V, '')];
    for (const order of permutations(ops))
      t.equal(undone(after.cid, [nodeBlock(after)], order), treeOf([x]).cid);
  },
);

t.test('step 9: the top is trimmed down to a stub, whose CID is the answer', async (t) => {
  const top = keyOf(2, 0);
  const low = keyOf(0, 0);
  const below = treeOf([keyOf(1, 0), keyAfter(keyOf(1, 0), 0)]);
  t.ok(low < top);
  const root = rawNode([{ k: top, v: V }], below.cid);
  t.equal(undone(root.cid, [root], [opView('create', top, V, '')]), below.cid);
});

t.test(
  'step 6, step 8, H97: an operation that needs a stub: to find, to split, to merge',
  async (t) => {
    const top = keyOf(2, 3);
    const stubs = [someCid('left'), someCid('right')] as const;
    const root = rawNode([{ k: top, t: stubs[1], v: V }], stubs[0]);
    const under = keyOf(0, 0);
    t.ok(under < top);
    const ops = {
      'find a created key': opView('create', under, V, ''),
      'be sure that a deleted key is absent': opView('delete', under, '', V),
      'merge around a created key': opView('create', top, V, ''),
      'split for a deleted key': opView('delete', keyOf(2, 0), '', V),
      'split the root for a deleted key': opView('delete', keyOf(3, 0), '', V),
    };
    for (const [name, op] of Object.entries(ops))
      t.equal(undone(root.cid, [root], [op]), 'commit_block_missing', name);
  },
);

t.test('LM-7: keys of hundreds of bytes that share nearly all of them', async (t) => {
  const start = `a.b.c/${'x'.repeat(400)}`;
  const keys = Array.from({ length: 60 }, (_, i) => `${start}${i}${'y'.repeat(i)}`);
  const before = treeOf(keys.filter((_, i) => i % 2 === 0));
  const ops = [...keys.keys()].slice(0, 12).map((i) => {
    const path = keys[i] ?? '';
    return i % 2 === 0 ? opView('delete', path, '', V) : opView('create', path, W, '');
  });
  const after = applied(before, ops);
  const paths = ops.map(({ path }) => path);
  t.equal(undone(after.cid, proofOf(after, paths), ops), before.cid);
  const missing = opView('create', `${start}0z`, W, '');
  t.equal(undone(after.cid, proofOf(after, [missing.path]), [missing]), 'commit_op_mismatch');
});

t.test('keys that are the start of others', async (t) => {
  const keys = ['a.b.c/1', 'a.b.c/12', 'a.b.c/123', 'a.b.c/1234', 'a.b.c/2', 'a.b.c/22'];
  for (const [index, path] of keys.entries()) {
    const before = treeOf(keys.toSpliced(index, 1));
    const op = opView('create', path, W, '');
    const after = applied(before, [op]);
    t.equal(undone(after.cid, proofOf(after, [path]), [op]), before.cid, path);
    const gone = opView('delete', path, '', W);
    t.equal(undone(before.cid, proofOf(before, [path]), [gone]), after.cid, path);
  }
});

t.test(
  'step 5, H118: random commits of mixed operations, every order, covering proof only',
  async (t) => {
    const prng = new Prng(20261122);
    const pool = Array.from({ length: 60 }, (_, i) =>
      keyOf(i % 5 === 0 ? 2 + (i % 3) : i % 2, i >> 1),
    );
    let orders = 0;
    for (let round = 0; round < 400; round++) {
      const before = treeOf(pool.filter(() => prng.nextFloat() < 0.35));
      const paths = new Set(
        Array.from({ length: 1 + prng.nextBelow(4) }, () => pool[prng.nextBelow(60)] ?? ''),
      );
      const ops = [...paths].map((path) => {
        const old = getLeaf(before, path);
        if (old === undefined) return opView('create', path, W, '');
        return prng.nextFloat() < 0.6
          ? opView('delete', path, '', old)
          : opView('update', path, W, old);
      });
      const after = applied(before, ops);
      const proof = proofOf(after, [...paths]);
      for (const order of permutations(ops)) {
        const result = undone(after.cid, proof, order);
        if (result !== before.cid) t.equal(result, before.cid, `round ${round}`);
        orders++;
      }
      const dropped = proof.toSpliced(prng.nextBelow(proof.length), 1);
      const result = undone(after.cid, dropped, ops);
      if (result !== 'commit_block_missing') t.equal(result, before.cid, 'not needed');
    }
    t.ok(orders > 1000, `${orders} orders`);
  },
);
