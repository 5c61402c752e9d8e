/**
 * An fdatasync that runs while the log writer prepares the next batch, on a thread of its own: not
 * on libuv's, where a slow disk would keep look-ups and reads of others waiting. Used only where
 * there is a backlog: otherwise the hop to the thread would cost more than it brings.
 * The one rule stays: a batch is written only after the one before it is durable.
 * @thread persist
 */
import { extname } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { Worker } from 'node:worker_threads';
import { allocateSyncCell, SyncAsker } from '../shared/sync-cell.ts';
import type { Disk } from './disk.ts';

const ENTRY = new URL(`../../workers/sync${extname(import.meta.url)}`, import.meta.url);

export interface BackgroundSync {
  /** Until then nobody would do what is begun. */
  readonly isReady: boolean;
  /** Begins to make the file durable. One at a time. */
  begin(fd: number): void;
  /** Blocks until that is done; how long the call took, in ms. Throws the system's error. */
  finish(): number;
}

/** The real one. */
export class SyncThread implements BackgroundSync {
  readonly #asker: SyncAsker;

  /** Starts the thread. One that cannot load its code never gets ready, and is never waited for. */
  constructor(entry: URL = ENTRY) {
    const memory = allocateSyncCell();
    this.#asker = new SyncAsker(memory);
    const worker = new Worker(entry, { name: 'relay-sync', workerData: memory });
    // It must not keep alive the process of those who forget to close it.
    worker.unref();
    // The log goes on without it.
    worker.on('error', () => {});
  }

  get isReady(): boolean {
    return this.#asker.isHelped;
  }

  begin(fd: number): void {
    this.#asker.ask(fd);
  }

  finish(): number {
    const { errno, micros } = this.#asker.wait();
    if (errno !== 0) throw new BackgroundSyncError(errno);
    return micros / 1000;
  }

  close(): void {
    this.#asker.end();
  }
}

class BackgroundSyncError extends Error {
  override readonly name = 'BackgroundSyncError';
  readonly code: string;

  constructor(errno: number) {
    const code = getSystemErrorName(errno);
    super(`${code}: fdatasync`);
    this.code = code;
  }
}

/** Syncs at once, where it is asked to: what a disk does that nobody waits for. */
export class InlineSync implements BackgroundSync {
  readonly isReady = true;
  readonly #disk: Disk;
  readonly #monoMs: () => number;
  #fd = -1;

  constructor(disk: Disk, monoMs: () => number) {
    this.#disk = disk;
    this.#monoMs = monoMs;
  }

  begin(fd: number): void {
    this.#fd = fd;
  }

  finish(): number {
    const startMs = this.#monoMs();
    this.#disk.fdatasync(this.#fd);
    return this.#monoMs() - startMs;
  }
}
