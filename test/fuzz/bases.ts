/**
 * The right messages that a batch of inputs is made of: commits of realistic repos, commits in
 * repos with tall trees (where splits and merges happen), first commits, commits that leave
 * nothing, empty ones, syncs, identity and account events. The same seed gives the same.
 */
import { Prng } from '../../lib/base/prng.ts';
import type { KnownRepo } from '../../lib/verify/order.ts';
import { CORPUS_EPOCH_MS, corpus } from '../../scripts/fleet/corpus.ts';
import {
  accountFrame,
  commitFrame,
  identityFrame,
  type Stamp,
  syncFrame,
} from '../../scripts/fleet/event-frames.ts';
import type { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import {
  type Block,
  type CommitParts,
  encodePost,
  type RepoWrite,
  SignedRepo,
} from '../../scripts/fleet/signed-repo.ts';
import { blocksOf } from '../repo/car-blocks.ts';
import { keyOf } from '../repo/tree-kit.ts';
import { Draft } from './draft.ts';
import { draftTree, type PlainNode, plainNode } from './draft-node.ts';
import { chance, pick } from './random.ts';

/** What the clock says when inputs are judged. */
export const NOW_MS = CORPUS_EPOCH_MS;
const HOUR_MS = 3_600_000;
const COMMITS = 8;
const TALL_COMMITS = 12;
const TIME = '2026-09-21T13:13:20.000Z';
const DIDS = ['did:plc:z72i7hdynmk6r22z27h6tvur', 'did:web:pds.example.com', 'did:web:a-b.c.dev'];

/** One right message. */
export type Base = {
  readonly frame: Buffer;
  readonly key: Keypair;
  readonly known: KnownRepo | null;
  /** Takes it apart, each time anew; not for identity and account events. */
  readonly draft: (() => Draft) | undefined;
};

/** High layers over-represented: splits and merges happen where trees are tall. */
const POOL = [
  ...Array.from({ length: 90 }, (_, i) => keyOf(i % 6 === 0 ? 2 + (i % 4) : i % 2, i >> 1)),
  'a.b.c/1',
  'a.b.c/with:colon~and_more.',
  `a.b.c/${'x'.repeat(512)}`,
  `${'a.'.repeat(157)}abc/x`,
  `${'b'.repeat(63)}.c-d.e1/...`,
];

export function basesOf(seed: number): Base[] {
  const prng = new Prng(seed);
  const curve = chance(prng, 0.15) ? 'p256' : 'k256';
  const tall = new TallRepo(
    prng,
    new SignedRepo({ did: pick(prng, DIDS), seed: `${seed}`, curve }),
  );
  const bases = [...tall.bases()];
  const shape = {
    seed: `${seed}`,
    recordCount: pick(prng, [0, 1, 4, 30, 100, 100, 300, chance(prng, 0.1) ? 3000 : 300]),
    curve,
    opCountMax: chance(prng, 0.05) ? 200 : pick(prng, [1, 4, 10]),
  } as const;
  for (const { frame, parts, stamp, known, key } of corpus(shape).take(COMMITS)) {
    bases.push({ frame, key, known, draft: commitDraft(parts, stamp, known, key) });
  }
  return bases;
}

class TallRepo {
  readonly #prng: Prng;
  readonly #repo: SignedRepo;
  #seq = 0;

  constructor(prng: Prng, repo: SignedRepo) {
    this.#prng = prng;
    this.#repo = repo;
  }

  *bases(): Generator<Base> {
    const repo = this.#repo;
    yield this.#commit(chance(this.#prng, 0.5) ? [] : this.#writes());
    for (let i = 0; i < TALL_COMMITS; i++) yield this.#commit(this.#writes());
    yield this.#commit([]);
    yield this.#sync();
    const stamp = this.#stamp();
    const { did, keypair: key } = repo;
    const rest = { key, known: null, draft: undefined };
    yield { frame: identityFrame({ did, handle: 'a.example.com' }, stamp), ...rest };
    yield { frame: accountFrame({ did, active: false, status: 'takendown' }, stamp), ...rest };
    yield this.#commit(repo.paths.map((path) => ({ action: 'delete', path })));
    yield this.#commit(this.#writes());
  }

  #stamp(): Stamp {
    return { seq: ++this.#seq, time: TIME };
  }

  #known(): KnownRepo | null {
    const { rev, dataCid, commitCid } = this.#repo;
    return rev === '' ? null : { rev, dataCid, commitCid };
  }

  #commit(writes: readonly RepoWrite[]): Base {
    const known = this.#known();
    const epochMs = NOW_MS - HOUR_MS + this.#seq;
    const parts = this.#repo.commit(writes, { epochMs });
    const stamp = this.#stamp();
    const key = this.#repo.keypair;
    const draft = commitDraft(parts, stamp, known, key);
    return { frame: commitFrame(parts, stamp), key, known, draft };
  }

  #sync(): Base {
    const known = chance(this.#prng, 0.5) ? this.#known() : null;
    const parts = this.#repo.sync();
    const stamp = this.#stamp();
    const key = this.#repo.keypair;
    const draft = (): Draft =>
      new Draft({
        kind: 'sync',
        did: parts.did,
        rev: parts.rev,
        root: parts.dataCid,
        records: [],
        ops: [],
        since: null,
        prevData: undefined,
        ...stamp,
        known,
        key,
      });
    return { frame: syncFrame(parts, stamp), key, known, draft };
  }

  #writes(): RepoWrite[] {
    const prng = this.#prng;
    const there = new Set(this.#repo.paths);
    const count = 1 + prng.nextBelow(8);
    const paths = new Set(Array.from({ length: count }, () => pick(prng, POOL)));
    return [...paths].map((path): RepoWrite => {
      // Now and then what is there already: an update that changes nothing (H119).
      const isSame = chance(prng, 0.3);
      const record = encodePost(`${path} ${isSame ? '' : prng.nextUint32()}`, TIME);
      if (!there.has(path)) return { action: 'create', path, record };
      return chance(prng, 0.6) ? { action: 'delete', path } : { action: 'update', path, record };
    });
  }
}

function commitDraft(
  parts: CommitParts,
  stamp: Stamp,
  known: KnownRepo | null,
  key: Keypair,
): () => Draft {
  const records: Block[] = [];
  const recordCids = new Set(parts.ops.map(({ cid }) => cid));
  const nodes = new Map<string, PlainNode>();
  for (const block of blocksOf(parts.blocks).slice(1)) {
    if (recordCids.has(block.cid)) records.push(block);
    else nodes.set(block.cid, plainNode(block));
  }
  const ops = parts.ops.map((op) => ({ ...op, prev: op.prev }));
  return () =>
    new Draft({
      kind: 'commit',
      did: parts.did,
      rev: parts.rev,
      root: nodes.has(parts.dataCid) ? draftTree(parts.dataCid, nodes) : parts.dataCid,
      records,
      ops,
      since: parts.since,
      prevData: parts.prevData,
      ...stamp,
      known,
      key,
    });
}
