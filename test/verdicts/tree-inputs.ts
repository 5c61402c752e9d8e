/**
 * Commits on trees told block by block. Each input has an account of its own, whose repo starts
 * from the tree that the input wants; afterwards the account goes on from where it stood.
 */
import { EMPTY_TREE, type TreeNode } from '../../scripts/fleet/repo-tree.ts';
import type { Block, RepoOp, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { blockOf } from '../repo/tree-kit.ts';
import type { VerdictCase } from './case.ts';
import { type Draft, draft, forged, type Made, newRecord } from './drafts.ts';
import { agreed, type Group, labelled } from './inputs.ts';
import type { Scene } from './scene.ts';

export type TreeInput = {
  /** The account's tree; the empty one by default. */
  readonly before?: TreeNode;
  readonly make: (repo: SignedRepo) => Made;
};
export type TreeInputs = Readonly<Record<string, TreeInput>>;
export type TreeGroup = Group & { readonly inputs: () => TreeInputs };

const DISCONTINUOUS = 'relay_verify_discontinuous_commits_total';

/** Runs groups of inputs; those of one group must agree. */
export function treeCase(
  row: Omit<VerdictCase, 'expected' | 'run'>,
  groups: readonly TreeGroup[],
): VerdictCase {
  return {
    ...row,
    expected: groups.map((group) => labelled(group.expected, group)).join(', '),
    run: async (scene) => {
      const verdicts: string[] = [];
      for (const group of groups) {
        verdicts.push(labelled(await verdictOfTrees(scene, group.inputs()), group));
      }
      return verdicts.join(', ');
    },
  };
}

async function verdictOfTrees(scene: Scene, inputs: TreeInputs): Promise<string> {
  const list = Object.values(inputs).map((input) => {
    const account = scene.account({ isAnnounced: false });
    account.repo.tree = input.before ?? EMPTY_TREE;
    scene.good(account, []);
    return { ...input, account };
  });
  await scene.settled();
  const before = await scene.observe();
  const hostile = list.map(({ make, account: { repo } }) => (stamp: Parameters<Made>[0]) => {
    return make(repo)(stamp);
  });
  const verdicts = (await scene.verdictOf(hostile)).split(', ');
  // A new key of each would show if the relay stood elsewhere: nothing may be discontinuous.
  for (const { account } of list) scene.good(account, []);
  await scene.settled();
  const marks = (await scene.observe()).since(before, DISCONTINUOUS);
  const verdict = agreed(Object.keys(inputs), verdicts);
  return marks === 0 ? verdict : `${verdict}, and ${marks} accounts stand elsewhere`;
}

export type TreeCommit = {
  readonly root: Block;
  /** Nodes below the root. */
  readonly nodes?: readonly Block[];
  readonly ops: readonly RepoOp[];
  readonly records?: readonly Block[];
};

/** An empty commit of the account with a new tree of any form; signed, and right in all else. */
export function treeCommit(repo: SignedRepo, empty: Draft, commit: TreeCommit): Made {
  const { root, nodes = [], ops, records = [] } = commit;
  return forged(empty, {
    fields: { data: root.cid },
    blocks: ([first]) => [first as Block, root, ...nodes, ...records],
    outer: { ops, prevData: repo.tree.cid },
  });
}

/** One created record at a path: the operation, the record's block. */
export class Created {
  readonly path: string;
  readonly record: Block = blockOf(newRecord());

  constructor(path: string) {
    this.path = path;
  }

  /** Value of the leaf. */
  get v(): string {
    return this.record.cid;
  }

  get op(): RepoOp {
    return { action: 'create', path: this.path, cid: this.record.cid };
  }

  /** An input that creates it in a tree of this root and these nodes. */
  in(root: Block, nodes: readonly Block[] = [], before?: TreeNode): TreeInput {
    const commit = { root, nodes, ops: [this.op], records: [this.record] };
    const make = (repo: SignedRepo): Made => treeCommit(repo, draft(repo, []), commit);
    return before === undefined ? { make } : { before, make };
  }
}
