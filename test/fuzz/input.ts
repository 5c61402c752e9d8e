/**
 * Input number so-and-so of a run: one right message, mostly changed in one to three ways, and
 * what it is to be judged by. Depends on the seed and the number alone.
 */
import { Prng } from '../../lib/base/prng.ts';
import type { KnownRepo } from '../../lib/verify/order.ts';
import type { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { type Base, basesOf } from './bases.ts';
import { BLOCK_AND_CAR_MUTATIONS } from './car-mutations.ts';
import { mutateCbor } from './cbor-mutations.ts';
import { COMMIT_MUTATIONS } from './commit-mutations.ts';
import type { Draft, SignatureNote } from './draft.ts';
import { DraftNode } from './draft-node.ts';
import { lenientUndo } from './lenient-undo.ts';
import { MESSAGE_MUTATIONS } from './message-mutations.ts';
import { chosen, type Mutation } from './mutation.ts';
import { chance, mixed, mutateBytes, pick } from './random.ts';
import { TREE_MUTATIONS } from './tree-mutations.ts';

/** Inputs that share their right messages. */
export const BATCH_INPUTS = 1024;

export type AccountKey = Pick<Keypair, 'curve' | 'bytes' | 'multibase'>;

export type FuzzInput = {
  readonly frame: Buffer;
  /** The account's key: what verdicts go by. */
  readonly key: AccountKey;
  readonly known: KnownRepo | null;
  /** False: of a host that still speaks the old protocol. */
  readonly isStrict: boolean;
  /** What was done to it, for the report. */
  readonly changes: readonly string[];
};

type ChangedInput = Omit<FuzzInput, 'isStrict'>;

const MUTATIONS: Readonly<Record<string, readonly Mutation[]>> = {
  tree: TREE_MUTATIONS,
  blocks: BLOCK_AND_CAR_MUTATIONS,
  commit: COMMIT_MUTATIONS,
  message: MESSAGE_MUTATIONS,
};
const SHARES = ['tree', 'tree', 'tree', 'blocks', 'blocks', 'commit', 'message', 'message'];
const SYNC_SHARES = ['blocks', 'commit', 'message'];

/** Makes inputs; keeps the right messages of the batch that it was asked for last. */
export class InputSource {
  readonly #seed: number;
  readonly #note: SignatureNote;
  #batch = -1;
  #bases: readonly Base[] = [];
  #drafts: readonly Draft[] = [];

  constructor(seed: number, note: SignatureNote) {
    this.#seed = seed;
    this.#note = note;
  }

  input(index: number): FuzzInput {
    this.#enter(Math.floor(index / BATCH_INPUTS));
    const prng = new Prng(mixed(this.#seed, index));
    const base = pick(prng, this.#bases);
    const isPlain = base.draft === undefined || chance(prng, 0.12);
    const input = isPlain ? this.#changedBytes(prng, base) : this.#changedDraft(prng, base);
    return { ...input, isStrict: !chance(prng, 0.05) };
  }

  /** A right message of the same batch: it must still be passed, whatever came before. */
  rightOne(index: number): FuzzInput {
    this.#enter(Math.floor(index / BATCH_INPUTS));
    const { frame, key, known } = this.#bases[index % this.#bases.length] as Base;
    return { frame, key, known, isStrict: true, changes: [] };
  }

  #enter(batch: number): void {
    if (batch === this.#batch) return;
    this.#batch = batch;
    this.#bases = basesOf(mixed(this.#seed, -1 - batch));
    this.#drafts = this.#bases.flatMap(({ draft }) => draft?.() ?? []);
  }

  #changedBytes(prng: Prng, base: Base): ChangedInput {
    const { frame, key, known } = base;
    if (chance(prng, 0.02)) return { frame, key, known, changes: [] };
    if (chance(prng, 0.4)) {
      return { frame: mutateBytes(prng, frame), key, known, changes: ['frame: its bytes'] };
    }
    const header = frame.indexOf('\x62op\x01', 0, 'latin1') + 4;
    const parts = [frame.subarray(0, header), mutateCbor(prng, frame.subarray(header))];
    return { frame: Buffer.concat(parts), key, known, changes: ['frame: its encoding'] };
  }

  #changedDraft(prng: Prng, base: Base): ChangedInput {
    const draft = base.draft?.() as Draft;
    const changes: string[] = [];
    let isTreeChanged = false;
    for (let left = chance(prng, 0.02) ? 0 : changeCount(prng); left > 0; left--) {
      const name = pick(prng, draft.kind === 'sync' ? SYNC_SHARES : SHARES);
      const mutation = chosen(prng, MUTATIONS[name] as readonly Mutation[]);
      if (draft.kind === 'sync' && mutation.isOfSync !== true) continue;
      if (!mutation.apply(prng, draft, [pick(prng, this.#drafts)])) continue;
      changes.push(mutation.name);
      isTreeChanged ||= mutation.isOfTree === true;
    }
    if (isTreeChanged) changes.push(followed(prng, draft));
    const frame = draft.seal(this.#note);
    return { frame, key: draft.key, known: draft.known, changes };
  }
}

function changeCount(prng: Prng): number {
  const rank = prng.nextFloat();
  return rank < 0.7 ? 1 : rank < 0.92 ? 2 : 3;
}

/** Lets the message claim what its wrong tree leads back to, so that the claim hides nothing. */
function followed(prng: Prng, draft: Draft): string {
  const rank = prng.nextFloat();
  if (rank < 0.15) return 'prevData stays';
  if (rank < 0.3) {
    draft.prevData = undefined;
    draft.known = null;
    return 'no prevData';
  }
  if (!(draft.root instanceof DraftNode)) return 'prevData stays';
  const before = lenientUndo(draft.root, draft.ops);
  if (before === undefined) return 'prevData stays';
  draft.prevData = before;
  return 'prevData follows';
}
