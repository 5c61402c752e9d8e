/**
 * Which errors of the file system a running log survives. A write that found no room is undone and
 * tried again (G16); a failed sync is final, because the kernel may have dropped the pages and
 * marked them clean (G15).
 * @thread any
 */
import { errorCode, errorText, RelayFault } from '../base/fault.ts';

/** The number of a cause in the word `pauseCause` is its place here, from 1. */
export const APPEND_CAUSES = ['no_space', 'quota', 'read_only', 'files', 'other'] as const;
export type AppendCause = (typeof APPEND_CAUSES)[number];

export function pauseCauseNo(cause: AppendCause | undefined): number {
  return cause === undefined ? 0 : APPEND_CAUSES.indexOf(cause) + 1;
}

/** '' for 0: not paused. */
export function pauseCauseName(causeNo: number): string {
  return APPEND_CAUSES[causeNo - 1] ?? '';
}

/** Whether it is room that is missing: then something can be given back. */
export function isRoomCause(causeNo: number): boolean {
  const cause = APPEND_CAUSES[causeNo - 1];
  return cause === 'no_space' || cause === 'quota';
}

/** Errors of open, write, truncate and unlink that can go away by themselves. */
const CAUSES = new Map<string, AppendCause>([
  ['ENOSPC', 'no_space'],
  // `ulimit -f`: the process may not make a file that large.
  ['EFBIG', 'no_space'],
  ['EDQUOT', 'quota'],
  ['EROFS', 'read_only'],
  ['EMFILE', 'files'],
  ['ENFILE', 'files'],
  ['EIO', 'other'],
  ['ENOMEM', 'other'],
  ['EAGAIN', 'other'],
  ['EINTR', 'other'],
]);

/** The cause of a fault that can be retried, or undefined where the error is none of these. */
export function appendCause(error: unknown): AppendCause | undefined {
  const origin = error instanceof RelayFault ? error.cause : error;
  return CAUSES.get(errorCode(origin));
}

/**
 * Whether a directory could not even be opened to be synced, for want of a descriptor (no sync
 * gives these errors): what it was to make durable is as it was, and may be tried again.
 */
export function isSyncNotBegun(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'EMFILE' || code === 'ENFILE';
}

/** Nothing was appended; the same call may succeed later. Other errors are returned as they are. */
export function appendFault(error: unknown): unknown {
  if (error instanceof RelayFault || appendCause(error) === undefined) return error;
  const message = `log append failed: ${errorText(error)}`;
  return new RelayFault('log_append_failed', message, { isRetryable: true, cause: error });
}

/** The disk is as good as full: what is left of it is for the database (lib/log/ballast.ts). */
export function heldFault(): RelayFault {
  const cause = Object.assign(new Error('room is kept for the database'), { code: 'ENOSPC' });
  return new RelayFault('log_append_failed', cause.message, { isRetryable: true, cause });
}

/** What has been written may or may not be on disk: nothing may be published any more. */
export function syncFault(error: unknown): RelayFault {
  const message = `log sync failed: ${errorText(error)}`;
  return new RelayFault('log_sync_failed', message, { isRetryable: false, cause: error });
}
