/**
 * Is this `#sync` true (spec §1.12): a signed commit that says the same as the message. It has no
 * operations and proves no tree: it sets the state, and the next commit must chain on it.
 * Pure, as `commit.ts`.
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';
import type { EventView } from '../wire/event.ts';
import { isNoChange, REV_AHEAD_MS_MAX, revVerdict, syncOrderVerdict } from './order.ts';
import { type RepoResult, SignedCommit, type VerifyContext } from './signed.ts';

const signed = new SignedCommit();

/**
 * Judges the sync in the frame `buf`, which `decodeEvent` accepted into `view` and whose DID has
 * passed `didVerdict`. Fills `out` and returns undefined where it is true.
 */
export function verifySync(
  buf: Buffer,
  view: EventView,
  context: VerifyContext,
  out: RepoResult,
): RejectCode | undefined {
  const { known } = context;
  const aheadMsMax = context.revAheadMsMax ?? REV_AHEAD_MS_MAX;
  const early = revVerdict(view.rev, context.epochMs, aheadMsMax);
  if (early !== undefined) return early;
  // An older rev is refused before its signature is looked at; an equal one needs the commit's CID.
  if (known !== null && view.rev < known.rev) return 'commit_rev_stale';
  const fault = signed.verdict(buf, view, '', context.key);
  if (fault !== undefined) return fault;
  const commitCid = signed.car.rootCid;
  const late = syncOrderVerdict(known, view.rev, commitCid);
  if (late !== undefined) return late;
  out.rev = view.rev;
  out.commitCid = commitCid;
  out.dataCid = signed.object.dataCid;
  out.isNoChange = isNoChange(known, view.rev, commitCid);
  out.isDiscontinuous = false;
  out.isWaived = false;
  out.unlinkedBlocks = signed.countSpare(buf);
  return undefined;
}
