/**
 * Right commits made wrong in one place: a commit of the fleet's is taken apart, changed, signed
 * again where its commit object changed, put together and judged as the relay would.
 */

import { verifyCommit } from '../../lib/verify/commit.ts';
import type { KnownRepo } from '../../lib/verify/order.ts';
import { initSignature } from '../../lib/verify/signature.ts';
import { RepoResult, type VerifyContext } from '../../lib/verify/signed.ts';
import { verifySync } from '../../lib/verify/sync.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_COMMIT, KIND_SYNC, type Kind } from '../../lib/wire/kinds.ts';
import { commitFrame, syncFrame } from '../../scripts/fleet/event-frames.ts';
import type { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import {
  type Block,
  type CommitFields,
  type CommitParts,
  encodeCar,
  encodeCommit,
  encodePost,
  type RepoWrite,
  SignedRepo,
  type SyncParts,
} from '../../scripts/fleet/signed-repo.ts';
import { blocksOf } from '../repo/car-blocks.ts';

await initSignature();

export const DID = 'did:plc:z72i7hdynmk6r22z27h6tvur';
/** The clock's reading in these tests; commits are made in the hour before. */
export const NOW_MS = 1_790_000_000_000;
const STAMP = { seq: 7, time: '2026-09-21T14:13:20.000Z' };

export const post = (text: string): Buffer => encodePost(text, '2026-09-21T14:13:20.000Z');
export const create = (path: string, text = path): RepoWrite => {
  return { action: 'create', path, record: post(text) };
};

export type Scene = {
  readonly repo: SignedRepo;
  /** State before the commit. */
  readonly known: KnownRepo;
  readonly parts: CommitParts;
};

export function knownOf(repo: SignedRepo): KnownRepo {
  return { rev: repo.rev, dataCid: repo.dataCid, commitCid: repo.commitCid };
}

/** A repo of forty records, and one more commit. */
export function scene(writes: (repo: SignedRepo) => readonly RepoWrite[], seed = 'scene'): Scene {
  const repo = new SignedRepo({ did: DID, seed });
  for (let i = 0; i < 40; i++)
    repo.commit([create(`app.bsky.feed.like/3k${`${i * 7919}`.padStart(11, '2')}`)], {
      epochMs: NOW_MS - 3_600_000 + i,
    });
  const known = knownOf(repo);
  return { repo, known, parts: repo.commit(writes(repo), { epochMs: NOW_MS - 1000 }) };
}

export const PATH = 'app.bsky.feed.post/3kaaaaaaaaaa2';
/** One created record, after forty others. */
export const ONE = scene(() => [create(PATH)]);

export type Changes = {
  /** Fields of the signed commit object. */
  readonly fields?: Partial<CommitFields>;
  /** The whole commit block, by its unsigned fields. */
  readonly commitBlock?: (fields: CommitFields, keypair: Keypair) => Buffer;
  /** Blocks of the CAR, the commit first. */
  readonly blocks?: (blocks: readonly Block[]) => readonly Block[];
  readonly roots?: (commitCid: string) => readonly string[];
  /** The CAR as bytes. */
  readonly car?: (car: Buffer) => Buffer;
  /** Fields of the message. */
  readonly outer?: Partial<CommitParts>;
};

function signedBlock(fields: CommitFields, keypair: Keypair): Buffer {
  return encodeCommit(fields, keypair.sign(encodeCommit(fields)));
}

/** The message with the changes, everything else made to fit. */
export function forge({ repo, parts }: Scene, changes: Changes): CommitParts {
  const fields = { did: parts.did, rev: parts.rev, data: parts.dataCid, ...changes.fields };
  const bytes = (changes.commitBlock ?? signedBlock)(fields, repo.keypair);
  const commit = { cid: cidOf(bytes), bytes };
  const blocks = [commit, ...blocksOf(parts.blocks).slice(1)];
  const roots = changes.roots?.(commit.cid) ?? [commit.cid];
  const car = encodeCar(roots, changes.blocks?.(blocks) ?? blocks);
  return {
    ...parts,
    commitCid: commit.cid,
    blocks: changes.car?.(car) ?? car,
    ...changes.outer,
  };
}

const view = new EventView();
const out = new RepoResult();

export type Circumstances = Partial<VerifyContext> & { readonly key: VerifyContext['key'] };

/** `pass`, `pass discontinuous`, `pass unchanged`, or the code. */
export function judgeFrame(frame: Buffer, kind: Kind, circumstances: Circumstances): string {
  const refused = decodeEvent(frame, kind, view);
  if (refused !== undefined) return refused;
  const context = { known: null, epochMs: NOW_MS, isStrict: true, ...circumstances };
  const verify = kind === KIND_COMMIT ? verifyCommit : verifySync;
  const fault = verify(frame, view, context, out);
  if (fault !== undefined) return fault;
  if (out.isNoChange) return 'pass unchanged';
  return out.isDiscontinuous ? 'pass discontinuous' : 'pass';
}

/** The result of the last `pass`. */
export function lastResult(): RepoResult {
  return out;
}

export function judgeParts(parts: CommitParts, circumstances: Circumstances): string {
  return judgeFrame(commitFrame(parts, STAMP), KIND_COMMIT, circumstances);
}

/** A scene's commit with changes, by what was known before it and the account's own key. */
export function judge(
  from: Scene,
  changes: Changes = {},
  more: Partial<VerifyContext> = {},
): string {
  const circumstances = { key: from.repo.keypair, known: from.known, ...more };
  return judgeParts(forge(from, changes), circumstances);
}

export function judgeSync(parts: SyncParts, circumstances: Circumstances): string {
  return judgeFrame(syncFrame(parts, STAMP), KIND_SYNC, circumstances);
}
