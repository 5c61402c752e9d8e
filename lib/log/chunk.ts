/**
 * From raw bytes of a segment to frames that can be sent: takes the whole batches at the front of
 * a piece, checks every CRC, and closes the gaps between their frames in place. Pure.
 * @thread any
 */
import {
  BATCH_HEADER_BYTES,
  BatchHeader,
  bodyCrc,
  frameBytesAt,
  RECORD_BYTES,
  readBatchHeader,
  type SegmentHeader,
  tableVerdict,
} from './descriptor.ts';
import type { Damage } from './scan.ts';

/** One checked batch within a piece; offsets count from the start of the piece. */
export type Span = {
  readonly rowsAt: number;
  readonly framesAt: number;
  readonly end: number;
  readonly firstSeq: number;
  readonly count: number;
};

export type Taken = {
  readonly spans: readonly Span[];
  /** File offset behind the last whole batch. */
  readonly byteEnd: number;
  /** Seq behind the last whole batch. */
  readonly nextSeq: number;
  /** Why there are no more: */
  readonly stop:
    | { readonly kind: 'end' }
    /** The next batch is only partly here; it ends at `byteEnd`. */
    | { readonly kind: 'cut'; readonly byteEnd: number }
    /** No valid header where the next batch should be. */
    | { readonly kind: 'header' }
    /** A valid header, but its records cannot be read. */
    | { readonly kind: 'body'; readonly damage: Damage }
    /** Written by a version we do not know (G27). */
    | { readonly kind: 'unknown' };
};

/**
 * Takes whole batches from `piece`, which holds the segment from `byteOffset` on and where the
 * record `nextSeq` is in the first batch. Nothing is returned that was not checked (G24).
 */
export function takeBatches(
  piece: Buffer,
  byteOffset: number,
  nextSeq: number,
  segment: SegmentHeader,
  onBatch: (header: BatchHeader) => void,
): Taken {
  const spans: Span[] = [];
  const header = new BatchHeader();
  let at = 0;
  let seq: number | undefined;
  let crc: number | undefined;
  const taken = (stop: Taken['stop']): Taken => {
    return { spans, byteEnd: byteOffset + at, nextSeq: Math.max(nextSeq, seq ?? 0), stop };
  };
  while (at < piece.length) {
    const fileAt = byteOffset + at;
    if (at + BATCH_HEADER_BYTES > piece.length) {
      return taken({ kind: 'cut', byteEnd: fileAt + BATCH_HEADER_BYTES });
    }
    const verdict = readBatchHeader(piece, at, fileAt, segment, header);
    if (verdict === 'version') return taken({ kind: 'unknown' });
    const isNext = seq === undefined ? header.firstSeq <= nextSeq : header.firstSeq === seq;
    const isLinked = crc === undefined || header.prevCrc === crc;
    if (verdict === 'bad' || !isNext || !isLinked) return taken({ kind: 'header' });
    const end = header.byteEnd - byteOffset;
    if (end > piece.length) return taken({ kind: 'cut', byteEnd: header.byteEnd });
    const rowsAt = at + BATCH_HEADER_BYTES;
    const { firstSeq, count, bodyBytes } = header;
    const isWhole = bodyCrc(piece, rowsAt, end, segment) === header.bodyCrc;
    const table = isWhole ? tableVerdict(piece, rowsAt, count, bodyBytes) : 'bad';
    if (table === 'kind') return taken({ kind: 'unknown' });
    if (table === 'bad') {
      const lastSeq = header.nextSeq - 1;
      const damage = { firstSeq, lastSeq, byteOffset: fileAt, byteEnd: header.byteEnd };
      return taken({ kind: 'body', damage });
    }
    onBatch(header);
    spans.push({ rowsAt, framesAt: rowsAt + count * RECORD_BYTES, end, firstSeq, count });
    at = end;
    seq = header.nextSeq;
    crc = header.crc;
  }
  return taken({ kind: 'end' });
}

/** Whether a record must not be sent (a takedown, G28); the frame's DID decides, not the hash. */
export type RecordFilter = (
  kind: number,
  didHashLo: number,
  didHashHi: number,
  bytes: Buffer,
  frameStart: number,
  frameEnd: number,
) => boolean;

export type Gathered = {
  /** Within the piece: whole websocket frames, one behind the other. */
  readonly start: number;
  readonly end: number;
  readonly frameCount: number;
};

/**
 * Moves the frames with seq ≥ `fromSeq` together, in place: their rows are gone afterwards.
 * `isHidden` leaves out single records.
 */
export function gatherFrames(
  piece: Buffer,
  spans: readonly Span[],
  fromSeq: number,
  isHidden: RecordFilter | undefined,
): Gathered {
  let start = -1;
  let end = -1;
  let frameCount = 0;
  for (const span of spans) {
    // A span's rows are read before its frames are moved over them.
    const runs = isHidden
      ? visibleRuns(piece, span, fromSeq, isHidden)
      : wholeRun(piece, span, fromSeq);
    for (const run of runs) {
      frameCount += run.frameCount;
      if (start < 0) {
        start = run.start;
        end = run.start;
      }
      if (run.start !== end) piece.copyWithin(end, run.start, run.end);
      end += run.end - run.start;
    }
  }
  return start < 0 ? { start: 0, end: 0, frameCount: 0 } : { start, end, frameCount };
}

type Run = Gathered;

function wholeRun(piece: Buffer, span: Span, fromSeq: number): readonly Run[] {
  const skipCount = Math.min(Math.max(fromSeq - span.firstSeq, 0), span.count);
  if (skipCount === span.count) return [];
  let start = span.framesAt;
  for (let i = 0; i < skipCount; i++) start += frameBytesAt(piece, span.rowsAt + i * RECORD_BYTES);
  return [{ start, end: span.end, frameCount: span.count - skipCount }];
}

function visibleRuns(
  piece: Buffer,
  span: Span,
  fromSeq: number,
  isHidden: RecordFilter,
): readonly Run[] {
  const runs: Run[] = [];
  let start = span.framesAt;
  let runStart = start;
  let frameCount = 0;
  const closeRun = (end: number): void => {
    if (frameCount > 0) runs.push({ start: runStart, end, frameCount });
    frameCount = 0;
  };
  for (let i = 0; i < span.count; i++) {
    const rowAt = span.rowsAt + i * RECORD_BYTES;
    const end = start + frameBytesAt(piece, rowAt);
    const kind = piece.readUInt8(rowAt + 4);
    const lo = piece.readUInt32LE(rowAt + 16);
    const hi = piece.readUInt32LE(rowAt + 20);
    const isSkipped = span.firstSeq + i < fromSeq || isHidden(kind, lo, hi, piece, start, end);
    if (isSkipped) {
      closeRun(start);
      runStart = end;
    } else frameCount++;
    start = end;
  }
  closeRun(start);
  return runs;
}
