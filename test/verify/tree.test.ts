/** Commits wrong in tree, operations or records (spec sheet §5.6). */
import t, { type Test } from 'tap';
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { cidOf, EMPTY_TREE, putLeaf, removeLeaf, TreeNode } from '../../scripts/fleet/repo-tree.ts';
import { type Block, type RepoOp, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { keyAfter, keyOf, nodeBlock, rawNode, someCid } from '../repo/tree-kit.ts';
import {
  type Changes,
  create,
  DID,
  forge,
  judge,
  judgeParts,
  knownOf,
  NOW_MS,
  ONE,
  PATH,
  post,
  type Scene,
  scene,
} from './forge.ts';

/** Runs rows of one expected verdict on the scene of one created record. */
function table(t: Test, expected: string, rows: Readonly<Record<string, Changes>>): void {
  for (const [name, changes] of Object.entries(rows)) t.equal(judge(ONE, changes), expected, name);
}

t.test('CA-5, H94: the root node is missing', async (t) => {
  const isRoot = ({ cid }: Block): boolean => cid === ONE.parts.dataCid;
  table(t, 'commit_block_missing', {
    'left out': { blocks: (blocks) => blocks.filter((block) => !isRoot(block)) },
  });
});

t.test('step 2, CM-4, H95: an empty commit needs no node; H96: but the same tree', async (t) => {
  const empty = scene(() => []);
  t.equal(judge(empty), 'pass');
  t.equal(judge(empty, { blocks: (blocks) => blocks.slice(0, 1) }), 'pass');
  const wrong: Changes = { outer: { prevData: someCid('x') } };
  t.equal(judge(empty, wrong), 'commit_inversion_failed');
});

t.test('CA-5, H97: a covering node left out', async (t) => {
  const both = scene((repo) => [{ action: 'delete', path: repo.paths[11] ?? '' }, create(PATH)]);
  const count = 4;
  let missing = 0;
  for (let index = 1; index < count; index++) {
    const verdict = judge(both, { blocks: (blocks) => blocks.toSpliced(index, 1) });
    if (verdict === 'commit_block_missing') missing++;
    else t.equal(verdict, 'pass', 'or it was not needed');
  }
  t.ok(missing > 0, `${missing} of them needed`);
});

t.test('step 9, H98: a deletion that is not listed', async (t) => {
  const both = scene((repo) => [create(PATH), { action: 'delete', path: repo.paths[11] ?? '' }]);
  const ops = both.parts.ops.slice(0, 1);
  t.equal(judge(both), 'pass');
  t.equal(judge(both, { outer: { ops } }), 'commit_inversion_failed');
});

t.test('step 4, H99: an operation that the tree does not show', async (t) => {
  const [op] = ONE.parts.ops as [RepoOp];
  const more = { ...op, path: `${PATH}x` };
  t.equal(judge(ONE, { outer: { ops: [op, more] } }), 'commit_op_mismatch');
});

t.test(
  'step 4, H100: op.cid is another; the deleted key is still there; prev is another',
  async (t) => {
    const [op] = ONE.parts.ops as [RepoOp];
    const cid = cidOf(post('another'));
    const record = { cid, bytes: post('another') };
    const other: Changes = {
      outer: { ops: [{ ...op, cid }] },
      blocks: (blocks) => [...blocks, record],
    };
    t.equal(judge(ONE, other), 'commit_op_mismatch');
    const deleted: RepoOp = { action: 'delete', path: PATH, cid: null, prev: cid };
    t.equal(judge(ONE, { outer: { ops: [deleted] } }), 'commit_op_mismatch');
    const update = scene((repo) => [
      { action: 'update', path: repo.paths[5] ?? '', record: post('x') },
    ]);
    t.equal(judge(update), 'pass');
    const ops = update.parts.ops.map((each) => ({ ...each, prev: cid }));
    t.equal(judge(update, { outer: { ops } }), 'commit_inversion_failed');
    const gone = scene((repo) => [{ action: 'delete', path: repo.paths[5] ?? '' }]);
    t.equal(judge(gone), 'pass');
    const wrong = gone.parts.ops.map((each) => ({ ...each, prev: cid }));
    t.equal(judge(gone, { outer: { ops: wrong } }), 'commit_inversion_failed');
  },
);

t.test(
  'CA-5, step 4, H101: the record block is absent, of a create and of an update',
  async (t) => {
    table(t, 'commit_record_missing', { create: { blocks: (blocks) => blocks.slice(0, -1) } });
    const update = scene((repo) => [
      { action: 'update', path: repo.paths[5] ?? '', record: post('x') },
    ]);
    t.equal(judge(update, { blocks: (blocks) => blocks.slice(0, -1) }), 'commit_record_missing');
  },
);

t.test('step 9, H102: prevData of nothing', async (t) => {
  const wrong: Changes = { outer: { prevData: someCid('x') } };
  t.equal(judge(ONE, wrong), 'commit_inversion_failed');
  t.equal(judge(ONE, wrong, { known: null }), 'commit_inversion_failed', 'nothing known either');
});

/** A commit on a hand-made tree: the tree before is the same without the created key. */
function onTree(before: TreeNode, after: TreeNode, path: string, nodes: Block[]): Scene {
  const repo = new SignedRepo({ did: DID, seed: 'scene' });
  repo.tree = before;
  repo.commit([], { epochMs: NOW_MS - 10 });
  const known = knownOf(repo);
  repo.tree = after;
  const record = { cid: cidOf(post(path)), bytes: post(path) };
  const empty = repo.commit([], { epochMs: NOW_MS });
  const parts: CommitPartsWithOps = {
    ...empty,
    prevData: before.cid,
    ops: [{ action: 'create', path, cid: record.cid }],
  };
  const base = { repo, known, parts };
  const blocks = forge(base, { blocks: ([commit]) => [commit as Block, ...nodes, record] });
  return { repo, known, parts: blocks };
}
type CommitPartsWithOps = Scene['parts'];

const RECORD = (path: string): string => cidOf(post(path));

t.test(
  'MS-5, H103: an old key in a node of the wrong layer inverts all right, and is refused',
  async (t) => {
    const stray = { key: keyAfter(keyOf(1, 0), 0), value: someCid('stray') };
    const path = keyAfter(stray.key, 1);
    const before = new TreeNode(1, [{ key: keyOf(1, 0), value: someCid('a') }, stray]);
    const after = new TreeNode(1, [...before.items, { key: path, value: RECORD(path) }]);
    t.equal(judge(onTree(before, after, path, [nodeBlock(after)])), 'commit_mst_bad');
  },
);

t.test('MS-5, H103: the created key in a node of the wrong layer', async (t) => {
  const path = keyOf(0, 9);
  const before = new TreeNode(1, [{ key: keyOf(1, 0), value: someCid('a') }]);
  const after = new TreeNode(1, [...before.items, { key: path, value: RECORD(path) }]);
  t.equal(judge(onTree(before, after, path, [nodeBlock(after)])), 'commit_mst_bad');
});

t.test('MS-4, H105: a key twice in a node inverts all right, and is refused', async (t) => {
  const path = keyOf(0, 3);
  const old = { k: keyOf(0, 0), v: someCid('a') };
  const before = new TreeNode(0, [{ key: old.k, value: old.v }]);
  let p = 0;
  while (old.k[p] === path[p]) p++;
  const created = { k: path.slice(p), p, v: RECORD(path) };
  const good = rawNode([old, created]);
  const twice = rawNode([old, created, { k: '', p: path.length, v: RECORD(path) }]);
  for (const [node, verdict] of [
    [good, 'pass'],
    [twice, 'commit_mst_bad'],
  ] as const) {
    const made = onTree(before, putLeaf(before, path, RECORD(path)), path, [node]);
    t.equal(judge(made, { fields: { data: node.cid } }), verdict);
  }
});

t.test('MS-6, H106: a leafless root inverts all right, and is refused', async (t) => {
  const path = keyOf(0, 3);
  const before = putLeaf(EMPTY_TREE, keyOf(0, 0), someCid('a'));
  const after = putLeaf(before, path, RECORD(path));
  const root = new TreeNode(1, [after]);
  const made = onTree(before, root, path, [nodeBlock(root), nodeBlock(after)]);
  t.equal(judge(made), 'commit_mst_bad');
});

t.test('H117, A10: {X of layer 3} after [delete Y of layer 0, create X]', async (t) => {
  const repo = new SignedRepo({ did: DID, seed: 'scene' });
  const [x, y] = [keyOf(3, 0), keyOf(0, 0)];
  repo.commit([create(y)], { epochMs: NOW_MS - 10 });
  const known = knownOf(repo);
  const parts = repo.commit([{ action: 'delete', path: y }, create(x)], { epochMs: NOW_MS });
  t.equal(judgeParts(parts, { key: repo.keypair, known }), 'pass');
  t.same(repo.tree.cid, removeLeaf(putLeaf(repo.tree, y, someCid('q')), y).cid);
});

t.test('H119: an update that changes nothing', async (t) => {
  const same = scene((repo) => {
    const path = repo.paths[5] ?? '';
    return [{ action: 'update', path, record: post(path) }];
  });
  const [op] = same.parts.ops as [RepoOp];
  t.equal(op.cid, op.prev);
  t.equal(judge(same), 'pass');
});

t.test('CD-5, H120, H121: nonsense records, floats and foreign links pass', async (t) => {
  const records: Record<string, Buffer> = {
    'unknown $type': new DrislWriter().map(1).text('$type').text('no.such.thing').done(),
    'no map': new DrislWriter().text('hello').done(),
    'a float': Buffer.concat([
      new DrislWriter().map(1).text('x').done(),
      Buffer.from('fb3ff8000000000000', 'hex'),
    ]),
    'a sha-512 link': Buffer.concat([
      new DrislWriter().map(1).text('x').done(),
      Buffer.from(`d82a5845000171134${'0'.repeat(129)}`, 'hex'),
    ]),
  };
  for (const [name, record] of Object.entries(records))
    t.equal(judge(scene(() => [{ action: 'create', path: PATH, record }])), 'pass', name);
});

t.test('H122: a record block that is no CBOR', async (t) => {
  const records: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    text: Buffer.from('{"a":1}'),
    truncated: post('x').subarray(0, -1),
    'a byte more': Buffer.concat([post('x'), Buffer.from([0])]),
  };
  for (const [name, record] of Object.entries(records))
    t.equal(
      judge(scene(() => [{ action: 'create', path: PATH, record }])),
      'commit_record_bad',
      name,
    );
});
