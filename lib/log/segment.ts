/**
 * The segment that is written to: owns its file descriptor, its durable end and its chain. Created
 * so that file and name are durable before anything in it can be published; appended to at
 * explicit offsets, so that a retried write lands where the failed one began.
 * Does not know when to seal (writer.ts) nor what a batch holds (batch.ts).
 * @thread any
 */
import { join } from 'node:path';
import { assert } from '../base/assert.ts';
import { appendCause, appendFault, isSyncNotBegun, syncFault } from './append-fault.ts';
import type { BackgroundSync } from './background-sync.ts';
import type { Batch } from './batch.ts';
import {
  BatchHeader,
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  type SegmentHeaderFields,
  segmentName,
} from './descriptor.ts';
import { type Disk, unlinkIfThere, writeFully } from './disk.ts';
import { SparseIndex } from './sparse-index.ts';

export type SegmentEnd = {
  readonly byteEnd: number;
  readonly nextSeq: number;
  readonly lastCrc: number;
  /** No records stand last, so bit rot in records cannot pass for a torn tail. */
  readonly isProven: boolean;
};

export class ActiveSegment {
  readonly header: SegmentHeader;
  /** Of its durable batches. */
  readonly index: SparseIndex;
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #pending = new BatchHeader();
  #hasPending = false;
  #isTailDirty = false;
  #byteEnd: number;
  #nextSeq: number;
  #lastCrc: number;
  #isProven: boolean;

  /** `end` is what recovery found to be durable and whole. */
  constructor(
    disk: Disk,
    fd: number,
    header: SegmentHeader,
    end: SegmentEnd,
    index = new SparseIndex(header),
  ) {
    this.index = index;
    this.#disk = disk;
    this.#fd = fd;
    this.header = header;
    this.#byteEnd = end.byteEnd;
    this.#nextSeq = end.nextSeq;
    this.#lastCrc = end.lastCrc;
    this.#isProven = end.isProven;
  }

  /**
   * A new, empty segment whose bytes and name are durable. Throws a retryable `RelayFault` when
   * there is no room or no descriptor for it (nothing is left behind) and a final one when a sync
   * failed.
   */
  static create(disk: Disk, directory: string, fields: SegmentHeaderFields): ActiveSegment {
    const path = join(directory, segmentName(fields.firstSeq));
    const bytes = encodeSegmentHeader(fields);
    const header = decodeSegmentHeader(bytes);
    assert(typeof header !== 'string', 'own segment header does not decode');
    const fd = openNew(disk, path, bytes);
    try {
      disk.fdatasync(fd);
    } catch (error) {
      throw syncFault(error);
    }
    try {
      disk.fsyncDir(directory);
    } catch (error) {
      if (!isSyncNotBegun(error)) throw syncFault(error);
      // Sockets took the last descriptor (G16): the next attempt makes the file anew.
      discard(disk, fd, path);
      throw appendFault(error);
    }
    const { firstSeq: nextSeq } = fields;
    const { crc: lastCrc } = header;
    const end = { byteEnd: SEGMENT_HEADER_BYTES, nextSeq, lastCrc, isProven: true };
    return new ActiveSegment(disk, fd, header, end);
  }

  get firstSeq(): number {
    return this.header.firstSeq;
  }

  /** End of the last durable batch. */
  get byteEnd(): number {
    return this.#byteEnd;
  }

  /** Seq after the last durable record. */
  get nextSeq(): number {
    return this.#nextSeq;
  }

  get lastCrc(): number {
    return this.#lastCrc;
  }

  get isProven(): boolean {
    return this.#isProven;
  }

  get hasRecords(): boolean {
    return this.#nextSeq > this.firstSeq;
  }

  /**
   * Writes the batch behind the last one; `sync` makes it count. Throws a retryable `RelayFault`
   * when the disk did not take all of it: the part it took is cut off again, and the same call may
   * be repeated.
   */
  write(batch: Batch, committedMs: number): void {
    assert(!this.#hasPending, 'the batch before it is not durable');
    this.clearTail();
    const pending = this.#pending;
    pending.prevCrc = this.#lastCrc;
    pending.firstSeq = this.#nextSeq;
    pending.byteOffset = this.#byteEnd;
    pending.committedMs = committedMs;
    const buffers = batch.encode(pending, this.header);
    try {
      writeFully(this.#disk, this.#fd, buffers, this.#byteEnd);
    } catch (error) {
      this.#isTailDirty = true;
      this.#tryClearTail();
      throw appendFault(error);
    }
    this.#hasPending = true;
  }

  /** Begins to make durable what `write` wrote; it does not count before `finishSync`. */
  beginSync(sync: BackgroundSync): void {
    assert(this.#hasPending, 'nothing was written');
    sync.begin(this.#fd);
  }

  /**
   * Waits until it is durable; how long the disk took, in ms. Throws a final `RelayFault`: then
   * nothing may follow.
   */
  finishSync(sync: BackgroundSync): number {
    assert(this.#hasPending, 'nothing was written');
    this.#hasPending = false;
    let tookMs: number;
    try {
      tookMs = sync.finish();
    } catch (error) {
      throw syncFault(error);
    }
    const pending = this.#pending;
    this.#byteEnd = pending.byteEnd;
    this.#nextSeq = pending.nextSeq;
    this.#lastCrc = pending.crc;
    this.#isProven = pending.count === 0;
    this.index.note(pending);
    return tookMs;
  }

  /**
   * Cuts off what a failed write left behind, durably: stale bytes behind a later, shorter batch
   * would be taken for proof that this one was published.
   */
  clearTail(): void {
    if (!this.#isTailDirty) return;
    try {
      if (this.#disk.fileBytes(this.#fd) > this.#byteEnd) {
        this.#disk.ftruncate(this.#fd, this.#byteEnd);
      }
    } catch (error) {
      throw appendFault(error);
    }
    try {
      this.#disk.fdatasync(this.#fd);
    } catch (error) {
      throw syncFault(error);
    }
    this.#isTailDirty = false;
  }

  /** All that counts is durable: what the system says to the close changes nothing. */
  close(): void {
    tryClose(this.#disk, this.#fd);
  }

  /** A disk that cannot even truncate now is asked again before the next write. */
  #tryClearTail(): void {
    try {
      this.clearTail();
    } catch (error) {
      if (appendCause(error) === undefined || isFinal(error)) throw error;
    }
  }
}

function isFinal(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'isRetryable' in error && !error.isRetryable
  );
}

/** A file with this header and nothing else, not yet durable. */
function openNew(disk: Disk, path: string, header: Buffer): number {
  let fd = -1;
  try {
    // Left behind by an attempt that failed half-way; nothing in it was ever published.
    const leftover = disk.stat(path);
    assert((leftover?.bytes ?? 0) <= SEGMENT_HEADER_BYTES, `${path} exists already`);
    if (leftover !== undefined) disk.unlink(path);
    fd = disk.open(path, 'create');
    writeFully(disk, fd, [header], 0);
    return fd;
  } catch (error) {
    if (fd >= 0) discard(disk, fd, path);
    throw appendFault(error);
  }
}

function discard(disk: Disk, fd: number, path: string): void {
  tryClose(disk, fd);
  tryUnlink(disk, path);
}

function tryClose(disk: Disk, fd: number): void {
  try {
    disk.close(fd);
  } catch {
    // The descriptor is gone all the same.
  }
}

function tryUnlink(disk: Disk, path: string): void {
  try {
    unlinkIfThere(disk, path);
  } catch {
    // The next attempt finds it and removes it first.
  }
}
