/** A `#sync` of what an account could commit next, made wrong in one place. */
import type { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import {
  type CommitFields,
  encodeCar,
  encodeCommit,
  type SignedRepo,
  type SyncParts,
} from '../../scripts/fleet/signed-repo.ts';
import { create, draft, newPath } from './drafts.ts';

export type SyncChanges = {
  /** Who signs. */
  readonly keypair?: Keypair;
  /** Fields of the signed commit that are not the message's. */
  readonly fields?: Partial<CommitFields>;
  /** The CAR names the commit and does not hold it. */
  readonly isWithoutBlock?: boolean;
};

export function forgeSync(repo: SignedRepo, changes: SyncChanges): SyncParts {
  const { keypair = repo.keypair, fields, isWithoutBlock = false } = changes;
  const { did, rev, dataCid } = draft(repo, [create(newPath())]).parts;
  const signed = { did, rev, data: dataCid, ...fields };
  const bytes = encodeCommit(signed, keypair.sign(encodeCommit(signed)));
  const commitCid = cidOf(bytes);
  const blocks = isWithoutBlock ? [] : [{ cid: commitCid, bytes }];
  return { did, rev, commitCid, dataCid, blocks: encodeCar([commitCid], blocks) };
}
