/**
 * Both statuses of an account in one byte, which goes with each `#account` event into the log: the
 * frame itself shows consumers the two combined (AC-3), and whoever rebuilds the account from the
 * log needs them apart. Pure. Values are stored: add to the ends, never change one.
 *
 *   bits 0 … 3  the host's word    0: it is what the frame shows    else row n of HOST_WORDS
 *   bits 4 … 7  our own status     0: not told, stays as it was     else row n of OWN_WORDS
 *
 * A host's status that is no row of the table is stored as the row with the same `active` and no
 * status: `active` decides, the status only explains (AC-2). One of our own that is none (a newer
 * relay's) is not told.
 * @thread any
 */

type HostWord = { readonly isActive: boolean; readonly status: string | null };

const HOST_WORDS: readonly HostWord[] = [
  { isActive: true, status: null },
  { isActive: false, status: null },
  { isActive: false, status: 'takendown' },
  { isActive: false, status: 'suspended' },
  { isActive: false, status: 'deleted' },
  { isActive: false, status: 'deactivated' },
  { isActive: false, status: 'desynchronized' },
  { isActive: false, status: 'throttled' },
  { isActive: true, status: 'desynchronized' },
  { isActive: true, status: 'throttled' },
];
const OWN_WORDS: readonly (string | null)[] = [
  null,
  'takendown',
  'suspended',
  'throttled',
  'host-throttled',
];

export type Statuses = {
  readonly localStatus: string | null;
  readonly isUpstreamActive: boolean;
  readonly upstreamStatus: string | null;
};

/** What a code tells; `undefined` where it tells nothing. */
export type ToldStatuses = {
  readonly upstream: HostWord | undefined;
  readonly local: string | null | undefined;
};

/** The byte for an event after which these statuses are in force. */
export function statusCodeOf(statuses: Statuses): number {
  const { localStatus, isUpstreamActive, upstreamStatus } = statuses;
  const own = (OWN_WORDS.indexOf(localStatus) + 1) << 4;
  // Without a status of our own the frame shows the host's, in its own words.
  if (localStatus === null) return own;
  const exact = HOST_WORDS.findIndex(
    ({ isActive, status }) => isActive === isUpstreamActive && status === upstreamStatus,
  );
  return own | (exact >= 0 ? exact + 1 : isUpstreamActive ? 1 : 2);
}

/** Any byte: one of a newer relay tells only what is known here. */
export function readStatusCode(code: number): ToldStatuses {
  const own = code >> 4;
  return {
    upstream: HOST_WORDS[(code & 15) - 1],
    local: own === 0 ? undefined : OWN_WORDS[own - 1],
  };
}
