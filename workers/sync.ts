/**
 * The thread that waits for the disk while the log writer prepares its next batch: fdatasync of the
 * file it is given, nothing else. Reads and writes: its sync cell. Started and ended by `persist`.
 * @role persist
 */
import { fdatasyncSync } from 'node:fs';
import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';
import { workerData } from 'node:worker_threads';
import type { SharedMemory } from '../lib/shared/memory.ts';
import { SyncAnswerer } from '../lib/shared/sync-cell.ts';

/** Any error that has no number counts as a failed sync too. */
const ERRNO_UNKNOWN = -constants.errno.EIO;

function sync(fd: number): number {
  try {
    fdatasyncSync(fd);
    return 0;
  } catch (error) {
    const errno = error instanceof Error && 'errno' in error ? error.errno : undefined;
    return typeof errno === 'number' && errno < 0 ? errno : ERRNO_UNKNOWN;
  }
}

const cell = new SyncAnswerer(workerData as SharedMemory);
for (let fd = cell.next(); fd !== undefined; fd = cell.next()) {
  const startMs = performance.now();
  const errno = sync(fd);
  cell.answer(errno, Math.round((performance.now() - startMs) * 1000));
}
