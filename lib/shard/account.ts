/**
 * What a verify thread knows of one account: the state with everything accepted so far (`live`),
 * and the part of it that is already durable in the log (`durable`), which alone may be written to
 * PostgreSQL (G10: the database is never ahead of the log).
 * @thread verify
 */
import type { EpochMs, MonoMs } from '../base/units.ts';
import { type CacheEntry, EMPTY_ENTRY } from '../identity/cache.ts';

export const IDENTITY_EVENTS_BURST = 20;
/** Look-ups for hosts that the document does not name, over the one per minute (H138, H140). */
export const MOVE_LOOKUPS_BURST = 3;

export type RepoState = {
  /** Host that last spoke for the account with authority; 0 = none yet. */
  hostId: number;
  isUpstreamActive: boolean;
  upstreamStatus: string | null;
  /** A status set here (takedown, suspension); it overrides the host's. */
  localStatus: string | null;
  /** '' while the repo is unknown; CIDs are 36 binary characters. */
  rev: string;
  commitCid: string;
  dataCid: string;
};

export function emptyState(): RepoState {
  return {
    hostId: 0,
    isUpstreamActive: true,
    upstreamStatus: null,
    localStatus: null,
    rev: '',
    commitCid: '',
    dataCid: '',
  };
}

export function copyState(from: RepoState, to: RepoState): void {
  to.hostId = from.hostId;
  to.isUpstreamActive = from.isUpstreamActive;
  to.upstreamStatus = from.upstreamStatus;
  to.localStatus = from.localStatus;
  to.rev = from.rev;
  to.commitCid = from.commitCid;
  to.dataCid = from.dataCid;
}

export type StatusCheck = {
  readonly askedMs: MonoMs;
  readonly askedEpochMs: EpochMs;
  readonly isActive: boolean;
};

export class Account {
  readonly did: string;
  readonly live: RepoState = emptyState();
  readonly durable: RepoState = emptyState();
  /** Log seq of the last event in `durable`. It alone guards the row in PostgreSQL. */
  seq = 0;

  /** What the directory said last, and when it may be asked again. */
  identity: CacheEntry = EMPTY_ENTRY;
  isResolving = false;
  /** What its host said when it was asked whether the account is active after all; null: never. */
  statusCheck: StatusCheck | null = null;
  isCheckingStatus = false;
  /** A timer stands to look it up again. */
  isRetryDue = false;
  /** Budget of #identity events (H152): tokens left, and when they were last counted up. */
  identityTokens = IDENTITY_EVENTS_BURST;
  identityTokensMs = 0;
  /** The same for look-ups because another host than the known one speaks for the account. */
  moveTokens = MOVE_LOOKUPS_BURST;
  moveTokensMs = 0;

  /** Accepted events that are not durable yet. */
  pendingCount = 0;
  /** `durable` or the identity is newer than the row. */
  isDirty = false;
  isIdentityDirty = false;
  /** In the list of what is to be written. */
  isQueued = false;
  /** Writes of it under way. */
  flushCount = 0;
  /** Waiting frames: the account must stay in memory. */
  isHeld = false;
  /** Set by use, cleared by the clock hand of the cache. */
  isRecent = true;

  constructor(did: string) {
    this.did = did;
  }

  isPinned(): boolean {
    const isUnwritten = this.isDirty || this.isQueued || this.flushCount > 0;
    const isAsking = this.isResolving || this.isCheckingStatus;
    return this.pendingCount > 0 || isUnwritten || this.isHeld || isAsking;
  }
}
