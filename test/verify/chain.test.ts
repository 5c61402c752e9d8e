/** Commits in time and on each other: order of revs, chains, repos without `prevData` (§5.7). */
import t from 'tap';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { type Block, encodeTid, type RepoOp, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { someCid } from '../repo/tree-kit.ts';
import {
  type Changes,
  create,
  DID,
  judge,
  judgeParts,
  lastResult,
  NOW_MS,
  ONE,
  PATH,
  post,
  type Scene,
  scene,
} from './forge.ts';

t.test('CH-1, H123, H124, H125: replay, roll-back, equivocation', async (t) => {
  const { rev, dataCid, commitCid } = ONE.parts;
  const now = { rev, dataCid, commitCid };
  t.equal(judge(ONE, {}, { known: now }), 'commit_rev_stale', 'replay');
  const later = { ...now, rev: encodeTid(NOW_MS * 1000, 1) };
  t.equal(judge(ONE, {}, { known: later }), 'commit_rev_stale', 'lower rev, right signature');
  const other = { ...now, commitCid: someCid('x') };
  t.equal(judge(ONE, {}, { known: other }), 'commit_rev_equivocated');
});

t.test('CH-2, CM-7, H126: a rev of 10 minutes ahead, and of 2; H127: of 1970', async (t) => {
  const at = (micros: number): Changes => {
    const rev = encodeTid(micros, 5);
    return { fields: { rev }, outer: { rev } };
  };
  const minute = 60_000;
  t.equal(judge(ONE, at((NOW_MS + 10 * minute) * 1000)), 'commit_rev_future');
  t.equal(judge(ONE, at((NOW_MS + 2 * minute) * 1000)), 'pass');
  t.equal(judge(ONE, at((NOW_MS + 5 * minute) * 1000)), 'pass', 'at the bound');
  t.equal(judge(ONE, at((NOW_MS + 5 * minute) * 1000 + 1)), 'commit_rev_future', 'beyond it');
  t.equal(judge(ONE, at((NOW_MS + 10 * minute) * 1000), { revAheadMsMax: 11 * minute }), 'pass');
  const early = { ...ONE.known, rev: encodeTid(1, 0) };
  t.match(judge(ONE, at(1_000_000), { known: early }), /^pass/);
  t.equal(judge(ONE, at(1_000_000), { known: null }), 'pass', 'first of all');
});

t.test(
  'step 10, CH-3, H128, H129, CH-4: right in itself but not chaining passes, and is said so',
  async (t) => {
    const otherData = { ...ONE.known, dataCid: someCid('x') };
    t.equal(judge(ONE, {}, { known: otherData }), 'pass discontinuous', 'prevData differs');
    const otherRev = { ...ONE.known, rev: encodeTid(1_000_000, 0) };
    t.equal(judge(ONE, {}, { known: otherRev }), 'pass discontinuous', 'since differs');
    t.equal(judge(ONE, { outer: { since: null } }), 'pass discontinuous', 'A15: since null');
  },
);

t.test('H131: the first commit we see of an account, with prevData', async (t) => {
  t.equal(judge(ONE, {}, { known: null }), 'pass');
});

t.test('H132, CH-5: since null and no prevData', async (t) => {
  const repo = new SignedRepo({ did: DID, seed: 'first' });
  const parts = repo.commit([create(PATH), create('a.b.c/1')], { epochMs: NOW_MS });
  t.equal(parts.prevData, undefined);
  t.equal(judgeParts(parts, { key: repo.keypair }), 'pass');
  const known = { rev: encodeTid(1, 0), dataCid: someCid('x'), commitCid: someCid('y') };
  const again = judgeParts(parts, { key: repo.keypair, known });
  t.equal(again, 'pass discontinuous', 'A47: deleted, then begun again');
});

const { prevData: _, ...WITHOUT_PREV_DATA } = ONE.parts;
const LEGACY: Scene = { ...ONE, parts: WITHOUT_PREV_DATA };

t.test('CH-5, H133, A14: known and without prevData', async (t) => {
  t.equal(judge(LEGACY), 'commit_prev_data_missing');
  t.equal(judge(LEGACY, {}, { isStrict: false }), 'pass discontinuous', 'lenient');
  t.equal(judge(LEGACY, {}, { known: null }), 'pass', 'not known');
  const isNode = ({ cid }: Block): boolean => cid !== ONE.parts.dataCid;
  const short: Changes = { blocks: (blocks) => blocks.filter(isNode) };
  t.equal(judge(LEGACY, short, { isStrict: false }), 'commit_block_missing', 'never on trust');
});

t.test('A12: what only lenience lets through is marked', async (t) => {
  const isWaived = (case_: Scene, circumstances = {}): boolean => {
    t.match(judge(case_, {}, { isStrict: false, ...circumstances }), /^pass/);
    return lastResult().isWaived;
  };
  t.notOk(isWaived(ONE), 'right by any rule');
  t.ok(isWaived(LEGACY), 'known, without prevData');
  t.notOk(isWaived(LEGACY, { known: null }), 'not known');
  const old = scene((repo) => [{ action: 'update', path: repo.paths[5] ?? '', record: post('x') }]);
  const { prevData: _, ...rest } = old.parts;
  const ops = rest.ops.map(({ prev: _, ...op }) => op);
  const bare: Scene = { ...old, parts: { ...rest, ops } };
  t.ok(isWaived(bare, { known: null }), 'without prev');
  const { prevData: __, ...empty } = scene(() => []).parts;
  t.ok(isWaived({ ...scene(() => []), parts: empty }), 'without operations');
  t.notOk(isWaived(ONE), 'the next one starts anew');
  const first = new SignedRepo({ did: DID, seed: 'first' });
  const parts = first.commit([create(PATH)], { epochMs: NOW_MS });
  const known = { rev: encodeTid(1, 0), dataCid: someCid('x'), commitCid: someCid('y') };
  judgeParts(parts, { key: first.keypair, known, isStrict: false });
  t.notOk(lastResult().isWaived, 'A47: a repo begun again needs no lenience');
});

t.test(
  'step 4, H99, H100 without prevData: nothing is undone, the tree is still asked',
  async (t) => {
    const [op] = LEGACY.parts.ops as [RepoOp];
    const unknown = { known: null };
    const record = { cid: cidOf(post('another')), bytes: post('another') };
    const other: Changes = {
      outer: { ops: [{ ...op, cid: record.cid }] },
      blocks: (blocks) => [...blocks, record],
    };
    t.equal(judge(LEGACY, other, unknown), 'commit_op_mismatch', 'op.cid is another');
    const gone: RepoOp = { action: 'delete', path: PATH, cid: null, prev: record.cid };
    t.equal(
      judge(LEGACY, { outer: { ops: [gone] } }, unknown),
      'commit_op_mismatch',
      'still there',
    );
  },
);

t.test('H60: without prevData an update may lack prev, for a lenient relay only', async (t) => {
  const old = scene((repo) => [{ action: 'update', path: repo.paths[5] ?? '', record: post('x') }]);
  const { prevData: _, ...rest } = old.parts;
  const ops = rest.ops.map(({ prev: _, ...op }) => op);
  const bare: Scene = { ...old, parts: { ...rest, ops } };
  t.equal(judge(bare), 'commit_op_bad');
  t.equal(judge(bare, {}, { known: null }), 'commit_op_bad');
  t.equal(judge(bare, {}, { isStrict: false }), 'pass discontinuous');
});

t.test('H95 without prevData: an unknown repo, one begun again, and any other', async (t) => {
  const repo = new SignedRepo({ did: DID, seed: 'new' });
  const parts = repo.commit([], { epochMs: NOW_MS });
  const key = repo.keypair;
  const known = { rev: encodeTid(1, 0), dataCid: someCid('x'), commitCid: someCid('y') };
  t.equal(judgeParts(parts, { key }), 'pass', 'as new accounts do');
  t.equal(judgeParts(parts, { key, known }), 'pass discontinuous', 'A47');
  const { prevData: _, ...rest } = scene(() => []).parts;
  const bare: Scene = { ...scene(() => []), parts: rest };
  t.equal(judge(bare), 'commit_prev_data_missing');
  t.equal(judge(bare, {}, { isStrict: false }), 'pass discontinuous');
  t.equal(judge(bare, {}, { known: null }), 'pass');
});
