/**
 * The published proofs of commits as commits of an account: their keys are no paths, so each gets
 * one of the same layer and order. What is known of them (which blocks are needed, that any order
 * of operations is right) is of the tree's shape alone.
 */
import { EMPTY_TREE, layerOf, putLeaf, type TreeNode } from '../../scripts/fleet/repo-tree.ts';
import type { Block, RepoWrite } from '../../scripts/fleet/signed-repo.ts';
import { blocksOf } from '../repo/car-blocks.ts';
import { interopJson } from '../repo/interop.ts';
import { someCid } from '../repo/tree-kit.ts';
import { committed, create, type Draft, draft, forged, message } from './drafts.ts';
import type { TreeInput, TreeInputs } from './tree-inputs.ts';

type Fixture = {
  readonly comment: string;
  readonly keys: readonly string[];
  readonly adds: readonly string[];
  readonly dels: readonly string[];
  readonly blocksInProof: readonly string[];
};

const FIXTURES = interopJson<Fixture[]>('firehose/commit-proof-fixtures.json');
/** Two of its three blocks are not needed: its root alone is on the way to what was created. */
const SPARE_CASE = 'add on edge with neighbor two layers down';

/** `C2/014073` as a path of layer 2 that sorts as it does. */
function pathOf(key: string): string {
  if (!/^[A-Z]\d\//.test(key)) return key;
  const layer = Number(key.charAt(1));
  for (let n = 0; ; n++) {
    const path = `com.example.record/${key.replace('/', '-')}-${n}`;
    if (layerOf(path) === layer) return path;
  }
}

function treeOf(fixture: Fixture): TreeNode {
  let tree = EMPTY_TREE;
  for (const key of fixture.keys) tree = putLeaf(tree, pathOf(key), someCid(key));
  return tree;
}

function writesOf({ adds, dels }: Fixture): RepoWrite[] {
  const deletes = dels.map((key): RepoWrite => ({ action: 'delete', path: pathOf(key) }));
  return [...adds.map((key) => create(pathOf(key))), ...deletes];
}

/** Nodes of a commit's CAR: behind the commit, before the records. */
function nodesOf({ parts }: Draft, fixture: Fixture): Block[] {
  const nodes = blocksOf(parts.blocks).slice(1, -fixture.adds.length);
  if (nodes.length !== fixture.blocksInProof.length) throw new Error('another proof');
  return nodes;
}

/** The proof without one of its blocks; `isMade` where the commit passes all the same. */
function withoutNode(fixture: Fixture, index: number, isMade: boolean): TreeInput {
  const write = isMade ? committed : draft;
  return {
    before: treeOf(fixture),
    make: (repo) => {
      const from = write(repo, writesOf(fixture));
      const { cid } = nodesOf(from, fixture)[index] as Block;
      return forged(from, { blocks: (blocks) => blocks.filter((block) => block.cid !== cid) });
    },
  };
}

/** Every proof without each block that it needs: 26 inputs. */
export function withoutNeededNodes(): TreeInputs {
  return Object.fromEntries(
    FIXTURES.flatMap((fixture) => {
      const count = fixture.comment === SPARE_CASE ? 1 : fixture.blocksInProof.length;
      return Array.from({ length: count }, (_, index) => {
        return [`${fixture.comment} ${index}`, withoutNode(fixture, index, false)] as const;
      });
    }),
  );
}

/** The two blocks that a producer must send and a verifier must not demand. */
export function withoutSpareNodes(): TreeInputs {
  const spare = FIXTURES.filter(({ comment }) => comment === SPARE_CASE);
  return Object.fromEntries(
    spare.flatMap((fixture) =>
      [1, 2].map((index) => [`${index}`, withoutNode(fixture, index, true)] as const),
    ),
  );
}

/** The proofs of three operations, in all six orders. */
export function permuted(): TreeInputs {
  const orders = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ];
  const three = FIXTURES.filter(({ adds, dels }) => adds.length + dels.length === 3);
  return Object.fromEntries(
    three.flatMap((fixture) =>
      orders.map((order): [string, TreeInput] => [
        `${fixture.comment} ${order.join('')}`,
        {
          before: treeOf(fixture),
          make: (repo) => {
            const { parts } = committed(repo, writesOf(fixture));
            const ops = order.flatMap((index) => parts.ops.slice(index, index + 1));
            return message({ ...parts, ops });
          },
        },
      ]),
    ),
  );
}
