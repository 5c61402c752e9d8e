/**
 * What it costs to verify a commit, from the bytes of its frame to the verdict, against the least
 * that it can cost (its signature and its hashes alone) and against the best composition of
 * libraries that checks the same; and how much memory is made garbage by it.
 */
import { hash } from 'node:crypto';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { verifyCommit } from '../../lib/verify/commit.ts';
import { initSignature, signatureVerdict } from '../../lib/verify/signature.ts';
import { RepoResult } from '../../lib/verify/signed.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import {
  CORPUS_EPOCH_MS,
  type CorpusCommit,
  type CorpusShape,
  corpus,
} from '../../scripts/fleet/corpus.ts';
import { encodeCommit } from '../../scripts/fleet/signed-repo.ts';
import { blocksOf } from '../repo/car-blocks.ts';
import { judgeByLibraries } from './composition.ts';
import {
  type Bench,
  compare,
  cpuMicros,
  cpuPerUnit,
  mustBe,
  type Print,
  type Scale,
} from './rounds.ts';

/** Different commits that take turns, so that no one's keys and nodes stay in the caches. */
const ROTATION = 128;

/** What a commit cannot do without: one signature, and a hash of each block. */
type Floor = {
  readonly unsigned: Buffer;
  readonly signature: Buffer;
  readonly blocks: readonly Uint8Array[];
};
/** CPU of each variant before anything counts: optimized code, of all branches. */
const WARM_MICROS = 1_000_000;

type Load = { readonly commits: readonly CorpusCommit[]; readonly floors: readonly Floor[] };

function floorOf({ parts, key }: CorpusCommit): Floor {
  const unsigned = encodeCommit({ did: parts.did, rev: parts.rev, data: parts.dataCid });
  const blocks = blocksOf(parts.blocks).map(({ bytes }) => bytes);
  return { unsigned, signature: key.sign(unsigned), blocks };
}

function loadOf(shape: CorpusShape, commitCount: number): Load {
  const commits = [...corpus(shape).take(commitCount)];
  return { commits, floors: commits.map(floorOf) };
}

const peeked = new Peek();
const view = new EventView();
const result = new RepoResult();
const context = { epochMs: CORPUS_EPOCH_MS, isStrict: true };

function verifyAll({ commits }: Load): void {
  for (const { frame, known, key } of commits) {
    mustBe<unknown>(peek(frame, peeked), 'event', 'peek');
    const refused =
      decodeEvent(frame, peeked.kind, view) ??
      verifyCommit(frame, view, { ...context, key, known }, result);
    mustBe(refused, undefined, 'verdict');
  }
}

function verifySignaturesAndHashes({ commits, floors }: Load): void {
  const { key } = commits[0] as CorpusCommit;
  for (const { unsigned, signature, blocks } of floors) {
    mustBe(signatureVerdict(key, unsigned, signature), undefined, 'signature');
    for (const block of blocks) hash('sha256', block, 'latin1');
  }
}

async function verifyByLibraries({ commits }: Load): Promise<void> {
  for (const { frame, key } of commits) await judgeByLibraries(frame, key);
}

type Work = (load: Load) => void | Promise<void>;

const VARIANTS: readonly (readonly [name: string, work: Work])[] = [
  ['the relay: peek, decode, verify', verifyAll],
  ['its signature and hashes alone', verifySignaturesAndHashes],
  ['the best libraries', verifyByLibraries],
];

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

async function warmUp(): Promise<void> {
  const loads = CURVES.map((curve) => loadOf({ seed: 'warm', recordCount: 2000, curve }, ROTATION));
  for (const [, work] of VARIANTS) {
    for (const end = cpuMicros() + WARM_MICROS; cpuMicros() < end; ) {
      for (const load of loads) await work(load);
    }
  }
}

/** Bytes that V8 says were allocated on its heap by `work`, per unit, whether collected or not. */
function allocatedPerUnit(unitCount: number, passes: number, work: () => void): number {
  work();
  const before = getHeapStatistics().total_allocated_bytes;
  for (let pass = 0; pass < passes; pass++) work();
  return (getHeapStatistics().total_allocated_bytes - before) / (passes * unitCount);
}

const ONE_OP = { opCountMin: 1, opCountMax: 1, deleteShare: 0.11, updateShare: 0.03 } as const;
const SHAPES: readonly Omit<CorpusShape, 'seed'>[] = [
  { recordCount: 50_000, curve: 'k256', ...ONE_OP },
  { recordCount: 5000, curve: 'k256', ...ONE_OP },
  { recordCount: 100, curve: 'k256', ...ONE_OP },
  { recordCount: 50_000, curve: 'p256', ...ONE_OP },
  { recordCount: 50_000, curve: 'k256' },
  { recordCount: 50_000, curve: 'p256' },
];
const CURVES = ['k256', 'p256'] as const;
const RECORDS_OF_SMOKE_MAX = 500;

async function run(scale: Scale, print: Print): Promise<void> {
  const backend = await initSignature();
  const commitCount = scale.isSmoke ? 8 : ROTATION;
  // CPU time of a thread may be counted in ticks of 4 ms.
  const msMin = scale.isSmoke ? 1 : 100;
  // What else the machine does changes from second to second.
  const rounds = scale.isSmoke ? scale.rounds : 2 * scale.rounds;
  if (!scale.isSmoke) await warmUp();
  for (const each of SHAPES) {
    const recordCount = scale.isSmoke
      ? Math.min(each.recordCount, RECORDS_OF_SMOKE_MAX)
      : each.recordCount;
    const load = loadOf({ ...each, recordCount, seed: 'bench' }, commitCount);
    const bytes = load.commits.reduce((sum, { frame }) => sum + frame.length, 0) / commitCount;
    const blocks = load.floors.reduce((sum, floor) => sum + floor.blocks.length, 0) / commitCount;
    const ops = each.opCountMax === 1 ? 'one operation' : '1 … 10 operations';
    const repo = `a repo of ${recordCount.toLocaleString('en-US')} records`;
    const curve = each.curve === 'k256' ? `k256 (${backend})` : each.curve;
    const size = `${Math.round(bytes)} bytes in ${blocks.toFixed(1)} blocks`;
    // The repo that the commits were made of, which is garbage now, is nobody's cost.
    collectGarbage();
    await compare(
      `verify: ${ops} in ${repo}, ${curve}, ${size}; CPU per commit`,
      VARIANTS.map(([name, work]) => ({
        name,
        measure: () => cpuPerUnit(commitCount, msMin, () => work(load)),
      })),
      { ...scale, rounds },
      print,
    );
    const passes = scale.isSmoke ? 1 : 50;
    const allocated = allocatedPerUnit(commitCount, passes, () => verifyAll(load));
    print(`  the relay allocates ${Math.round(allocated)} bytes of heap per commit`);
  }
}

export const verifyBench: Bench = {
  name: 'verify',
  about: 'verifying one commit, against its signature and hashes alone and the best libraries',
  run,
};
