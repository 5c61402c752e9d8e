/**
 * Our verifier against an independent one (oracle.ts) on random commits of several operations, and
 * on the same commits changed: what we pass, the other passes too; what was not changed, both
 * pass. FUZZ_SEED and FUZZ_MS choose another run and a longer one.
 */
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { KIND_COMMIT } from '../../lib/wire/kinds.ts';
import { commitFrame } from '../../scripts/fleet/event-frames.ts';
import {
  type Block,
  type CommitParts,
  encodeCar,
  type RepoOp,
  type RepoWrite,
  SignedRepo,
} from '../../scripts/fleet/signed-repo.ts';
import { blocksOf } from '../repo/car-blocks.ts';
import { keyOf, someCid } from '../repo/tree-kit.ts';
import { create, DID, judgeFrame, NOW_MS, post } from './forge.ts';
import { oracleVerdict } from './oracle.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? 1);
const FUZZ_MS = Number(process.env['FUZZ_MS'] ?? 4000);
const STAMP = { seq: 1, time: '2026-09-21T14:13:20.000Z' };

// High layers over-represented: splits and merges happen where trees are tall.
const POOL = Array.from({ length: 90 }, (_, i) => keyOf(i % 6 === 0 ? 2 + (i % 4) : i % 2, i >> 1));

function pick<Item>(prng: Prng, items: readonly Item[]): Item {
  return items[prng.nextBelow(items.length)] as Item;
}

function randomWrites(prng: Prng, repo: SignedRepo): RepoWrite[] {
  const there = new Set(repo.paths);
  const paths = new Set(Array.from({ length: 1 + prng.nextBelow(8) }, () => pick(prng, POOL)));
  return [...paths].map((path): RepoWrite => {
    if (!there.has(path)) return create(path, `${path} ${prng.nextUint32()}`);
    if (prng.nextFloat() < 0.6) return { action: 'delete', path };
    return { action: 'update', path, record: post(`${prng.nextUint32()}`) };
  });
}

type Change = (prng: Prng, parts: CommitParts) => CommitParts;

const withBlocks = (parts: CommitParts, blocks: readonly Block[]): CommitParts => {
  return { ...parts, blocks: encodeCar([parts.commitCid], blocks) };
};
const withOp = (prng: Prng, parts: CommitParts, change: (op: RepoOp) => RepoOp): CommitParts => {
  const index = prng.nextBelow(parts.ops.length);
  return { ...parts, ops: parts.ops.with(index, change(parts.ops[index] as RepoOp)) };
};

const CHANGES: Readonly<Record<string, Change>> = {
  'a block left out': (prng, parts) => {
    const blocks = blocksOf(parts.blocks);
    return withBlocks(parts, blocks.toSpliced(prng.nextBelow(blocks.length), 1));
  },
  'blocks shuffled': (prng, parts) => {
    const ranked = blocksOf(parts.blocks).map((block) => ({ block, rank: prng.nextFloat() }));
    return withBlocks(
      parts,
      ranked.sort((a, b) => a.rank - b.rank).map(({ block }) => block),
    );
  },
  'an operation left out': (prng, parts) => {
    return { ...parts, ops: parts.ops.toSpliced(prng.nextBelow(parts.ops.length), 1) };
  },
  'operations reversed': (_, parts) => ({ ...parts, ops: [...parts.ops].reverse() }),
  'another path': (prng, parts) => withOp(prng, parts, (op) => ({ ...op, path: pick(prng, POOL) })),
  'another cid': (prng, parts) =>
    withOp(prng, parts, (op) => (op.cid === null ? op : { ...op, cid: someCid('cid') })),
  'another prev': (prng, parts) =>
    withOp(prng, parts, (op) => (op.prev === undefined ? op : { ...op, prev: someCid('prev') })),
  'another prevData': (_, parts) => ({ ...parts, prevData: someCid('data') }),
};

function flipped(prng: Prng, frame: Buffer): Buffer {
  const copy = Buffer.from(frame);
  const at = prng.nextBelow(copy.length);
  copy.writeUInt8(copy.readUInt8(at) ^ (1 << prng.nextBelow(8)), at);
  return copy;
}

/** Stands while ours does not pass what the other refuses. */
function agrees(ours: string, theirs: string): boolean {
  return !ours.startsWith('pass') || theirs === 'pass';
}

t.test(`ours and the other's verdicts (seed ${SEED})`, async (t) => {
  const prng = new Prng(SEED);
  const repo = new SignedRepo({ did: DID, seed: `differential ${SEED}` });
  repo.commit([], { epochMs: NOW_MS - 3_600_000 });
  const key = repo.keypair;
  const didKey = `did:key:${key.multibase}`;
  const counts = { commits: 0, changed: 0, ourPasses: 0, theirPasses: 0, flips: 0 };
  const end = performance.now() + FUZZ_MS;
  while (performance.now() < end) {
    const parts = repo.commit(randomWrites(prng, repo), {
      epochMs: NOW_MS - 3_600_000 + counts.commits,
    });
    const frame = commitFrame(parts, STAMP);
    const right = judgeFrame(frame, KIND_COMMIT, { key });
    if (right !== 'pass') t.equal(right, 'pass', `commit ${counts.commits}`);
    const theirs = await oracleVerdict(frame, didKey);
    if (theirs !== 'pass') t.equal(theirs, 'pass', `the other on commit ${counts.commits}`);
    counts.commits++;
    for (const [name, change] of Object.entries(CHANGES)) {
      const changed = commitFrame(change(prng, parts), STAMP);
      const our = judgeFrame(changed, KIND_COMMIT, { key });
      const their = await oracleVerdict(changed, didKey);
      if (!agrees(our, their)) t.fail(`${name}: ${our}, the other ${their}`);
      counts.changed++;
      if (our === 'pass') counts.ourPasses++;
      if (their === 'pass') counts.theirPasses++;
    }
    for (let i = 0; i < 4; i++) {
      const changed = flipped(prng, frame);
      const our = judgeFrame(changed, KIND_COMMIT, { key });
      counts.flips++;
      if (!our.startsWith('pass')) continue;
      const their = await oracleVerdict(changed, didKey);
      if (!agrees(our, their)) t.fail(`a bit flipped: ${our}, the other ${their}`);
    }
  }
  t.comment(JSON.stringify(counts));
  t.ok(counts.commits >= 5, `${counts.commits} commits`);
  t.ok(counts.ourPasses >= counts.commits * 2, 'shuffled and reversed ones pass');
  t.ok(
    counts.theirPasses - counts.ourPasses < counts.changed / 50,
    'we refuse little that they pass',
  );
});
