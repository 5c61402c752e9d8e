/**
 * What `#commit` and `#sync` have in common (spec §1.6, §1.7): a CAR whose first root is a commit
 * block, intact, saying the same as the message around it, signed by the account's key. In this
 * order, so that a forgery costs one small hash and one signature, whatever hangs on the CAR.
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';
import { CarIndex } from '../repo/car.ts';
import { CID_PREFIX_DRISL, type Cid } from '../repo/cid.ts';
import { CommitObject } from '../repo/commit.ts';
import type { EventView } from '../wire/event.ts';
import type { KnownRepo } from './order.ts';
import { type SigningKey, signatureVerdict } from './signature.ts';

/** What is needed beside the frame itself to judge it. */
export type VerifyContext = {
  /** The account's current signing key. */
  readonly key: SigningKey;
  /** State after the account's last accepted event; null for a repo not seen before. */
  readonly known: KnownRepo | null;
  /** The wall clock, ms since 1970. */
  readonly epochMs: number;
  /** False: hosts on the old protocol are let through without `prevData` (A12, A14). */
  readonly isStrict: boolean;
  /** Default REV_AHEAD_MS_MAX. */
  readonly revAheadMsMax?: number;
};

/** What an accepted event says of the repo. Reused by the caller; set only on acceptance. */
export class RepoResult {
  rev = '';
  commitCid: Cid = '';
  /** Root of the tree. */
  dataCid: Cid = '';
  /** Right in itself, but does not chain on what was known (CH-4). */
  isDiscontinuous = false;
  /** Only a host on the old protocol may send this; strictly it would be refused (A12, A14). */
  isWaived = false;
  /** A sync that repeats what was known (A18). */
  isNoChange = false;
  /** Blocks to which nothing in the event leads (CA-3): hashed as all are, and passed on. */
  unlinkedBlocks = 0;
}

export class SignedCommit {
  readonly car = new CarIndex();
  readonly object = new CommitObject();

  /**
   * Loads `view.blocks` of the frame `buf` and checks the signed commit in it. `commitCid` is the
   * message's claim, '' where it makes none (`#sync`).
   */
  verdict(buf: Buffer, view: EventView, commitCid: Cid, key: SigningKey): RejectCode | undefined {
    const fault = this.#open(buf, view, commitCid);
    if (fault !== undefined) return fault;
    if (this.object.did !== view.did) return 'commit_did_mismatch';
    if (this.object.rev !== view.rev) return 'commit_rev_mismatch';
    const isSigned = signatureVerdict(key, this.object.unsignedBytes(), this.object.signature);
    if (isSigned !== undefined) return isSigned;
    return this.car.isIntact() ? undefined : 'commit_block_hash_bad';
  }

  /** Blocks but for the commit and the root of its tree, where no tree is loaded. */
  countSpare(buf: Buffer): number {
    const isRootHere = this.car.find(buf, this.object.dataCidAt) >= 0;
    return this.car.blockCount - (isRootHere ? 2 : 1);
  }

  #open(buf: Buffer, view: EventView, commitCid: Cid): RejectCode | undefined {
    const fault = this.car.load(buf, view.blocksStart, view.blocksEnd);
    if (fault !== undefined) return fault;
    const rootCid = this.car.rootCid;
    if (commitCid !== '' && rootCid !== commitCid) return 'commit_cid_mismatch';
    if (!rootCid.startsWith(CID_PREFIX_DRISL)) return 'commit_block_cid_bad';
    const block = this.car.findRoot();
    if (block < 0) return 'commit_root_missing';
    if (!this.car.isBlockIntact(block)) return 'commit_block_hash_bad';
    return this.object.parse(buf, this.car.blockStart(block), this.car.blockEnd(block));
  }
}
