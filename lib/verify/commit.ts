/**
 * Is this `#commit` true (spec §1.10, §1.11): the one entry, cheap checks first, nothing passed on
 * trust. Pure: the frame, the key, what is known and the time in; a reject code or a result out.
 * After `commit_signature_bad` the caller refreshes the identity once and asks again (SG-7).
 * One set of scratch per thread: a call never yields.
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';
import type { EventView } from '../wire/event.ts';
import { TreeProof } from './inversion.ts';
import { pathsVerdict } from './limits.ts';
import { commitOrderVerdict, isDiscontinuous, REV_AHEAD_MS_MAX, revVerdict } from './order.ts';
import { type RepoResult, SignedCommit, type VerifyContext } from './signed.ts';

const signed = new SignedCommit();
const proof = new TreeProof(signed);

/**
 * Judges the commit in the frame `buf`, which `decodeEvent` accepted into `view` and whose DID has
 * passed `didVerdict`. Fills `out` and returns undefined where it is true.
 */
export function verifyCommit(
  buf: Buffer,
  view: EventView,
  context: VerifyContext,
  out: RepoResult,
): RejectCode | undefined {
  const fault = verdictOf(buf, view, context);
  if (fault !== undefined) return fault;
  out.rev = view.rev;
  out.commitCid = view.commitCid;
  out.dataCid = signed.object.dataCid;
  out.isDiscontinuous = isDiscontinuous(context.known, view.since, view.prevData);
  out.isWaived = proof.isWaived;
  out.isNoChange = false;
  out.unlinkedBlocks = proof.unlinkedBlocks;
  return undefined;
}

function verdictOf(buf: Buffer, view: EventView, context: VerifyContext): RejectCode | undefined {
  const aheadMsMax = context.revAheadMsMax ?? REV_AHEAD_MS_MAX;
  return (
    revVerdict(view.rev, context.epochMs, aheadMsMax) ??
    commitOrderVerdict(context.known, view.rev, view.commitCid) ??
    pathsVerdict(view.ops, view.opCount) ??
    signed.verdict(buf, view, view.commitCid, context.key) ??
    proof.verdict(buf, view, context)
  );
}
