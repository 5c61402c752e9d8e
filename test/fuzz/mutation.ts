/** What a mutation is: one change of a draft, chosen by its weight, with what it may draw on. */
import type { Prng } from '../../lib/base/prng.ts';
import type { Draft } from './draft.ts';

export type Mutation = {
  readonly name: string;
  /** Default 1. */
  readonly weight?: number;
  /** Changes the tree: `prevData` should follow, or nobody looks at what was changed. */
  readonly isOfTree?: true;
  /** Also for a sync; default commits only. */
  readonly isOfSync?: true;
  /** False where the draft has nothing to be changed in this way. */
  readonly apply: (prng: Prng, draft: Draft, others: readonly Draft[]) => boolean;
};

/** One of them, by weight. */
export function chosen(prng: Prng, mutations: readonly Mutation[]): Mutation {
  const total = mutations.reduce((sum, { weight = 1 }) => sum + weight, 0);
  let left = prng.nextFloat() * total;
  for (const mutation of mutations) {
    left -= mutation.weight ?? 1;
    if (left < 0) return mutation;
  }
  return mutations.at(-1) as Mutation;
}
