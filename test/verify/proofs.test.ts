/**
 * The published commit-proof fixtures as whole signed commits, through all of the verifier: their
 * keys are no paths, so each stands for a path of its own layer, in the same order.
 */
import t from 'tap';
import {
  cidOf,
  coverKey,
  layerOf,
  putLeaf,
  removeLeaf,
  type TreeNode,
} from '../../scripts/fleet/repo-tree.ts';
import { type Block, type RepoOp, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { interopJson } from '../repo/interop.ts';
import { keyAfter, keyOf, nodeBlock } from '../repo/tree-kit.ts';
import { type Changes, DID, judge, knownOf, NOW_MS, post, type Scene } from './forge.ts';

type Fixture = {
  readonly comment: string;
  readonly keys: readonly string[];
  readonly adds: readonly string[];
  readonly dels: readonly string[];
  readonly blocksInProof: readonly string[];
};

/** Two of the three blocks of its proof are not needed. */
const SPARE_CASE = 'add on edge with neighbor two layers down';
const OLD = post('old');
const NEW = post('new');

function permutations<Item>(items: readonly Item[]): Item[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) =>
    permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]),
  );
}

/** A path of the same layer for each key; the order of the keys is the order of the paths. */
function pathsFor(keys: Iterable<string>): Map<string, string> {
  const paths = new Map<string, string>();
  let last = keyOf(0, 0);
  for (const key of [...new Set(keys)].sort()) {
    last = keyAfter(last, layerOf(key));
    paths.set(key, last);
  }
  return paths;
}

/** The fixture's commit: the account before it, its operations, its proof and its records. */
function commitOf({ keys, adds, dels }: Fixture): { made: Scene; proof: Block[] } {
  const paths = pathsFor([...keys, ...adds, ...dels]);
  const pathOf = (key: string): string => paths.get(key) ?? '';
  const repo = new SignedRepo({ did: DID, seed: 'proofs' });
  repo.fill(
    keys.map((key) => [pathOf(key), OLD] as const),
    NOW_MS - 10,
  );
  const known = knownOf(repo);
  let after = repo.tree;
  for (const key of adds) after = putLeaf(after, pathOf(key), cidOf(NEW));
  for (const key of dels) after = removeLeaf(after, pathOf(key));
  repo.tree = after;
  const empty = repo.commit([], { epochMs: NOW_MS });
  const ops: RepoOp[] = [
    ...adds.map((key): RepoOp => ({ action: 'create', path: pathOf(key), cid: cidOf(NEW) })),
    ...dels.map((key): RepoOp => {
      return { action: 'delete', path: pathOf(key), cid: null, prev: cidOf(OLD) };
    }),
  ];
  const nodes = new Set<TreeNode>();
  for (const { path } of ops) coverKey(after, path, nodes);
  const parts = { ...empty, prevData: known.dataCid, ops };
  return { made: { repo, known, parts }, proof: [...nodes].map(nodeBlock) };
}

for (const fixture of interopJson<Fixture[]>('firehose/commit-proof-fixtures.json')) {
  t.test(`H97, H118, CA-5: a signed commit: ${fixture.comment}`, async (t) => {
    const { made, proof } = commitOf(fixture);
    const records = fixture.adds.length > 0 ? [{ cid: cidOf(NEW), bytes: NEW }] : [];
    t.equal(proof.length, fixture.blocksInProof.length, 'the same shape');
    for (const ops of permutations(made.parts.ops)) {
      const verdictWith = (nodes: readonly Block[]): string =>
        judge(made, {
          blocks: ([commit]) => [commit as Block, ...nodes, ...records],
          outer: { ops },
        });
      t.equal(verdictWith(proof), 'pass', 'in this order');
      const without = proof.map((_, index) => verdictWith(proof.toSpliced(index, 1)));
      const missing = without.filter((verdict) => verdict === 'commit_block_missing').length;
      const spare = without.filter((verdict) => verdict === 'pass').length;
      const spareWanted = fixture.comment === SPARE_CASE ? 2 : 0;
      t.same([missing, spare], [proof.length - spareWanted, spareWanted], 'each block left out');
    }
  });
}

t.test(
  'H81, H97, H127, CM-7: an old diff fails for its missing block, and for nothing else',
  async (t) => {
    // With `gone` deleted, its left neighbour is as it was: a diff of new nodes does not carry it,
    // and without it nobody can say that `gone` was not in there.
    const low = keyOf(0, 0);
    const gone = keyAfter(low, 1);
    const high = keyAfter(gone, 1);
    const repo = new SignedRepo({ did: DID, seed: 'old' });
    repo.fill(
      [low, gone, high].map((path) => [path, OLD] as const),
      1,
    );
    const known = { ...knownOf(repo), rev: '2222222222222' };
    const parts = repo.commit([{ action: 'delete', path: gone }], { epochMs: NOW_MS });
    // As real ones have it: a clock at the beginning of time, and the commit before in `prev`.
    const rev = '222222d7n7i22';
    const old: Changes = {
      fields: { rev, prev: known.commitCid },
      outer: { rev, since: known.rev },
    };
    t.equal(judge({ repo, known, parts }, old), 'pass', 'with its covering proof');
    const diff = { ...old, blocks: (blocks: readonly Block[]) => blocks.slice(0, 2) };
    t.equal(judge({ repo, known, parts }, diff), 'commit_block_missing', 'commit and root alone');
  },
);
