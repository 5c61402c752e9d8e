/**
 * When a known identity is good enough and when the directory is asked again. Pure: the caller
 * keeps the entries and does the asking. The rules:
 * - an answer is fresh for a day; after that it is used while it is looked up anew, until it is so
 *   old that nothing is judged with it before the directory was asked;
 * - `#identity` and a bad signature ask at once, at most once a minute per DID (H152, SG-7, S8);
 * - if the directory fails, the old answer stays in force, so nobody can silence an account by
 *   sending `#identity` while the directory is down.
 * Wall-clock time only for the age of answers, which outlive the process; a clock that jumps costs
 * look-ups, never an account.
 * @thread any
 */
import { DAY_MS, type EpochMs, MINUTE_MS, type MonoMs, SECOND_MS } from '../base/units.ts';
import type { Identity } from './document.ts';
import type { ResolveOutcome } from './outcome.ts';

export type IdentityState = 'found' | 'not_found' | 'tombstoned' | 'document_bad';

/** An answer of the directory; this is what PostgreSQL keeps. */
export type IdentityRecord = {
  readonly did: string;
  readonly state: IdentityState;
  /** Not null exactly for `found`. */
  readonly identity: Identity | null;
  /** When it was asked for. */
  readonly resolvedMs: EpochMs;
};

export type CacheEntry = {
  /** The last answer; null while there was none. */
  readonly record: IdentityRecord | null;
  /** After a failure the directory is left alone until then; null when it did not fail. */
  readonly failedUntilMs: MonoMs | null;
  /** When the last forced look-up began. */
  readonly forcedMs: MonoMs | null;
  /** When `#identity` said that the answer may have changed; null once it was asked for again. */
  readonly markedMs: MonoMs | null;
};

export type CachePolicy = {
  readonly staleMs: number;
  readonly expiryMs: number;
  readonly negativeMs: number;
  readonly failedMs: number;
  readonly forcedMsMin: number;
};

export const CACHE_POLICY: CachePolicy = {
  staleMs: DAY_MS,
  expiryMs: 7 * DAY_MS,
  negativeMs: 5 * MINUTE_MS,
  failedMs: 30 * SECOND_MS,
  forcedMsMin: MINUTE_MS,
};

export type Now = { readonly epochMs: EpochMs; readonly monoMs: MonoMs };

/**
 * use: judge with the record, which may be a negative one.
 * use_and_refresh: the same, and look it up behind the event's back.
 * wait: look it up first; if that fails and there is a record, use it. `isForced` look-ups are
 *   noted with noteForced() and must not be answered by a look-up already under way.
 * refuse: there is no record and it is too early to ask again.
 */
export type RefreshDecision =
  | { readonly action: 'use' | 'use_and_refresh' }
  | { readonly action: 'wait'; readonly isForced: boolean }
  | { readonly action: 'refuse'; readonly retryAfterMs: number };

export const EMPTY_ENTRY: CacheEntry = {
  record: null,
  failedUntilMs: null,
  forcedMs: null,
  markedMs: null,
};

export function entryOfRecord(record: IdentityRecord): CacheEntry {
  return { ...EMPTY_ENTRY, record };
}

/**
 * What to do with an event of the account. `need` is `forced` when what is known did not fit the
 * event: the signature is bad, or the host is not the account's PDS (HO-4).
 */
export function decideRefresh(
  entry: CacheEntry,
  need: 'normal' | 'forced',
  now: Now,
  policy: CachePolicy = CACHE_POLICY,
): RefreshDecision {
  const { record, failedUntilMs, forcedMs, markedMs } = entry;
  const backoffMs = failedUntilMs === null ? 0 : failedUntilMs - now.monoMs;
  if (record === null) {
    if (backoffMs > 0) return { action: 'refuse', retryAfterMs: backoffMs };
    return { action: 'wait', isForced: false };
  }
  if (backoffMs > 0) return { action: 'use' };
  const mayForce = forcedMs === null || now.monoMs - forcedMs >= policy.forcedMsMin;
  if (mayForce && (need === 'forced' || markedMs !== null)) {
    return { action: 'wait', isForced: true };
  }
  return byAge(record, now.epochMs, policy);
}

function byAge(record: IdentityRecord, epochMs: EpochMs, policy: CachePolicy): RefreshDecision {
  const ageMs = epochMs - record.resolvedMs;
  if (record.state === 'not_found' || record.state === 'document_bad') {
    const isYoung = ageMs >= 0 && ageMs < policy.negativeMs;
    return isYoung ? { action: 'use' } : { action: 'wait', isForced: false };
  }
  if (ageMs >= policy.expiryMs) return { action: 'wait', isForced: false };
  // A time to come means that the clock was set back: the age is not known.
  return { action: ageMs >= 0 && ageMs < policy.staleMs ? 'use' : 'use_and_refresh' };
}

/** `#identity` arrived: the answer may have changed. */
export function markChanged(entry: CacheEntry, monoMs: MonoMs): CacheEntry {
  return { ...entry, markedMs: monoMs };
}

/** A forced look-up begins. */
export function noteForced(entry: CacheEntry, monoMs: MonoMs): CacheEntry {
  return { ...entry, forcedMs: monoMs };
}

/** Takes in what a look-up that began at `startedMs` brought. */
export function applyOutcome(
  entry: CacheEntry,
  outcome: ResolveOutcome,
  startedMs: MonoMs,
  now: Now,
  policy: CachePolicy = CACHE_POLICY,
): CacheEntry {
  if (outcome.kind === 'failed') {
    const waitMs = Math.max(policy.failedMs, outcome.retryAfterMs);
    return { ...entry, failedUntilMs: (now.monoMs + waitMs) as MonoMs };
  }
  const identity = outcome.kind === 'found' ? outcome.identity : null;
  // As old as the question: what changed meanwhile may not be in the answer. Rounded up, so that
  // an event that arrived in the same millisecond, and caused the question, counts as older.
  const resolvedMs = Math.ceil(now.epochMs - (now.monoMs - startedMs)) as EpochMs;
  const record = { did: outcome.did, state: outcome.kind, identity, resolvedMs };
  // A mark set while the look-up ran may speak of a change that it did not see.
  const isAnswered = entry.markedMs === null || entry.markedMs <= startedMs;
  const markedMs = isAnswered ? null : entry.markedMs;
  return { record, failedUntilMs: null, forcedMs: entry.forcedMs, markedMs };
}
