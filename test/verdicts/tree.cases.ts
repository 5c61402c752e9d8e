/** The tree of a commit, its operations and its records (spec sheet §5.6). */
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { EMPTY_TREE, putLeaf } from '../../scripts/fleet/repo-tree.ts';
import type { RepoOp, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { blockOf, keyOf, someCid } from '../repo/tree-kit.ts';
import type { VerdictCase } from './case.ts';
import {
  committed,
  create,
  type Draft,
  draft,
  forged,
  message,
  newPath,
  newRecord,
  oneDraft,
} from './drafts.ts';
import { dropCase, groupCase, type Input, passCase, verdictOfAll } from './inputs.ts';
import { permuted, withoutNeededNodes, withoutSpareNodes } from './proofs.ts';
import { type TreeGroup, type TreeInput, treeCase } from './tree-inputs.ts';
import {
  badFields,
  badKeys,
  badLinks,
  bombs,
  chain,
  control,
  crowded,
  emptyChildren,
  foreignLinks,
  leaflessRoots,
  outOfOrder,
  prefixes,
  shortPrefixes,
  twice,
  wrongLayers,
} from './tree-nodes.ts';

const MISMATCH = 'DROP commit_op_mismatch';
const INVERSION = 'DROP commit_inversion_failed';

type Make = (repo: SignedRepo) => Draft;

const anUpdate: Make = (repo) =>
  draft(repo, [{ action: 'update', path: repo.paths[0] ?? '', record: newRecord() }]);
const aDelete: Make = (repo) => draft(repo, [{ action: 'delete', path: repo.paths[0] ?? '' }]);
const both: Make = (repo) =>
  draft(repo, [create(newPath()), { action: 'delete', path: repo.paths[0] ?? '' }]);

/** The message with other operations; the tree stays. */
function otherOps(make: Make, change: (ops: readonly RepoOp[]) => readonly RepoOp[]): Input {
  return ({ repo }) => {
    const { parts } = make(repo);
    return message({ ...parts, ops: change(parts.ops) });
  };
}

function firstOp(change: (op: RepoOp) => RepoOp): (ops: readonly RepoOp[]) => readonly RepoOp[] {
  return ([op, ...others]) => [change(op as RepoOp), ...others];
}

/** Without its last block, which is a record. */
function withoutRecord(make: Make): Input {
  return ({ repo }) => forged(make(repo), { blocks: (blocks) => blocks.slice(0, -1) });
}

/** A commit, made, that creates this record. */
function recordOf(record: Buffer): Input {
  return ({ repo }) => message(committed(repo, [create(newPath(), record)]).parts);
}

/** The same, not made. */
function badRecordOf(record: Buffer): Input {
  return ({ repo }) => message(draft(repo, [create(newPath(), record)]).parts);
}

/** A row of nodes in wrong trees; one right tree goes before them. */
function nodesCase(
  row: Omit<VerdictCase, 'expected' | 'run' | 'specVerdict'> & { readonly specVerdict?: string },
  ...groups: TreeGroup[]
): VerdictCase {
  return treeCase({ specVerdict: 'DROP(mst)', ...row }, groups);
}

function bad(inputs: TreeGroup['inputs']): TreeGroup {
  return { expected: 'DROP commit_mst_bad', inputs };
}

const aMap = (key: string): DrislWriter => new DrislWriter().map(1).text(key);
const A_FLOAT = Buffer.from('fb3ff8000000000000', 'hex');
const A_SHA_512_LINK = Buffer.concat([
  Buffer.from('d82a58450001711340', 'hex'),
  Buffer.alloc(64, 7),
]);

/** {X of layer 3} after [delete Y of layer 0, create X], in the order given. */
function orderTrap(isDeleteFirst: boolean): TreeInput {
  const [x, y] = [keyOf(3, 0), keyOf(0, 0)];
  return {
    before: putLeaf(EMPTY_TREE, y, someCid('y')),
    make: (repo) => {
      const { parts } = committed(repo, [{ action: 'delete', path: y }, create(x)]);
      return message({ ...parts, ops: isDeleteFirst ? parts.ops : parts.ops.toReversed() });
    },
  };
}

export const TREE: readonly VerdictCase[] = [
  dropCase({
    id: 'H94',
    input: 'operations, but no root node',
    specVerdict: 'DROP(missing-block)',
    rules: '§1.10 step 3, CA-5',
    code: 'commit_block_missing',
    inputs: {
      create: withoutRoot(oneDraft),
      update: withoutRoot(anUpdate),
      delete: withoutRoot(aDelete),
    },
  }),
  passCase({
    id: 'H95',
    input: 'no operations, `data` is `prevData`, the CAR holds the commit alone',
    specVerdict: 'PASS',
    rules: '§1.10 step 2, CM-4',
    inputs: {
      empty: ({ repo }) => forged(committed(repo, []), { blocks: (blocks) => blocks.slice(0, 1) }),
    },
  }),
  dropCase({
    id: 'H96',
    input: 'no operations, `data` is not `prevData`',
    specVerdict: 'DROP(inversion)',
    rules: '§1.10 step 2',
    code: 'commit_inversion_failed',
    inputs: {
      'another prevData': ({ repo }) => {
        const { parts } = draft(repo, []);
        return message({ ...parts, prevData: someCid('another') });
      },
      'another tree': otherOps(oneDraft, () => []),
    },
  }),
  treeCase(
    {
      id: 'H97',
      input: 'each needed block of the published proofs left out, one by one; the two spare ones',
      specVerdict: 'DROP(missing-block)',
      rules: '§1.10 block coverage, CA-5',
    },
    [
      { expected: 'DROP commit_block_missing', label: 'needed', inputs: withoutNeededNodes },
      { expected: 'PASS', label: 'spare', inputs: withoutSpareNodes },
    ],
  ),
  dropCase({
    id: 'H98',
    input: 'a deletion or a creation in the tree that is not in `ops`',
    specVerdict: 'DROP(inversion)',
    rules: '§1.10 step 9',
    code: 'commit_inversion_failed',
    inputs: {
      deletion: otherOps(both, (ops) => ops.slice(0, 1)),
      creation: otherOps(both, (ops) => ops.slice(1)),
    },
  }),
  dropCase({
    id: 'H99',
    input: 'an operation in `ops` that is not in the tree',
    specVerdict: 'DROP(op-mismatch)',
    rules: '§1.10 step 4',
    code: 'commit_op_mismatch',
    inputs: {
      'one more create': otherOps(oneDraft, (ops) => [
        ...ops,
        { ...(ops[0] as RepoOp), path: `${ops[0]?.path}x` },
      ]),
      'a create that was none': otherOps(
        oneDraft,
        firstOp((op) => ({ ...op, path: `${op.path}x` })),
      ),
    },
  }),
  groupCase(
    {
      id: 'H100',
      input:
        '`cid` of an operation is not what the tree says, a deleted key is still there; ' +
        '`prev` is another',
      specVerdict: 'DROP(op-mismatch / inversion)',
      rules: '§1.10 steps 4, 6, 7',
    },
    [
      {
        expected: MISMATCH,
        label: 'cid, delete',
        inputs: {
          'cid of a create': otherValue(oneDraft),
          'cid of an update': otherValue(anUpdate),
          'a delete of what is there': otherOps(
            oneDraft,
            firstOp(({ path }) => ({ action: 'delete', path, cid: null, prev: someCid('x') })),
          ),
        },
      },
      {
        expected: INVERSION,
        label: 'prev',
        inputs: {
          'prev of an update': otherOps(anUpdate, firstOp(withPrev)),
          'prev of a delete': otherOps(aDelete, firstOp(withPrev)),
        },
      },
    ],
  ),
  dropCase({
    id: 'H101',
    input: 'the record of a create or an update is not among the blocks',
    specVerdict: 'DROP(missing-record)',
    rules: '§1.10 step 4, CA-5',
    code: 'commit_record_missing',
    inputs: { create: withoutRecord(oneDraft), update: withoutRecord(anUpdate) },
  }),
  dropCase({
    id: 'H102',
    input: '`prevData` is the root of no tree',
    specVerdict: 'DROP(inversion)',
    rules: '§1.10 step 9',
    code: 'commit_inversion_failed',
    inputs: {
      create: ({ repo }) => message({ ...oneDraft(repo).parts, prevData: someCid('before') }),
      delete: ({ repo }) => message({ ...aDelete(repo).parts, prevData: someCid('before') }),
    },
  }),
  nodesCase(
    {
      id: 'H103',
      input: 'the created key, or an old one, in a node of another layer; a right tree',
      rules: 'MS-5',
    },
    bad(wrongLayers),
    { expected: 'PASS', label: 'a right tree', inputs: () => ({ control: control() }) },
  ),
  nodesCase(
    { id: 'H104', input: 'keys out of order in a node, and across nodes', rules: 'MS-4, MS-7' },
    bad(outOfOrder),
  ),
  nodesCase({ id: 'H105', input: 'a key twice in a node', rules: 'MS-4' }, bad(twice)),
  nodesCase({ id: 'H106', input: 'a root without keys', rules: 'MS-6, A11' }, bad(leaflessRoots)),
  nodesCase({ id: 'H107', input: 'an empty node as a child', rules: 'MS-6' }, bad(emptyChildren)),
  nodesCase(
    {
      id: 'H108',
      input: 'a first entry with p = 3; p beyond the key before; p = -1; p = 2^40',
      rules: 'MS-3',
    },
    bad(prefixes),
  ),
  nodesCase(
    { id: 'H109', input: 'a prefix that is not the longest, or none', rules: 'MS-3' },
    bad(shortPrefixes),
  ),
  nodesCase(
    {
      id: 'H110',
      input: 'a key that is empty, of 1025 bytes, no UTF-8, or without `/`',
      rules: 'MS-8, LM-8, A41',
    },
    bad(badKeys),
  ),
  nodesCase(
    { id: 'H111', input: 'a link at layer 0; a child two layers down', rules: 'MS-5' },
    bad(badLinks),
  ),
  nodesCase(
    {
      id: 'H112',
      input: 'a bomb: 40 nodes, each links the next one twice',
      specVerdict: 'DROP(mst) in O(blocks)',
      rules: '§1.10 step 3, CB-11',
    },
    bad(bombs),
  ),
  nodesCase(
    {
      id: 'H113',
      input: 'a node with 5000 keys of its layer',
      specVerdict: 'DROP(mst-limit)',
      rules: 'LM-9',
    },
    { expected: 'DROP commit_mst_limit', inputs: () => crowded(5000) },
  ),
  nodesCase(
    {
      id: 'H114',
      input: 'a chain of leafless nodes: 9,990 of them; 10,000, with which the CAR is too long',
      rules: 'MS-6, LM-9, CA-3',
    },
    { ...bad(() => chain(9990)), label: '9,990' },
    {
      expected: 'DROP commit_car_blocks_too_many',
      label: '10,000',
      inputs: () => chain(10_000),
    },
  ),
  nodesCase(
    {
      id: 'H115',
      input: 'a node or an entry with a field too few (`l`, `e`, `t`, `p`) or too many',
      rules: 'MS-2',
    },
    bad(badFields),
  ),
  nodesCase(
    {
      id: 'H116',
      input: 'a node links a raw CID, a record, a commit',
      rules: 'CD-4, MS-2',
    },
    bad(foreignLinks),
  ),
  treeCase(
    {
      id: 'H117',
      input: 'delete Y of layer 0 and create X of layer 3, with nothing else in the repo',
      specVerdict: 'PASS',
      rules: '§1.10 step 5, A10',
    },
    [
      {
        expected: 'PASS',
        inputs: () => ({ 'delete first': orderTrap(true), 'create first': orderTrap(false) }),
      },
    ],
  ),
  treeCase(
    {
      id: 'H118',
      input: 'the published proofs of three operations, in all six orders',
      specVerdict: 'PASS',
      rules: '§1.10 step 5',
    },
    [{ expected: 'PASS', inputs: permuted }],
  ),
  {
    id: 'H119',
    input: 'an update whose `cid` is its `prev`',
    specVerdict: 'PASS',
    rules: '§1.10 step 7, A34',
    expected: 'PASS',
    run: async (scene) => {
      const path = newPath();
      const record = newRecord();
      scene.good(scene.subject, [create(path, record)]);
      return verdictOfAll(scene, {
        'the same record': ({ repo }) =>
          message(committed(repo, [{ action: 'update', path, record }]).parts),
      });
    },
  },
  passCase({
    id: 'H120',
    input: 'a record with an unknown `$type`, without one, of no lexicon, or no map at all',
    specVerdict: 'PASS',
    rules: '§1.16',
    inputs: {
      'unknown $type': recordOf(aMap('$type').text('no.such.thing').done()),
      'no $type': recordOf(aMap('x').integer(1).done()),
      'a post without a text': recordOf(aMap('$type').text('app.bsky.feed.post').done()),
      'a $type that is a number': recordOf(aMap('$type').integer(7).done()),
      'no map': recordOf(new DrislWriter().text('hello').done()),
    },
  }),
  passCase({
    id: 'H121',
    input: 'a record with a float, with a sha-512 link',
    specVerdict: 'PASS (m: drop)',
    rules: 'CD-5, §1.16',
    inputs: {
      'a float': recordOf(aMap('x').raw(A_FLOAT).done()),
      'a sha-512 link': recordOf(aMap('x').raw(A_SHA_512_LINK).done()),
    },
  }),
  dropCase({
    id: 'H122',
    input: 'a record that is no CBOR: JSON, nothing, cut short, a byte too long',
    specVerdict: 'DROP(record) (m)',
    rules: '§1.16',
    code: 'commit_record_bad',
    inputs: {
      JSON: badRecordOf(Buffer.from('{"a":1}')),
      nothing: badRecordOf(Buffer.alloc(0)),
      'cut short': badRecordOf(newRecord().subarray(0, -1)),
      'a byte too long': badRecordOf(Buffer.concat([newRecord(), Buffer.alloc(1)])),
    },
  }),
];

function withoutRoot(make: Make): Input {
  return ({ repo }) => {
    const from = make(repo);
    const { dataCid } = from.parts;
    return forged(from, { blocks: (blocks) => blocks.filter(({ cid }) => cid !== dataCid) });
  };
}

/** Another record in the operation and among the blocks than in the tree. */
function otherValue(make: Make): Input {
  return ({ repo }) => {
    const from = make(repo);
    const record = blockOf(newRecord());
    const [op] = from.parts.ops as [RepoOp];
    return forged(from, {
      blocks: (blocks) => [...blocks, record],
      outer: { ops: [{ ...op, cid: record.cid }] },
    });
  };
}

function withPrev(op: RepoOp): RepoOp {
  return { ...op, prev: someCid('another') };
}
