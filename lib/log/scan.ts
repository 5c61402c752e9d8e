/**
 * Walks the batches of one segment and decides what a bad place means: a torn tail that nobody has
 * seen, or damage to published bytes (G13, G24). Pure: a scan asks for bytes by yielding, and runs
 * over any file, blocking or not (`runScan`, `runScanAsync`). docs/LOG_FORMAT.md has the proofs.
 *
 * A batch is written only after the one before it is durable. Hence
 *   - bytes behind the end of a batch whose header is whole: it was durable; a bad body is damage;
 *   - a bad header, and a valid later batch is found: damage;
 *   - more bytes than one batch can have: damage;
 *   - anything else: the last batch was being written: torn.
 * A later batch found by searching must stand where its own header says, under this segment's
 * salt, continue the seq, and be linked into the chain, to what is before it or behind it.
 * @thread any
 */
import { crc32 } from 'node:zlib';
import { KiB, MiB } from '../base/units.ts';
import {
  BATCH_BYTES_MAX,
  BATCH_HEADER_BYTES,
  BatchHeader,
  bodyCrc,
  MAGIC_BYTES,
  readBatchHeader,
  recordCountMax,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  tableVerdict,
} from './descriptor.ts';

export type ReadRequest = { readonly byteOffset: number; readonly bytes: number };
/** Yields what it wants to see; is given exactly that, valid until its next request. */
export type Scan<Result> = Generator<ReadRequest, Result, Buffer>;

/** A piece of a segment that cannot be read, and the seqs that were or may have been in it. */
export type Damage = {
  readonly firstSeq: number;
  /** Below `firstSeq` when no record is lost (a damaged proof). */
  readonly lastSeq: number;
  readonly byteOffset: number;
  readonly byteEnd: number;
};

export type SegmentScan = {
  readonly damages: Damage[];
  /** End of what is accounted for; a torn tail starts here. */
  byteEnd: number;
  tornBytes: number;
  /** Seq after the last one used or possibly used. */
  nextSeq: number;
  /** Chain value at `byteEnd`. */
  lastCrc: number;
  /** The last valid batch. */
  lastBatch: ReadRequest | undefined;
  /** Whether the last valid batch is an empty one, i.e. the one before it is proven. */
  isProven: boolean;
};

const SEARCH_BYTES = MiB;
const CRC_FIELD_AT = BATCH_HEADER_BYTES - 4;

/** Sees each valid batch with its body (rows and frames), which is gone afterwards. */
export type BatchVisitor = (header: BatchHeader, body: Buffer) => void;

/**
 * Reads all batches of a segment, CRCs included. `version` or `kind`: whole, but written by a
 * version that we do not know (G27).
 */
export function* scanSegment(
  segment: SegmentHeader,
  fileBytes: number,
  onBatch?: BatchVisitor,
): Scan<SegmentScan | 'version' | 'kind'> {
  const found: SegmentScan = {
    damages: [],
    byteEnd: SEGMENT_HEADER_BYTES,
    tornBytes: 0,
    nextSeq: segment.firstSeq,
    lastCrc: segment.crc,
    lastBatch: undefined,
    isProven: true,
  };
  const header = new BatchHeader();
  while (found.byteEnd < fileBytes) {
    const start = found.byteEnd;
    const verdict = yield* headerVerdict(segment, start, fileBytes, header);
    if (verdict === 'version') return verdict;
    if (verdict === 'ok' && continues(header, found.nextSeq, found.lastCrc)) {
      const body = yield* bodyVerdict(segment, header, fileBytes, onBatch);
      if (body === 'kind') return body;
      if (body === 'ok') {
        found.lastBatch = { byteOffset: start, bytes: header.byteEnd - start };
        found.isProven = header.count === 0;
      } else if (header.byteEnd >= fileBytes) {
        break;
      } else {
        found.damages.push(damageOf(found.nextSeq, header.nextSeq, start, header.byteEnd));
      }
      moveTo(found, header.byteEnd, header.nextSeq, header.crc);
      continue;
    }
    const later = yield* findLater(segment, start, found.nextSeq, fileBytes);
    if (later?.isLinked) {
      found.damages.push(damageOf(found.nextSeq, later.firstSeq, start, later.byteOffset));
      moveTo(found, later.byteOffset, later.firstSeq, later.prevCrc);
      continue;
    }
    if (later === undefined && fileBytes - start <= BATCH_BYTES_MAX) break;
    // Published bytes are gone and nothing behind them is certain: none of it is served, and no
    // seq that may have been in there is used again.
    const nextSeqMax = later?.nextSeq ?? found.nextSeq + recordCountMax(fileBytes - start);
    const nextSeq = Math.max(nextSeqMax, found.nextSeq + 1);
    found.damages.push(damageOf(found.nextSeq, nextSeq, start, fileBytes));
    moveTo(found, fileBytes, nextSeq, found.lastCrc);
  }
  found.tornBytes = fileBytes - found.byteEnd;
  return found;
}

function damageOf(firstSeq: number, nextSeq: number, from: number, to: number): Damage {
  return { firstSeq, lastSeq: nextSeq - 1, byteOffset: from, byteEnd: to };
}

function moveTo(found: SegmentScan, byteEnd: number, nextSeq: number, lastCrc: number): void {
  found.byteEnd = byteEnd;
  found.nextSeq = nextSeq;
  found.lastCrc = lastCrc;
}

function continues(header: BatchHeader, seq: number, crc: number | undefined): boolean {
  return header.firstSeq === seq && (crc === undefined || header.prevCrc === crc);
}

function* headerVerdict(
  segment: SegmentHeader,
  byteOffset: number,
  byteEnd: number,
  out: BatchHeader,
): Scan<'ok' | 'bad' | 'version'> {
  if (byteOffset + BATCH_HEADER_BYTES > byteEnd) return 'bad';
  const bytes = yield { byteOffset, bytes: BATCH_HEADER_BYTES };
  return readBatchHeader(bytes, 0, byteOffset, segment, out);
}

function* bodyVerdict(
  segment: SegmentHeader,
  header: BatchHeader,
  byteEnd: number,
  onBatch?: BatchVisitor,
): Scan<'ok' | 'bad' | 'kind'> {
  if (header.byteEnd > byteEnd) return 'bad';
  const { count, bodyBytes } = header;
  const byteOffset = header.byteOffset + BATCH_HEADER_BYTES;
  const bytes = yield { byteOffset, bytes: bodyBytes };
  if (bodyCrc(bytes, 0, bodyBytes, segment) !== header.bodyCrc) return 'bad';
  const verdict = tableVerdict(bytes, 0, count, bodyBytes);
  if (verdict === 'ok') onBatch?.(header, bytes);
  return verdict;
}

/** A valid batch behind a bad place. */
export type Later = {
  readonly byteOffset: number;
  readonly firstSeq: number;
  readonly nextSeq: number;
  readonly prevCrc: number;
  /** Part of the chain; without it nothing in or behind it is believed. */
  readonly isLinked: boolean;
};

/** Searches [badByteOffset + 1, byteEnd) for the first linked batch; else the last unlinked one. */
export function* findLater(
  segment: SegmentHeader,
  badByteOffset: number,
  expectedSeq: number,
  byteEnd: number,
): Scan<Later | undefined> {
  const header = new BatchHeader();
  let unlinked: Later | undefined;
  let at = badByteOffset + 1;
  while (at + BATCH_HEADER_BYTES <= byteEnd) {
    const windowBytes = Math.min(SEARCH_BYTES, byteEnd - at);
    const window = yield { byteOffset: at, bytes: windowBytes };
    const hit = window.indexOf(segment.batchMagic);
    if (hit < 0) {
      at += windowBytes - MAGIC_BYTES + 1;
      continue;
    }
    const byteOffset = at + hit;
    at = byteOffset + 1;
    if ((yield* headerVerdict(segment, byteOffset, byteEnd, header)) !== 'ok') continue;
    const skipped = header.firstSeq - expectedSeq;
    if (skipped < 0 || skipped > recordCountMax(byteOffset - badByteOffset)) continue;
    if ((yield* bodyVerdict(segment, header, byteEnd)) !== 'ok') continue;
    const { firstSeq, nextSeq, prevCrc } = header;
    const isLinked =
      (yield* isLinkedBack(segment, badByteOffset, header)) ||
      (yield* isLinkedForward(segment, header, byteEnd));
    const later = { byteOffset, firstSeq, nextSeq, prevCrc, isLinked };
    if (isLinked) return later;
    unlinked = later;
  }
  return unlinked;
}

/** Whether the bad header is the one that `header` names: by its own CRC, or by what it covers. */
function* isLinkedBack(
  segment: SegmentHeader,
  badByteOffset: number,
  header: BatchHeader,
): Scan<boolean> {
  if (header.byteOffset - badByteOffset < BATCH_HEADER_BYTES) return false;
  const bytes = yield { byteOffset: badByteOffset, bytes: BATCH_HEADER_BYTES };
  const isNamed = bytes.readUInt32LE(CRC_FIELD_AT) === header.prevCrc;
  return isNamed || crc32(bytes.subarray(0, CRC_FIELD_AT), segment.crcSeed) === header.prevCrc;
}

/** Whether the batch behind `header` names it. */
function* isLinkedForward(
  segment: SegmentHeader,
  header: BatchHeader,
  byteEnd: number,
): Scan<boolean> {
  const next = new BatchHeader();
  if ((yield* headerVerdict(segment, header.byteEnd, byteEnd, next)) !== 'ok') return false;
  return continues(next, header.nextSeq, header.crc);
}

/** A place in a segment: `nextSeq` is the seq of the first record at or after `byteOffset`. */
export type Place = {
  readonly byteOffset: number;
  readonly nextSeq: number;
  /** Chain value before the place, where it is known. */
  readonly crc: number | undefined;
};

export type Hop =
  | { readonly kind: 'found'; readonly byteOffset: number; readonly firstSeq: number }
  | { readonly kind: 'end'; readonly nextSeq: number }
  /** The wanted record is in a damaged piece; `resume` is the first batch behind it, if any. */
  | { readonly kind: 'lost'; readonly damage: Damage; readonly resume: Later | undefined };

/** What was found behind bad places of a sealed segment, so that it is searched for only once. */
export type KnownLaters = Map<number, Later | undefined>;

export type HopOptions = {
  /** Sees every batch passed, for the index. */
  readonly onHop: (header: BatchHeader) => void;
  /** Only for a segment that does not grow any more. */
  readonly laters: KnownLaters | undefined;
  /** A bad place ends the walk at once: the start may have been wrong. */
  readonly isDoubted?: boolean;
};

/** Finds the batch that holds `wantedSeq`, from header to header, without reading bodies. */
export function* hopTo(
  segment: SegmentHeader,
  from: Place,
  wantedSeq: number,
  byteEnd: number,
  { onHop, laters, isDoubted }: HopOptions,
): Scan<Hop> {
  const header = new BatchHeader();
  let { byteOffset, nextSeq, crc } = from;
  while (byteOffset < byteEnd) {
    const verdict = yield* headerVerdict(segment, byteOffset, byteEnd, header);
    if (verdict === 'ok' && continues(header, nextSeq, crc)) {
      onHop(header);
      if (wantedSeq < header.nextSeq) {
        return { kind: 'found', byteOffset, firstSeq: header.firstSeq };
      }
      ({ byteEnd: byteOffset, nextSeq, crc } = header);
      continue;
    }
    if (isDoubted) {
      const damage = damageOf(nextSeq, nextSeq, byteOffset, byteEnd);
      return { kind: 'lost', damage, resume: undefined };
    }
    const later = laters?.has(byteOffset)
      ? laters.get(byteOffset)
      : yield* findLater(segment, byteOffset, nextSeq, byteEnd);
    laters?.set(byteOffset, later);
    const resume = later?.isLinked ? later : undefined;
    if (resume === undefined || resume.firstSeq > wantedSeq) {
      const nextSeqKnown = resume?.firstSeq ?? nextSeq + recordCountMax(byteEnd - byteOffset);
      const damage = damageOf(nextSeq, nextSeqKnown, byteOffset, resume?.byteOffset ?? byteEnd);
      return { kind: 'lost', damage, resume };
    }
    byteOffset = resume.byteOffset;
    nextSeq = resume.firstSeq;
    crc = resume.prevCrc;
  }
  return { kind: 'end', nextSeq };
}

/** Holds the piece of the file that was read last, and serves requests that lie within it. */
class ScanWindow {
  readonly #readAheadBytes: number;
  readonly #byteEnd: number;
  #bytes: Buffer = Buffer.alloc(0);
  #filledBytes = 0;
  #byteOffset = 0;

  constructor(readAheadBytes: number, byteEnd: number) {
    this.#readAheadBytes = readAheadBytes;
    this.#byteEnd = byteEnd;
  }

  /** The bytes asked for, or undefined when they must be read first. */
  serve(request: ReadRequest): Buffer | undefined {
    const start = request.byteOffset - this.#byteOffset;
    const isInside = start >= 0 && start + request.bytes <= this.#filledBytes;
    return isInside ? this.#bytes.subarray(start, start + request.bytes) : undefined;
  }

  /** Where to read the bytes for `request`, and some more, into. */
  prepare(request: ReadRequest): Buffer {
    const aheadBytes = Math.min(this.#readAheadBytes, this.#byteEnd - request.byteOffset);
    const bytes = Math.max(request.bytes, aheadBytes);
    if (this.#bytes.length < bytes) this.#bytes = Buffer.allocUnsafeSlow(bytes);
    this.#byteOffset = request.byteOffset;
    this.#filledBytes = 0;
    return this.#bytes.subarray(0, bytes);
  }

  /** Notes what was read; a file that is shorter than it was reads as zeros, i.e. as damage. */
  filled(request: ReadRequest, target: Buffer, bytes: number): Buffer {
    if (bytes < request.bytes) target.fill(0, bytes);
    this.#filledBytes = Math.max(bytes, request.bytes);
    return this.#bytes.subarray(0, request.bytes);
  }
}

export const SCAN_AHEAD_BYTES = MiB;
export const HOP_AHEAD_BYTES = 64 * KiB;

/** Runs a scan over a file that is read with blocking calls; `read` fills its target's start. */
export function runScan<Result>(
  scan: Scan<Result>,
  byteEnd: number,
  readAheadBytes: number,
  read: (target: Buffer, byteOffset: number) => number,
): Result {
  const window = new ScanWindow(readAheadBytes, byteEnd);
  let step = scan.next();
  while (!step.done) {
    const request = step.value;
    let bytes = window.serve(request);
    if (bytes === undefined) {
      const target = window.prepare(request);
      bytes = window.filled(request, target, read(target, request.byteOffset));
    }
    step = scan.next(bytes);
  }
  return step.value;
}

/** Runs a scan over a file that is read without blocking. Never reads beyond `byteEnd`. */
export async function runScanAsync<Result>(
  scan: Scan<Result>,
  byteEnd: number,
  readAheadBytes: number,
  read: (target: Buffer, byteOffset: number) => Promise<number>,
): Promise<Result> {
  const window = new ScanWindow(readAheadBytes, byteEnd);
  let step = scan.next();
  while (!step.done) {
    const request = step.value;
    let bytes = window.serve(request);
    if (bytes === undefined) {
      const target = window.prepare(request);
      bytes = window.filled(request, target, await read(target, request.byteOffset));
    }
    step = scan.next(bytes);
  }
  return step.value;
}
