/**
 * Order in time of one account's events (spec §1.11, §1.12): may this `rev` come now, after what
 * is known, and does it chain on it. Pure: the clock's reading is an argument.
 * @thread any
 */
import { MINUTE_MS } from '../base/units.ts';
import type { RejectCode } from '../reject/codes.ts';
import type { Cid } from '../repo/cid.ts';
import { isTid, tidMicros } from '../repo/tid.ts';

/** The state of a repo after the last event that was accepted for it. */
export type KnownRepo = { readonly rev: string; readonly dataCid: Cid; readonly commitCid: Cid };

/** How far ahead of our clock a `rev` may be (CH-2). There is no bound in the past (CM-7). */
export const REV_AHEAD_MS_MAX = 5 * MINUTE_MS;

/** Syntax and clock: `rev` is a TID, and not too far in the future (H50, H126, H127). */
export function revVerdict(
  rev: string,
  epochMs: number,
  revAheadMsMax: number,
): RejectCode | undefined {
  if (!isTid(rev)) return 'commit_rev_bad';
  return tidMicros(rev) > (epochMs + revAheadMsMax) * 1000 ? 'commit_rev_future' : undefined;
}

/** A commit comes after what is known: strictly (CH-1, H123, H124, H125). */
export function commitOrderVerdict(
  known: KnownRepo | null,
  rev: string,
  commitCid: Cid,
): RejectCode | undefined {
  // ASCII order is time order (CM-6).
  if (known === null || rev > known.rev) return undefined;
  const isEquivocation = rev === known.rev && commitCid !== known.commitCid;
  return isEquivocation ? 'commit_rev_equivocated' : 'commit_rev_stale';
}

/**
 * A sync may also repeat what is known: hosts do so when an account comes back, and consumers who
 * dropped its content need it (A18, H135, H136).
 */
export function syncOrderVerdict(
  known: KnownRepo | null,
  rev: string,
  commitCid: Cid,
): RejectCode | undefined {
  return isNoChange(known, rev, commitCid) ? undefined : commitOrderVerdict(known, rev, commitCid);
}

export function isNoChange(known: KnownRepo | null, rev: string, commitCid: Cid): boolean {
  return known !== null && rev === known.rev && commitCid === known.commitCid;
}

/**
 * Whether a commit, right in itself, does not chain on what is known. A relay passes it on and
 * counts it (CH-3, CH-4, H128, H129). `since` is '' for null, `prevData` '' where it is absent.
 */
export function isDiscontinuous(known: KnownRepo | null, since: string, prevData: Cid): boolean {
  return known !== null && (since !== known.rev || prevData !== known.dataCid);
}
