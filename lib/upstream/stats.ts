/**
 * What the admin interface and /explain show of one host's subscription. Shape only.
 * @thread main
 */
import type { HostStatus } from '../hosts/host.ts';
import type { QuotaUsage } from '../hosts/quota.ts';
import type { HostReject } from './intake.ts';
import type { PauseReason, SubscriptionState } from './subscription.ts';

/** What a host's frames cost verify threads, and what they brought. */
export type HostUsage = {
  /** Verification time, in milliseconds on one thread. */
  readonly verifyMs: number;
  /** Commits passed on that did not chain (CH-4). */
  readonly discontinuousCount: number;
  /** Commits passed on that only its lenience let through (A12). */
  readonly waivedCount: number;
};

/** Times are wall clock in milliseconds, null where it never happened or does not apply. */
export type HostStats = {
  readonly hostId: number;
  readonly hostname: string;
  readonly state: SubscriptionState;
  readonly status: HostStatus;
  readonly pauseReason: PauseReason | null;
  /** Last routed host seq, or the stored cursor. */
  readonly lastSeq: number | null;
  readonly framesReceived: number;
  readonly bytesReceived: number;
  readonly framesRouted: number;
  readonly framesParked: number;
  readonly bytesParked: number;
  readonly bytesUnfinished: number;
  /** Strikes that still count. */
  readonly strikes: number;
  /** Failures in a row, by which the back-off grows. */
  readonly failures: number;
  readonly connects: number;
  readonly connectedSinceMs: number | null;
  readonly lastFrameMs: number | null;
  /** Time until the next attempt, null while there is a connection or an attempt. */
  readonly nextRetryInMs: number | null;
  readonly lastError: {
    readonly cause: string;
    readonly detail: string;
    readonly atMs: number;
  } | null;
  /** Oldest first, a few only. */
  readonly lastRejects: readonly HostReject[];
  readonly limits: readonly QuotaUsage[];
  /** Read at a tenth of its rates for its discontinuous commits. */
  readonly isSlowed: boolean;
  readonly isLenient: boolean;
  /** It has all the accounts that it may have. */
  readonly isFull: boolean;
  /** Since the host was added. */
  readonly usage: HostUsage;
};
