/** Commits wrong in message, CAR, commit object or signature (spec sheet §5.3 … §5.5). */
import t, { type Test } from 'tap';
import { KIND_COMMIT } from '../../lib/wire/kinds.ts';
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { commitFrame } from '../../scripts/fleet/event-frames.ts';
import { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { cidOf, EMPTY_TREE } from '../../scripts/fleet/repo-tree.ts';
import {
  type Block,
  encodeCommit,
  encodeTid,
  type RepoOp,
  SignedRepo,
  varint,
} from '../../scripts/fleet/signed-repo.ts';
import { someCid } from '../repo/tree-kit.ts';
import {
  type Changes,
  create,
  DID,
  forge,
  judge,
  judgeFrame,
  judgeParts,
  knownOf,
  lastResult,
  NOW_MS,
  ONE,
  PATH,
  post,
  type Scene,
  scene,
} from './forge.ts';

const OTHER_KEY = new Keypair('k256', 'somebody else');

/** Runs rows of one expected verdict on the scene of one created record. */
function table(t: Test, expected: string, rows: Readonly<Record<string, Changes>>): void {
  for (const [name, changes] of Object.entries(rows)) t.equal(judge(ONE, changes), expected, name);
}

t.test('CH-6: a right commit passes and says what it sets', async (t) => {
  t.equal(judge(ONE), 'pass');
  const { rev, commitCid, dataCid } = ONE.parts;
  t.match(lastResult(), { rev, commitCid, dataCid, isDiscontinuous: false, isNoChange: false });
});

t.test('SG-1: all actions at once, on both curves', async (t) => {
  for (const curve of ['k256', 'p256'] as const) {
    const repo = new SignedRepo({ did: DID, seed: 'all', curve });
    for (let i = 0; i < 30; i++)
      repo.commit([create(`a.b.c/${i}`)], { epochMs: NOW_MS - 9000 + i });
    const known = knownOf(repo);
    const parts = repo.commit(
      [
        { action: 'delete', path: 'a.b.c/3' },
        { action: 'update', path: 'a.b.c/4', record: post('new') },
        create('a.b.c/31'),
        { action: 'delete', path: 'a.b.c/20' },
        create('a.b.d/1'),
      ],
      { epochMs: NOW_MS },
    );
    t.equal(judgeParts(parts, { key: repo.keypair, known }), 'pass', curve);
    const shuffled = { ...parts, ops: [...parts.ops].reverse() };
    t.equal(judgeParts(shuffled, { key: repo.keypair, known }), 'pass', `H118: ${curve}`);
  }
});

t.test('a frame that lies in shared memory is judged there', async (t) => {
  const right = commitFrame(forge(ONE, {}), { seq: 7, time: '2026-09-21T14:13:20.000Z' });
  const shared = Buffer.from(new SharedArrayBuffer(right.length + 8), 5, right.length);
  right.copy(shared);
  const circumstances = { key: ONE.repo.keypair, known: ONE.known };
  t.equal(judgeFrame(shared, KIND_COMMIT, circumstances), 'pass');
});

t.test('H50: a rev that is no TID', async (t) => {
  for (const rev of ['3lmxjza3nva00', 'abc', ''])
    t.equal(judge(ONE, { outer: { rev } }), 'commit_rev_bad', rev);
});

t.test('LM-5, H52: 200 operations pass, 201 do not', async (t) => {
  const repo = new SignedRepo({ did: DID, seed: 'many' });
  repo.commit([], { epochMs: NOW_MS - 10 });
  const known = knownOf(repo);
  const writes = Array.from({ length: 200 }, (_, i) => create(`a.b.c/${i}`));
  const parts = repo.commit(writes, { epochMs: NOW_MS });
  t.equal(judgeParts(parts, { key: repo.keypair, known }), 'pass');
  const ops = [
    ...parts.ops,
    { action: 'delete', path: 'a.b.c/x', cid: null, prev: EMPTY_TREE.cid },
  ] as const;
  t.equal(judgeParts({ ...parts, ops }, { key: repo.keypair, known }), 'commit_ops_too_many');
});

t.test('H54: no blocks', async (t) => {
  t.equal(judge(ONE, { car: () => Buffer.alloc(0) }), 'commit_blocks_empty');
});

t.test('LM-4, H56: a record of 1,000,000 bytes passes, one more does not', async (t) => {
  for (const [extra, expected] of [
    [0, 'pass'],
    [1, 'commit_record_too_large'],
  ] as const) {
    const empty = post('').length;
    // The head of the text takes four bytes more than that of the empty text.
    const record = post('x'.repeat(1_000_000 - empty - 4 + extra));
    t.equal(record.length, 1_000_000 + extra);
    t.equal(judge(scene(() => [{ action: 'create', path: PATH, record }])), expected);
  }
});

t.test('MS-8, H57: bad paths; H58: a colon in a record key', async (t) => {
  const paths = ['foo', '/a.b.c/x', 'a.b.c/x/y', 'a.b.c/', 'a.b.c/..', 'a b/x', 'a.b/x', 'a.b.c/é'];
  for (const path of [...paths, `a.b.c/${'k'.repeat(513)}`]) {
    const ops = ONE.parts.ops.map((op) => ({ ...op, path }));
    t.equal(judge(ONE, { outer: { ops } }), 'commit_path_bad', path);
  }
  t.equal(judge(scene(() => [create('app.bsky.feed.post/a:b:c')])), 'pass');
});

t.test('H57: a path is checked even where the tree holds the key', async (t) => {
  t.equal(judge(scene(() => [create('a.b/x')])), 'commit_path_bad');
});

t.test('step 1, H59, H60: operations of a wrong shape', async (t) => {
  const [op] = ONE.parts.ops as [RepoOp];
  const cid = someCid('x');
  const bad: Record<string, RepoOp> = {
    'create without cid': { ...op, cid: null },
    'create with prev': { ...op, prev: cid },
    'update without prev': { ...op, action: 'update' },
    'delete with cid': { ...op, action: 'delete', prev: cid },
    'delete without prev': { ...op, action: 'delete', cid: null },
    'action move': { ...op, action: 'move' as 'create' },
  };
  for (const [name, wrong] of Object.entries(bad))
    t.equal(judge(ONE, { outer: { ops: [wrong] } }), 'commit_op_bad', name);
});

t.test('step 1, H61: a path twice', async (t) => {
  const ops = [...ONE.parts.ops, ...ONE.parts.ops];
  t.equal(judge(ONE, { outer: { ops } }), 'commit_op_duplicate');
});

t.test('H62, H63, H69: no CAR', async (t) => {
  const cut = (from: number, to?: number) => (car: Buffer) => car.subarray(from, to);
  table(t, 'commit_car_bad', {
    'header length 0': { car: (car) => Buffer.concat([Buffer.from([0]), car.subarray(1)]) },
    'header longer than the bytes': { car: (car) => Buffer.concat([varint(1e6), car.subarray(1)]) },
    'overlong length': {
      car: (car) => Buffer.concat([Buffer.from([car.readUInt8(0) | 0x80, 0]), car.subarray(1)]),
    },
    'roots empty': { roots: () => [] },
    truncated: { car: cut(0, -1) },
    'garbage after': { car: (car) => Buffer.concat([car, Buffer.from('garbage')]) },
  });
});

t.test('CA-2, H64: the commit block is not there', async (t) => {
  table(t, 'commit_root_missing', { 'left out': { blocks: (blocks) => blocks.slice(1) } });
});

t.test('CM-5, CA-2, H65: the message names another commit', async (t) => {
  table(t, 'commit_cid_mismatch', {
    outer: { outer: { commitCid: someCid('x') } },
    root: { roots: () => [someCid('x')] },
    'a node first, then the commit': { roots: (cid) => [ONE.parts.dataCid, cid] },
  });
});

t.test(
  'CA-2, CA-3, H66, H67, H71, H72, H74: roots, order and spare blocks do not matter',
  async (t) => {
    const spare = Array.from({ length: 50 }, (_, i): Block => {
      const bytes = post(`spare ${i}`);
      return { cid: cidOf(bytes), bytes };
    });
    table(t, 'pass', {
      'two roots': { roots: (cid) => [cid, someCid('x')] },
      'commit last': { blocks: (blocks) => [...blocks].reverse() },
      'all twice': { blocks: (blocks) => [...blocks, ...blocks] },
      '50 unrelated': { blocks: (blocks) => [...spare, ...blocks] },
    });
  },
);

t.test(
  'CA-4, H68: a byte flipped in the commit, a node, a record, an unlinked block',
  async (t) => {
    const flipped = (block: Block): Block => {
      const bytes = Buffer.from(block.bytes);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 3) ^ 1, bytes.length - 3);
      return { ...block, bytes };
    };
    const total = forge(ONE, {}).blocks;
    t.ok(total.length > 0);
    const count = 3;
    for (let index = 0; index < count; index++)
      t.equal(
        judge(ONE, { blocks: (blocks) => blocks.with(index, flipped(blocks[index] as Block)) }),
        'commit_block_hash_bad',
        `block ${index}`,
      );
    table(t, 'commit_block_hash_bad', {
      'the record': { blocks: (blocks) => blocks.with(-1, flipped(blocks.at(-1) as Block)) },
      unlinked: { blocks: (blocks) => [...blocks, { cid: someCid('x'), bytes: post('x') }] },
    });
  },
);

t.test('CA-3, H72: blocks to which nothing leads are counted, and nothing else is', async (t) => {
  const spare = ['a', 'b'].map((text): Block => ({ cid: cidOf(post(text)), bytes: post(text) }));
  const countWith = (from: Scene, changes: Changes): number => {
    t.equal(judge(from, changes), 'pass');
    return lastResult().unlinkedBlocks;
  };
  t.equal(countWith(ONE, {}), 0);
  t.equal(countWith(ONE, { blocks: (blocks) => [...blocks].reverse() }), 0);
  t.equal(countWith(ONE, { blocks: (blocks) => [...spare, ...blocks] }), 2);
  t.equal(countWith(ONE, { blocks: (blocks) => [...blocks, blocks[0] as Block] }), 1, 'a repeat');
  const two = scene(() => [create(PATH, 'same'), create(`${PATH}x`, 'same')]);
  t.equal(countWith(two, {}), 0, 'one record of two operations');
  // Beside a new record, an old one that a leaf of the proof shows and no operation names.
  const path = two.repo.paths[0] ?? '';
  const shown = scene(() => [create(path.replace(/.$/, '~'))]);
  const old = { cid: cidOf(post(path)), bytes: post(path) };
  t.equal(countWith(shown, { blocks: (blocks) => [...blocks, old] }), 0, 'its leaf is shown');
  const empty = scene(() => []);
  t.equal(countWith(empty, {}), 0, 'the root of an empty commit');
  t.equal(countWith(empty, { blocks: (blocks) => blocks.slice(0, 1) }), 0);
  t.equal(countWith(empty, { blocks: (blocks) => [...blocks, ...spare] }), 2);
});

t.test('H70: a block under a CID of another form', async (t) => {
  const digest = someCid('x').slice(4);
  table(t, 'commit_block_cid_bad', {
    CIDv0: { blocks: (blocks) => [...blocks, { cid: `\x12\x20${digest}`, bytes: post('x') }] },
    'sha-512': {
      blocks: (blocks) => [
        ...blocks,
        { cid: `\x01\x71\x13\x40${digest}${digest}`, bytes: post('x') },
      ],
    },
  });
});

t.test('H73: 10,001 blocks', async (t) => {
  const spare = { cid: cidOf(Buffer.from([0xf6])), bytes: Buffer.from([0xf6]) };
  table(t, 'commit_car_blocks_too_many', {
    'tiny ones': { blocks: (blocks) => [...blocks, ...Array(10_001).fill(spare)] },
  });
});

t.test('H75, H79, H80, H82: commit objects', async (t) => {
  const block = (bytes: (right: Buffer) => Buffer): Changes => ({
    commitBlock: (fields, keypair) =>
      bytes(encodeCommit(fields, keypair.sign(encodeCommit(fields)))),
  });
  table(t, 'commit_object_bad', {
    'a list': block(() => new DrislWriter().array(0).done()),
    'a record': block(() => post('x').fill(0xff)),
    'a byte more': block((right) => Buffer.concat([right, Buffer.from([0])])),
    'version as 18 03': block((right) =>
      Buffer.concat([right.subarray(0, -1), Buffer.from('1803', 'hex')]),
    ),
    'data raw': { fields: { data: `\x01\x55${ONE.parts.dataCid.slice(2)}` } },
  });
  t.equal(judge(ONE, { fields: { prev: someCid('x') } }), 'pass', 'H81: prev may be a CID');
});

t.test('H76: version 2 and 4', async (t) => {
  table(t, 'commit_version_bad', {
    '2': { fields: { version: 2 } },
    '4': { fields: { version: 4 } },
  });
});

t.test('CM-5, H77: another DID inside', async (t) => {
  table(t, 'commit_did_mismatch', {
    inner: { fields: { did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' } },
    outer: { outer: { did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' } },
  });
});

t.test('CM-5, H78: another rev inside', async (t) => {
  const later = encodeTid(NOW_MS * 1000, 3);
  table(t, 'commit_rev_mismatch', {
    inner: { fields: { rev: later } },
    outer: { outer: { rev: later } },
  });
});

t.test(
  'CM-2, H83: a field we do not know, covered by the signature, and one that is not',
  async (t) => {
    const withX = (bytes: Buffer): Buffer => {
      const head = Buffer.from([bytes.readUInt8(0) + 1]);
      return Buffer.concat([head, new DrislWriter().text('x').text('y').done(), bytes.subarray(1)]);
    };
    t.equal(
      judge(ONE, {
        commitBlock: (fields, keypair) =>
          withX(encodeCommit(fields, keypair.sign(withX(encodeCommit(fields))))),
      }),
      'pass',
    );
    t.equal(
      judge(ONE, {
        commitBlock: (fields, keypair) =>
          withX(encodeCommit(fields, keypair.sign(encodeCommit(fields)))),
      }),
      'commit_signature_bad',
    );
  },
);

t.test('SG-2, H84, H85: a signature that is not 64 bytes', async (t) => {
  const sig = (bytes: Buffer): Changes => ({
    commitBlock: (fields) => encodeCommit(fields, bytes),
  });
  const der = Buffer.from(
    'MEUCIQCWumUqJqOCqInXF7AzhIRg2MhwRz2rWZcOEsOjPmNItgIgXJH7RnqfYY6M0eg33wU0sFYDlprwdOcpRn78Sz5ePgk=',
    'base64',
  );
  table(t, 'commit_signature_malformed', {
    missing: { commitBlock: (fields) => encodeCommit(fields) },
    empty: sig(Buffer.alloc(0)),
    '63 bytes': sig(Buffer.alloc(63, 1)),
    '65 bytes': sig(Buffer.alloc(65, 1)),
    DER: sig(der),
  });
});

t.test('H88: forged with another key', async (t) => {
  const forged: Changes = {
    commitBlock: (fields) => encodeCommit(fields, OTHER_KEY.sign(encodeCommit(fields))),
  };
  t.equal(judge(ONE, forged), 'commit_signature_bad');
});

t.test('CM-4, H89, H90: the current key counts, the key before does not', async (t) => {
  const rotated = scene((repo) => {
    repo.rotateKey('new key', 'p256');
    return [create(PATH)];
  });
  t.equal(judge(rotated), 'pass');
  const old = new Keypair('k256', 'scene');
  t.equal(judge(rotated, {}, { key: old }), 'commit_signature_bad', 'refresh and retry');
  t.equal(judge(ONE, {}, { key: rotated.repo.keypair }), 'commit_signature_bad');
});

t.test('deps §5: a judgement leaves nothing behind for the next', async (t) => {
  const bad: Changes = { outer: { prevData: someCid('x') } };
  for (let i = 0; i < 5; i++) {
    t.equal(judge(ONE, bad), 'commit_inversion_failed');
    t.equal(judge(ONE), 'pass');
    t.equal(judge(ONE, { blocks: (blocks) => blocks.slice(1) }), 'commit_root_missing');
    t.equal(judge(ONE), 'pass');
  }
});
