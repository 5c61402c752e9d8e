/**
 * The writing end of the log: the active segment, the sealed ones behind it, and when one becomes
 * the other: by size and by age, so that a quiet relay's log can be retired too (A3). The age
 * counts from the header, across restarts, and is never above the replay window; so no checkpoint
 * need seal (G7): what a checkpoint lets go is sealed by the time it is due.
 * Does not know rings, commit cells or retention rules.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { type BackgroundSync, InlineSync } from './background-sync.ts';
import type { Batch } from './batch.ts';
import { BATCH_HEADER_BYTES, RECORD_BYTES } from './descriptor.ts';
import type { Disk } from './disk.ts';
import { ActiveSegment } from './segment.ts';
import { leaveSidecar } from './sidecar.ts';

/** What is known of a sealed segment without opening it. */
export type SealedSegment = {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly bytes: number;
  /** Wall-clock time of its newest record, or a little later. */
  readonly newestMs: number;
};

export type LogWriterOptions = {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly segmentBytesMax: number;
  readonly segmentAgeMsMax: number;
  /** 16 bytes that nobody outside can guess. */
  readonly makeSalt: () => Buffer;
  /** Syncs beside this thread, where there is a backlog. Without it every sync blocks. */
  readonly background?: BackgroundSync | undefined;
};

export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #inline: BackgroundSync;
  /** The one that the sync under way was begun with. */
  #syncing: BackgroundSync | undefined;
  readonly #sealed: SealedSegment[];
  #active: ActiveSegment;
  /** Monotonic time at which the active segment was young. */
  #bornMonoMs: number;
  #newestMs: number;

  constructor(
    options: LogWriterOptions,
    active: ActiveSegment,
    sealed: readonly SealedSegment[],
    newestMs: number,
  ) {
    this.#options = options;
    this.#inline = new InlineSync(options.disk, () => options.clock.monoMs());
    this.#active = active;
    this.#sealed = [...sealed];
    this.#newestMs = newestMs;
    const { clock, segmentAgeMsMax } = options;
    const ageMs = clock.epochMs() - active.header.createdMs;
    this.#bornMonoMs = clock.monoMs() - Math.min(Math.max(ageMs, 0), segmentAgeMsMax);
  }

  /** First seq of the active segment. */
  get segmentFirstSeq(): number {
    return this.#active.firstSeq;
  }

  /** Durable bytes of the active segment. */
  get byteEnd(): number {
    return this.#active.byteEnd;
  }

  /** Seq of the next record. */
  get nextSeq(): number {
    return this.#active.nextSeq;
  }

  /** Whether an empty batch, or a new segment, stands behind the last records. */
  get isProven(): boolean {
    return this.#active.isProven;
  }

  /** First seq that is still in the log, or `nextSeq` where it is empty. */
  get oldestSeq(): number {
    return this.#sealed[0]?.firstSeq ?? this.#active.firstSeq;
  }

  /** Sealed segments, oldest first. */
  get sealed(): readonly SealedSegment[] {
    return this.#sealed;
  }

  /** Bytes of all segments. */
  get retainedBytes(): number {
    return this.#sealed.reduce((sum, segment) => sum + segment.bytes, this.byteEnd);
  }

  /**
   * Writes the batch, into a new segment where one is due; a sync makes it durable. Throws a
   * retryable `RelayFault` when the disk took nothing: the same call may be repeated.
   */
  write(batch: Batch): void {
    const batchBytes = BATCH_HEADER_BYTES + batch.count * RECORD_BYTES + batch.framesBytes;
    this.#sealIfDue(batchBytes);
    const epochMs = this.#options.clock.epochMs();
    this.#active.write(batch, epochMs);
    if (batch.count > 0) this.#newestMs = epochMs;
  }

  /** Whether a sync can run beside this thread. */
  get hasBackground(): boolean {
    return this.#options.background?.isReady === true;
  }

  /** Begins to make durable what `write` wrote, beside this thread where that is wanted. */
  beginSync(isBeside: boolean): void {
    const { background } = this.#options;
    this.#syncing = isBeside && background !== undefined ? background : this.#inline;
    this.#active.beginSync(this.#syncing);
  }

  /**
   * Blocks until what was written is durable; how long the disk took, in ms. Throws a final
   * `RelayFault`: then nothing may follow.
   */
  finishSync(): number {
    assert(this.#syncing !== undefined, 'no sync was begun');
    const sync = this.#syncing;
    this.#syncing = undefined;
    return this.#active.finishSync(sync);
  }

  /** Does for `batch` what can be done before the one in front of it is durable. */
  prepare(batch: Batch): void {
    batch.check(this.#active.header);
  }

  /** Starts a new segment if the active one is full or old; true if it did. */
  sealIfDue(): boolean {
    return this.#sealIfDue(0);
  }

  /** Forgets the oldest sealed segments: no reader starts in them any more. */
  dropOldest(count: number): void {
    assert(count <= this.#sealed.length, 'only sealed segments can be dropped');
    this.#sealed.splice(0, count);
  }

  close(): void {
    this.#active.close();
  }

  #sealIfDue(moreBytes: number): boolean {
    const { segmentBytesMax, segmentAgeMsMax, clock } = this.#options;
    // Without a record the next segment would have the same name.
    if (!this.#active.hasRecords) return false;
    const isFull = this.byteEnd + moreBytes > segmentBytesMax;
    const isOld = clock.monoMs() - this.#bornMonoMs >= segmentAgeMsMax;
    if (!isFull && !isOld) return false;
    this.#seal();
    return true;
  }

  #seal(): void {
    const { disk, directory, clock, makeSalt } = this.#options;
    const old = this.#active;
    old.clearTail();
    const { firstSeq, nextSeq, lastCrc, byteEnd } = old;
    this.#active = ActiveSegment.create(disk, directory, {
      salt: makeSalt(),
      firstSeq: nextSeq,
      prevLastSeq: nextSeq - 1,
      createdMs: clock.epochMs(),
      prevCrc: lastCrc,
    });
    this.#bornMonoMs = clock.monoMs();
    const newestMs = this.#newestMs;
    this.#sealed.push({ firstSeq, lastSeq: nextSeq - 1, bytes: byteEnd, newestMs });
    old.close();
    leaveSidecar(disk, directory, old.header, old.index.content);
  }
}
