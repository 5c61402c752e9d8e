/**
 * One writer per log: an exclusive flock on a file beside the segments, held as long as this
 * process lives, gone with it however it ends (G23). Node has no flock; the lock belongs to the
 * open file, so flock(1) takes it on a descriptor that it inherits and that we keep.
 * Call it before anything in the directory is opened.
 * @thread main
 */
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, errorText, RelayFault } from '../base/fault.ts';
import { SECOND_MS } from '../base/units.ts';

/** Exit code of a process that found the lock taken (EX_TEMPFAIL). */
export const LOCKED_EXIT_CODE = 75;
export const LOCK_NAME = 'LOCK';

const FD_IN_CHILD = 3;
/** What flock(1) answers when somebody else holds the lock. */
const HELD_BY_OTHER = 1;
const HOLDER_BYTES_MAX = 32;

export type LogLock = { release(): void };

export type LogLockOptions = {
  /** Program to run; `flock` of util-linux or busybox. */
  readonly flockPath?: string;
  readonly processId: number;
};

/**
 * Throws a `RelayFault`: `log_locked` when another process writes this log, `flock_missing` when
 * there is no flock(1), `flock_failed` where the file system refuses locks.
 */
export function lockLog(directory: string, options: LogLockOptions): LogLock {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, LOCK_NAME);
  // Node opens with O_CLOEXEC: children started later do not keep our lock alive.
  const fd = openSync(path, 'a+', 0o600);
  const { status, error, stderr } = spawnSync(
    options.flockPath ?? 'flock',
    ['-n', String(FD_IN_CHILD)],
    { stdio: ['ignore', 'ignore', 'pipe', fd], timeout: 10 * SECOND_MS },
  );
  if (status === 0) {
    ftruncateSync(fd, 0);
    writeSync(fd, `${options.processId}\n`);
    return { release: () => closeSync(fd) };
  }
  const holder = readHolder(fd);
  closeSync(fd);
  if (status === HELD_BY_OTHER) {
    const message = `${path} is held by process ${holder}: another relay uses this log`;
    throw new RelayFault('log_locked', message, { isRetryable: false });
  }
  if (errorCode(error) === 'ENOENT') {
    const message = 'flock(1) is missing: install util-linux (or busybox)';
    throw new RelayFault('flock_missing', message, { isRetryable: false, cause: error });
  }
  const why = error === undefined ? String(stderr ?? '').trim() : errorText(error);
  throw new RelayFault('flock_failed', `${path}: ${why}`, { isRetryable: false, cause: error });
}

function readHolder(fd: number): string {
  const bytes = Buffer.alloc(HOLDER_BYTES_MAX);
  const text = bytes.toString('latin1', 0, readSync(fd, bytes, 0, HOLDER_BYTES_MAX, 0)).trim();
  return /^\d+$/.test(text) ? text : 'unknown';
}
