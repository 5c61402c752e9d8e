/**
 * The reading end of the log, for any thread with an event loop: finds the place of a cursor and
 * hands out checked frames from there, a bounded piece at a time, never beyond what is durable.
 * A position is plain data: whoever reads keeps it, many readers may stand at the same one.
 * Does not know consumers, the tail ring or who may see what (a filter decides).
 * @thread any
 */
import { assert } from '../base/assert.ts';
import {
  type Gathered,
  gatherFrames,
  type RecordFilter,
  type Span,
  type Taken,
  takeBatches,
} from './chunk.ts';
import {
  type BatchHeader,
  READ_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from './descriptor.ts';
import type { LogFiles } from './files.ts';
import { type Damage, HOP_AHEAD_BYTES, type Hop, hopTo, runScanAsync } from './scan.ts';
import {
  type KeepFile,
  type LogView,
  type OpenSegment,
  SegmentFiles,
  unknownFormat,
} from './segment-files.ts';
import { segmentIndexOf } from './segments.ts';

export type LogReaderOptions = {
  readonly directory: string;
  readonly files: LogFiles;
  /** The current commit view; read at the start of every step. */
  readonly view: () => LogView;
  /** First seq that retention has left in the log. */
  readonly oldestSeq: () => number;
  readonly openSegmentCountMax?: number;
  /** Given where missing sidecars are to be written; one reader of the process does that. */
  readonly keepSidecar?: KeepFile;
};

/** A place in the log: `byteOffset` is the start of the batch that holds `nextSeq`. */
export type LogPosition = {
  readonly segmentFirstSeq: number;
  readonly byteOffset: number;
  /** The smallest seq still wanted. */
  readonly nextSeq: number;
};

export type LogChunk = {
  readonly kind: 'chunk';
  /** Whole websocket frames, one behind the other; may be empty. Not shared with anybody. */
  readonly bytes: Buffer;
  readonly frameCount: number;
  /** Highest seq that this chunk accounts for, hidden records included. */
  readonly lastSeq: number;
  readonly next: LogPosition;
};

/** Records that cannot be read (G24): a consumer that needs them gets an error. */
export type LogDamage = {
  readonly kind: 'damaged';
  readonly segmentFirstSeq: number;
  readonly damage: Damage;
  /** Behind the damage, for those who may go on. */
  readonly resume: LogPosition;
};

export type ReadResult =
  | LogChunk
  | LogDamage
  /** Everything durable has been read. */
  | { readonly kind: 'end' }
  /** Retention has removed what is wanted (G7). */
  | { readonly kind: 'removed' };

/** Checked batches with their tables, as the record iterator needs them. */
export type RawChunk = {
  readonly kind: 'raw';
  readonly piece: Buffer;
  readonly spans: readonly Span[];
  readonly next: LogPosition;
};
export type RawResult = RawChunk | Exclude<ReadResult, LogChunk>;

const OPEN_SEGMENTS_DEFAULT = 64;

export class LogReader {
  readonly #options: LogReaderOptions;
  readonly #segments: SegmentFiles;

  constructor(options: LogReaderOptions) {
    this.#options = options;
    const { directory, files, openSegmentCountMax, keepSidecar } = options;
    const openCountMax = openSegmentCountMax ?? OPEN_SEGMENTS_DEFAULT;
    this.#segments = new SegmentFiles({ directory, files, openCountMax, keepSidecar });
  }

  /**
   * The place of the first record with a seq above `cursor`, or of the oldest one where that is
   * gone. A cursor at or beyond the head gives the end of the log. `undefined` when the place was
   * removed meanwhile: ask again.
   */
  async locate(cursor: number): Promise<LogPosition | undefined> {
    const view = this.#view();
    const nextSeq = Math.max(cursor + 1, this.#options.oldestSeq());
    if (nextSeq > view.lastSeq) {
      return { segmentFirstSeq: view.segmentFirstSeq, byteOffset: view.byteEnd, nextSeq };
    }
    const firstSeqs = await this.#segments.list(view);
    const at = Math.max(segmentIndexOf(firstSeqs, nextSeq), 0);
    const segmentFirstSeq = firstSeqs[at];
    if (segmentFirstSeq === undefined) return undefined;
    if (segmentFirstSeq >= nextSeq) return startOf(segmentFirstSeq, segmentFirstSeq);
    return this.#segments.use(segmentFirstSeq, async (segment) => {
      if (segment.header === 'bad') return startOf(segmentFirstSeq, nextSeq);
      const byteEnd = await segment.byteEnd(view);
      await this.#segments.loadIndex(segment, view);
      const hop = await hopWithin(segment, segment.header, nextSeq, byteEnd, view);
      return { segmentFirstSeq, byteOffset: byteOffsetOf(hop, byteEnd), nextSeq };
    });
  }

  /**
   * The next frames from `position` on: whole batches up to `bytesMax`, or one larger batch. Throws
   * a retryable `RelayFault` when the disk cannot be read, and a final one for an unknown format.
   */
  async read(
    position: LogPosition,
    options: { readonly bytesMax?: number; readonly isHidden?: RecordFilter | undefined } = {},
  ): Promise<ReadResult> {
    const raw = await this.readRaw(position, options.bytesMax);
    if (raw.kind !== 'raw') return raw;
    const { piece, spans, next } = raw;
    const gathered: Gathered = gatherFrames(piece, spans, position.nextSeq, options.isHidden);
    const { start, end, frameCount } = gathered;
    const bytes = piece.subarray(start, end);
    return { kind: 'chunk', bytes, frameCount, lastSeq: next.nextSeq - 1, next };
  }

  /** As `read`, with record tables, in the segment's own layout. */
  async readRaw(position: LogPosition, bytesMax = READ_BYTES): Promise<RawResult> {
    let from = position;
    for (;;) {
      const view = this.#view();
      if (from.nextSeq > view.lastSeq) return { kind: 'end' };
      const at = from;
      const step = await this.#segments.use(at.segmentFirstSeq, (segment) =>
        this.#step(segment, at, view, bytesMax),
      );
      if (step === undefined) {
        // Nothing is lost for a reader that had finished the segment before it was removed.
        const relocated = await this.#relocate(at);
        if (relocated === undefined) return { kind: 'removed' };
        from = relocated;
      } else if ('kind' in step) {
        if (step.kind !== 'raw' || step.spans.length > 0) return step;
        from = step.next;
      } else {
        from = step;
      }
    }
  }

  /** Takes segments below `oldestSeq` out of use; resolves when nobody reads in them. */
  retire(oldestSeq: number): Promise<void> {
    return this.#segments.retire(oldestSeq);
  }

  close(): Promise<void> {
    return this.#segments.close();
  }

  /** The owner may give the same object again and again; a step needs one that stands still. */
  #view(): LogView {
    const { segmentFirstSeq, byteEnd, lastSeq } = this.#options.view();
    return { segmentFirstSeq, byteEnd, lastSeq };
  }

  async #relocate(position: LogPosition): Promise<LogPosition | undefined> {
    if (position.nextSeq < this.#options.oldestSeq()) return undefined;
    const found = await this.locate(position.nextSeq - 1);
    const isSame = found?.segmentFirstSeq === position.segmentFirstSeq;
    return isSame ? undefined : found;
  }

  /** One piece of one segment, or the position to go on from. */
  async #step(
    segment: OpenSegment,
    from: LogPosition,
    view: LogView,
    bytesMax: number,
  ): Promise<RawResult | LogPosition> {
    const byteEnd = await segment.byteEnd(view);
    const { header } = segment;
    if (header === 'bad' || from.byteOffset >= byteEnd) {
      return this.#cross(segment, from, view, byteEnd);
    }
    const { piece, taken } = await readPiece(segment, header, from, byteEnd, bytesMax);
    if (taken.stop.kind === 'unknown') throw unknownFormat(segment.firstSeq);
    if (taken.spans.length > 0) {
      const { byteEnd: byteOffset, nextSeq, spans } = taken;
      const next = { segmentFirstSeq: segment.firstSeq, byteOffset, nextSeq };
      return { kind: 'raw', piece, spans, next };
    }
    if (taken.stop.kind === 'body') {
      const { damage } = taken.stop;
      const nextSeq = Math.max(damage.lastSeq + 1, from.nextSeq);
      const resume = { ...from, byteOffset: damage.byteEnd, nextSeq };
      // Rot in an empty batch, or in records that this reader has had already, costs nothing.
      if (damage.lastSeq < from.nextSeq) return resume;
      return { kind: 'damaged', segmentFirstSeq: segment.firstSeq, damage, resume };
    }
    return this.#passBadHeader(segment, header, from, view, byteEnd);
  }

  /** No header where one should be: looks for the next batch that can be trusted. */
  async #passBadHeader(
    segment: OpenSegment,
    header: SegmentHeader,
    from: LogPosition,
    view: LogView,
    byteEnd: number,
  ): Promise<RawResult | LogPosition> {
    const hop = await hopWithin(segment, header, from.nextSeq, byteEnd, view);
    const isElsewhere = hop.kind === 'found' && hop.byteOffset !== from.byteOffset;
    if (isElsewhere) return { ...from, byteOffset: hop.byteOffset };
    // The next segment tells whether there was anything else in this one.
    if (hop.kind !== 'lost' || hop.resume === undefined) {
      return this.#cross(segment, from, view, byteEnd);
    }
    const { damage, resume } = hop;
    const segmentFirstSeq = segment.firstSeq;
    const behind = { byteOffset: resume.byteOffset, nextSeq: resume.firstSeq };
    return { kind: 'damaged', segmentFirstSeq, damage, resume: { segmentFirstSeq, ...behind } };
  }

  /** From the end of a segment to the start of the next one, if that continues it. */
  async #cross(
    segment: OpenSegment,
    from: LogPosition,
    view: LogView,
    byteEnd: number,
  ): Promise<RawResult | LogPosition> {
    const segmentFirstSeq = segment.firstSeq;
    const afterFirstSeq = await this.#segments.after(segmentFirstSeq, view);
    const damagedUpTo = (lastSeq: number, resume: LogPosition): LogDamage => {
      const byteOffset = segment.header === 'bad' ? 0 : from.byteOffset;
      const damage = { firstSeq: from.nextSeq, lastSeq, byteOffset, byteEnd };
      return { kind: 'damaged', segmentFirstSeq, damage, resume };
    };
    if (afterFirstSeq === undefined) {
      // The view promises records that the active segment does not have.
      return damagedUpTo(view.lastSeq, { ...from, byteOffset: byteEnd, nextSeq: view.lastSeq + 1 });
    }
    const prevLastSeq = await this.#segments.use(afterFirstSeq, async ({ header }) =>
      header === 'bad' ? afterFirstSeq - 1 : header.prevLastSeq,
    );
    if (prevLastSeq === undefined) return { kind: 'removed' };
    const next = startOf(afterFirstSeq, Math.max(from.nextSeq, afterFirstSeq));
    return from.nextSeq <= prevLastSeq ? damagedUpTo(prevLastSeq, next) : next;
  }
}

function startOf(segmentFirstSeq: number, nextSeq: number): LogPosition {
  return { segmentFirstSeq, byteOffset: SEGMENT_HEADER_BYTES, nextSeq };
}

function byteOffsetOf(hop: Hop, byteEnd: number): number {
  if (hop.kind === 'found') return hop.byteOffset;
  return hop.kind === 'end' ? byteEnd : hop.damage.byteOffset;
}

/** Hops from what the index knows to the batch that holds `seq`. */
async function hopWithin(
  segment: OpenSegment,
  header: SegmentHeader,
  seq: number,
  byteEnd: number,
  view: LogView,
): Promise<Hop> {
  const hop = await hopFromIndex(segment, header, seq, byteEnd, view);
  // Whatever a sidecar says, what can be read is read.
  if (hop.kind !== 'lost' || !segment.isIndexRead) return hop;
  segment.distrustIndex();
  return await hopFromIndex(segment, header, seq, byteEnd, view);
}

function hopFromIndex(
  segment: OpenSegment,
  header: SegmentHeader,
  seq: number,
  byteEnd: number,
  view: LogView,
): Promise<Hop> {
  const { index, file, firstSeq } = segment;
  assert(index !== undefined, 'a segment with a header has an index');
  const laters = firstSeq === view.segmentFirstSeq ? undefined : segment.laters;
  const onHop = (batch: BatchHeader): void => index.note(batch);
  const options = { onHop, laters, isDoubted: segment.isIndexRead };
  const scan = hopTo(header, index.placeOf(seq), seq, byteEnd, options);
  return runScanAsync(scan, byteEnd, HOP_AHEAD_BYTES, (target, byteOffset) =>
    file.read(target, byteOffset),
  );
}

/** Reads up to `bytesMax`, or one whole batch where that is longer. */
async function readPiece(
  segment: OpenSegment,
  header: SegmentHeader,
  from: LogPosition,
  byteEnd: number,
  bytesMax: number,
): Promise<{ piece: Buffer; taken: Taken }> {
  const note = (batch: BatchHeader): void => segment.index?.note(batch);
  const available = byteEnd - from.byteOffset;
  let bytes = Math.min(bytesMax, available);
  for (;;) {
    const target = Buffer.allocUnsafeSlow(bytes);
    const got = await segment.file.read(target, from.byteOffset);
    const piece = target.subarray(0, got);
    const taken = takeBatches(piece, from.byteOffset, from.nextSeq, header, note);
    const { stop, spans } = taken;
    if (stop.kind !== 'cut' || spans.length > 0) return { piece, taken };
    const wanted = stop.byteEnd - from.byteOffset;
    // A batch that goes beyond the end of the file was cut off by somebody: no header to trust.
    if (wanted > available || got < bytes) {
      return { piece, taken: { ...taken, stop: { kind: 'header' } } };
    }
    bytes = wanted;
  }
}
