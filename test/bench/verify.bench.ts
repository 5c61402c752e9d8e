/**
 * What it costs to verify a commit, from the bytes of its frame to the verdict, against the least
 * that it can cost (its signature and its hashes alone) and against a composition of the @atcute
 * packages that checks the same.
 */
import { hash } from 'node:crypto';
import { Prng } from '../../lib/base/prng.ts';
import { verifyCommit } from '../../lib/verify/commit.ts';
import type { KnownRepo } from '../../lib/verify/order.ts';
import { initSignature, signatureVerdict } from '../../lib/verify/signature.ts';
import { RepoResult } from '../../lib/verify/signed.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { commitFrame } from '../../scripts/fleet/event-frames.ts';
import type { Curve, Keypair } from '../../scripts/fleet/repo-keypair.ts';
import {
  encodeCommit,
  encodePost,
  encodeTid,
  type RepoWrite,
  SignedRepo,
} from '../../scripts/fleet/signed-repo.ts';
import { blocksOf } from '../repo/car-blocks.ts';
import { oracleVerdict } from '../verify/oracle.ts';
import { type Bench, compare, cpuPerUnit, mustBe, type Print, type Scale } from './rounds.ts';

const NOW_MS = 1_790_000_000_000;
const CREATED_AT = '2026-09-21T14:13:20.000Z';
const COLLECTIONS = ['app.bsky.feed.like', 'app.bsky.feed.post', 'app.bsky.graph.follow'];
const CLOCK_ID = 7;

type Corpus = {
  readonly keypair: Keypair;
  readonly commits: readonly {
    readonly frame: Buffer;
    readonly known: KnownRepo;
    readonly unsigned: Buffer;
    readonly signature: Buffer;
    readonly blocks: readonly Uint8Array[];
  }[];
};
type Shape = {
  readonly recordCount: number;
  readonly opCount: number;
  readonly curve: Curve;
};

/** Record keys as clients make them: of the time, in a few collections. */
class Paths {
  #micros = (NOW_MS - 30 * 86_400_000) * 1000;
  readonly #prng = new Prng(1);

  next(): string {
    this.#micros += 1 + this.#prng.nextBelow(1_000_000);
    const collection = COLLECTIONS[this.#prng.nextBelow(COLLECTIONS.length)];
    return `${collection}/${encodeTid(this.#micros, CLOCK_ID)}`;
  }

  pick(paths: readonly string[]): string {
    return paths[this.#prng.nextBelow(paths.length)] as string;
  }
}

function post(text: string): Buffer {
  return encodePost(`a post of the length that posts have as a rule: ${text}`, CREATED_AT);
}

/** One create; of more operations two fifths change what is there. */
function writesFor(repo: SignedRepo, paths: Paths, opCount: number): RepoWrite[] {
  const old = opCount > 1 ? repo.paths : [];
  const changed = new Set(Array.from({ length: Math.floor(0.4 * opCount) }, () => paths.pick(old)));
  const changes = [...changed].map((path, index): RepoWrite => {
    if (index % 2 === 0) return { action: 'delete', path };
    return { action: 'update', path, record: post(`${path} again`) };
  });
  const creates = Array.from({ length: opCount - changes.length }, (): RepoWrite => {
    const path = paths.next();
    return { action: 'create', path, record: post(path) };
  });
  return [...creates, ...changes];
}

function makeCorpus(shape: Shape, commitCount: number): Corpus {
  const did = 'did:plc:z72i7hdynmk6r22z27h6tvur';
  const repo = new SignedRepo({ did, seed: 'bench', curve: shape.curve });
  const paths = new Paths();
  const records = Array.from({ length: shape.recordCount }, () => paths.next());
  repo.fill(
    records.map((path) => [path, post(path)] as const),
    NOW_MS - 86_400_000,
  );
  const commits = Array.from({ length: commitCount }, (_, index) => {
    const known = { rev: repo.rev, dataCid: repo.dataCid, commitCid: repo.commitCid };
    const writes = writesFor(repo, paths, shape.opCount);
    const parts = repo.commit(writes, { epochMs: NOW_MS - 3_600_000 + index });
    const unsigned = encodeCommit({ did, rev: parts.rev, data: parts.dataCid });
    return {
      frame: commitFrame(parts, { seq: 1000 + index, time: CREATED_AT }),
      known,
      unsigned,
      signature: repo.keypair.sign(unsigned),
      blocks: blocksOf(parts.blocks).map(({ bytes }) => bytes),
    };
  });
  return { keypair: repo.keypair, commits };
}

const peeked = new Peek();
const view = new EventView();
const result = new RepoResult();

function verifyAll({ keypair, commits }: Corpus): void {
  for (const { frame, known } of commits) {
    mustBe<unknown>(peek(frame, peeked), 'event', 'peek');
    const refused =
      decodeEvent(frame, peeked.kind, view) ??
      verifyCommit(frame, view, { key: keypair, known, epochMs: NOW_MS, isStrict: true }, result);
    mustBe(refused, undefined, 'verdict');
  }
}

function verifySignaturesAndHashes({ keypair, commits }: Corpus): void {
  for (const { unsigned, signature, blocks } of commits) {
    mustBe(signatureVerdict(keypair, unsigned, signature), undefined, 'signature');
    for (const block of blocks) hash('sha256', block, 'latin1');
  }
}

async function verifyByPackages({ keypair, commits }: Corpus): Promise<void> {
  const didKey = `did:key:${keypair.multibase}`;
  for (const { frame } of commits) mustBe(await oracleVerdict(frame, didKey), 'pass', '@atcute');
}

async function run(scale: Scale, print: Print): Promise<void> {
  const backend = await initSignature();
  const commitCount = scale.isSmoke ? 8 : 128;
  const msMin = scale.isSmoke ? 1 : 150;
  const shapes: readonly Shape[] = [
    { recordCount: 100, opCount: 1, curve: 'k256' },
    { recordCount: scale.isSmoke ? 500 : 5000, opCount: 1, curve: 'k256' },
    { recordCount: 100, opCount: 1, curve: 'p256' },
    { recordCount: scale.isSmoke ? 500 : 5000, opCount: 20, curve: 'k256' },
  ];
  for (const shape of shapes) {
    const corpus = makeCorpus(shape, commitCount);
    const bytes = corpus.commits.reduce((sum, { frame }) => sum + frame.length, 0) / commitCount;
    const ops = shape.opCount === 1 ? 'one create' : `${shape.opCount} operations`;
    const repo = `a repo of ${shape.recordCount.toLocaleString('en-US')} records`;
    const curve = shape.curve === 'k256' ? `k256 (${backend})` : shape.curve;
    const time = (work: (corpus: Corpus) => void | Promise<void>) => () =>
      cpuPerUnit(commitCount, msMin, () => work(corpus));
    await compare(
      `verify: ${ops} in ${repo}, ${curve}, ${Math.round(bytes)} bytes; CPU per commit`,
      [
        { name: 'the relay: peek, decode, verify', measure: time(verifyAll) },
        { name: 'its signature and hashes alone', measure: time(verifySignaturesAndHashes) },
        { name: '@atcute packages', measure: time(verifyByPackages) },
      ],
      scale,
      print,
    );
  }
}

export const verifyBench: Bench = {
  name: 'verify',
  about: 'verifying one commit, against its signature and hashes alone and @atcute packages',
  run,
};
