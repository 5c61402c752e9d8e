/**
 * What the network is told about an account, from what its host says and what was decided here
 * (spec 1.14). Pure. `isActive` decides whether content is passed on; `status` only explains.
 *
 *   own status        told as active          told status
 *   none              as the host says        as the host says
 *   throttled         as the host says        throttled
 *   any other         no                      the own one (host-throttled: throttled)
 *
 * So an account that is inactive at its host is inactive here, whatever was decided here (AC-4).
 * @thread any
 */

/** Statuses of ours. The column is open text: a newer relay may have stored another. */
export type LocalStatus = 'takendown' | 'suspended' | 'throttled' | 'host-throttled';

export type AccountStatus = {
  readonly isActive: boolean;
  /** For the `status` field; null = leave it out. Any text: the set is open (AC-2). */
  readonly status: string | null;
};

/** Combines the two (AC-3, AC-4). A host that gives no reason gives none here either (AC-13). */
export function effectiveStatus(account: {
  readonly localStatus: string | null;
  readonly isUpstreamActive: boolean;
  readonly upstreamStatus: string | null;
}): AccountStatus {
  const { localStatus, isUpstreamActive, upstreamStatus } = account;
  if (localStatus === null) return { isActive: isUpstreamActive, status: upstreamStatus };
  return {
    isActive: isUpstreamActive && isLocallyActive(localStatus),
    // The host's own limit is our business; the network knows the lexicon's word for it.
    status: localStatus === 'host-throttled' ? 'throttled' : localStatus,
  };
}

/** Whether our own decision lets content through; what we do not know does not. */
export function isLocallyActive(localStatus: string | null): boolean {
  return localStatus === null || localStatus === 'throttled';
}
