/** `#sync` (spec §1.12, H134 … H137, H55). */
import t from 'tap';
import { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { encodeCar, encodeCommit, encodeTid, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { someCid } from '../repo/tree-kit.ts';
import {
  create,
  DID,
  judgeParts,
  judgeSync,
  knownOf,
  lastResult,
  NOW_MS,
  ONE,
  post,
} from './forge.ts';

const { repo, known } = ONE;
const SYNC = repo.sync();
const KEY = { key: repo.keypair };
const NEW = knownOf(repo);

t.test(
  'SY-2, H134: a newer rev with other data sets the state, and the next commit chains on it',
  async (t) => {
    const account = new SignedRepo({ did: DID, seed: 'sync' });
    account.commit([create('a.b.c/1')], { epochMs: NOW_MS - 20 });
    const before = knownOf(account);
    account.fill(
      [
        ['a.b.c/2', post('x')],
        ['a.b.c/3', post('y')],
      ],
      NOW_MS - 10,
    );
    const key = account.keypair;
    t.equal(judgeSync(account.sync(), { key, known: before }), 'pass');
    const { rev, commitCid, dataCid } = lastResult();
    t.same({ rev, commitCid, dataCid }, knownOf(account));
    const set = { rev, commitCid, dataCid };
    const next = account.commit([create('a.b.c/4')], { epochMs: NOW_MS });
    t.equal(judgeParts(next, { key, known: set }), 'pass');
    t.equal(judgeParts(next, { key, known: before }), 'pass discontinuous');
  },
);

t.test('SY-2, SY-3, H135, A18: the same rev and commit again', async (t) => {
  t.equal(judgeSync(SYNC, { ...KEY, known: NEW }), 'pass unchanged');
  t.equal(judgeSync(SYNC, { ...KEY, known }), 'pass');
  t.equal(judgeSync(SYNC, KEY), 'pass', 'nothing known');
});

t.test('A18: the same rev, another commit', async (t) => {
  const other = { ...NEW, commitCid: someCid('x') };
  t.equal(judgeSync(SYNC, { ...KEY, known: other }), 'commit_rev_equivocated');
});

t.test('SY-2, H136: a lower rev', async (t) => {
  const later = { ...NEW, rev: encodeTid(NOW_MS * 1000, 0) };
  t.equal(judgeSync(SYNC, { ...KEY, known: later }), 'commit_rev_stale');
  const forged = { key: new Keypair('k256', 'stranger'), known: later };
  t.equal(judgeSync(SYNC, forged), 'commit_rev_stale', 'before any work on its signature');
});

t.test('SY-1, CM-5, H137: forged, or saying another thing than its commit', async (t) => {
  const car = (block: Buffer): Buffer =>
    encodeCar([cidOf(block)], [{ cid: cidOf(block), bytes: block }]);
  const fields = { did: DID, rev: SYNC.rev, data: SYNC.dataCid };
  const stranger = new Keypair('k256', 'stranger');
  const forged = car(encodeCommit(fields, stranger.sign(encodeCommit(fields))));
  t.equal(judgeSync({ ...SYNC, blocks: forged }, KEY), 'commit_signature_bad');
  t.equal(judgeSync(SYNC, { key: stranger }), 'commit_signature_bad');
  t.equal(
    judgeSync({ ...SYNC, did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' }, KEY),
    'commit_did_mismatch',
  );
  const rev = encodeTid(NOW_MS * 1000, 1);
  t.equal(
    judgeSync({ ...SYNC, rev }, KEY),
    'commit_rev_mismatch',
    'an old commit in a new message',
  );
  const empty = encodeCar([SYNC.commitCid], []);
  t.equal(judgeSync({ ...SYNC, blocks: empty }, KEY), 'commit_root_missing');
  const unsigned = car(encodeCommit(fields));
  t.equal(judgeSync({ ...SYNC, blocks: unsigned }, KEY), 'commit_signature_malformed');
  const raw = encodeCar([`\x01\x55${SYNC.commitCid.slice(2)}`], []);
  t.equal(judgeSync({ ...SYNC, blocks: raw }, KEY), 'commit_block_cid_bad');
});

t.test('LM-3, H55: 10,000 bytes of blocks pass, 10,001 do not', async (t) => {
  const pad = 10_000 - SYNC.blocks.length - 2 - 36;
  for (const [bytes, verdict] of [
    [pad, 'pass'],
    [pad + 1, 'commit_blocks_too_large'],
  ] as const) {
    const spare = Buffer.alloc(bytes, 0x60);
    const section = encodeCar([], [{ cid: cidOf(spare), bytes: spare }]);
    const blocks = Buffer.concat([SYNC.blocks, section.subarray(encodeCar([], []).length)]);
    t.equal(judgeSync({ ...SYNC, blocks }, KEY), verdict, `${blocks.length}`);
  }
});

t.test('H50, H126: the rev of a sync', async (t) => {
  t.equal(judgeSync({ ...SYNC, rev: '3lmxjza3nva00' }, KEY), 'commit_rev_bad');
  t.equal(judgeSync(SYNC, { ...KEY, epochMs: NOW_MS - 600_000 }), 'commit_rev_future');
  t.equal(judgeSync(SYNC, { ...KEY, epochMs: NOW_MS - 600_000, revAheadMsMax: 600_000 }), 'pass');
});

t.test('CA-6: only the commit block is expected; what else is there does not matter', async (t) => {
  const bytes = post('a record that nobody asked for');
  const extra = [
    { cid: repo.tree.cid, bytes: repo.tree.encode() },
    { cid: cidOf(bytes), bytes },
  ];
  const commit = SYNC.blocks.subarray(encodeCar([SYNC.commitCid], []).length);
  const others = encodeCar([SYNC.commitCid], extra);
  const withOthers = Buffer.concat([others, commit]);
  t.equal(judgeSync({ ...SYNC, blocks: withOthers }, KEY), 'pass');
  t.equal(lastResult().unlinkedBlocks, 1, 'CA-3: all but the commit and the root');
  t.equal(judgeSync({ ...SYNC, blocks: others }, KEY), 'commit_root_missing');
});
