/**
 * Layout of a segment file, version 1. Pure. Little endian; wide numbers are 64-bit floats, exact
 * up to 2^53. docs/LOG_FORMAT.md says what the fields are for.
 *
 *   segment:  header (64) | batch | batch | …             named <firstSeq, 16 digits>.seg
 *   batch:    header (64) | count × record row (40) | count × websocket frame, contiguous
 *
 *   segment header                            batch header
 *    0  8 magic "SKYLOG\r\n"                   0  8 magic: the first 8 bytes of the salt, masked
 *    8  2 version                              8  2 version
 *   10  6 zero                                10  2 zero
 *   16 16 salt, random                        12  4 count of records, 0 for a proof
 *   32  8 firstSeq                            16  4 bodyBytes: rows and frames
 *   40  8 prevLastSeq                         20  4 prevCrc: `crc` of the batch before it
 *   48  8 createdMs (epoch)                   24  8 firstSeq
 *   56  4 prevCrc: `crc` at the end of the    32  8 byteOffset of this header in its file
 *         segment before it                   40  8 committedMs (epoch)
 *   60  4 crc of bytes 0 … 59                 48  4 bodyCrc of rows and frames
 *                                             52  8 zero
 *   record row                                60  4 crc of bytes 0 … 59
 *    0  4 frameBytes, websocket header incl.
 *    4  1 kind   5 1 statusCode   6 2 zero   8 4 hostId   12 4 upstreamCrc   16 4 didHashLo
 *   20  4 didHashHi   24 8 hostSeq, 0 for an event of our own   32 8 arrivalMs (epoch)
 *
 * Both CRCs of a batch are CRC-32 seeded from the salt, which nobody outside knows, so bytes of a
 * frame cannot pass for a batch. `prevCrc` of the first batch is `crc` of the segment header.
 * @thread any
 */
import { crc32 } from 'node:zlib';
import { assert } from '../base/assert.ts';
import { FRAME_BYTES_MAX, KiB, MiB } from '../base/units.ts';

export const LOG_VERSION = 1;
export const SEGMENT_HEADER_BYTES = 64;
export const BATCH_HEADER_BYTES = 64;
export const RECORD_BYTES = 40;
export const SALT_BYTES = 16;
export const MAGIC_BYTES = 8;
const CRC_AT = 60;
const VERSION_AT = 8;
const MAGIC = Buffer.from('SKYLOG\r\n', 'latin1');
const MASK = Buffer.from('skybatch', 'latin1');

/** A batch holds this many bytes of frames, or one frame that is larger. */
export const BATCH_FRAMES_BYTES_MAX = MiB;
/** Keeps the table below 320 KiB when frames are tiny. */
export const BATCH_RECORDS_MAX = 8192;
const WEBSOCKET_HEADER_BYTES_MAX = 10;
export const BODY_BYTES_MAX =
  BATCH_RECORDS_MAX * RECORD_BYTES + FRAME_BYTES_MAX + WEBSOCKET_HEADER_BYTES_MAX;
/** Nothing longer than this can be one torn batch. */
export const BATCH_BYTES_MAX = BATCH_HEADER_BYTES + BODY_BYTES_MAX;
/** The least a record takes; bounds how many there can be in a piece that cannot be read. */
const STORED_RECORD_BYTES_MIN = RECORD_BYTES + 2;

/** Kinds a record may have (lib/wire/kinds.ts); another one is a newer format (G27). */
export const KIND_MIN = 1;
export const KIND_MAX = 4;

const SEGMENT_NAME = /^(\d{16})\.seg$/;

export function segmentName(firstSeq: number): string {
  assert(Number.isSafeInteger(firstSeq) && firstSeq >= 1, 'segment name needs a seq');
  return `${String(firstSeq).padStart(16, '0')}.seg`;
}

/** First seq in the name of a segment file; undefined for any other file. */
export function parseSegmentName(name: string): number | undefined {
  const digits = SEGMENT_NAME.exec(name)?.[1];
  if (digits === undefined) return undefined;
  const firstSeq = Number(digits);
  return Number.isSafeInteger(firstSeq) && firstSeq >= 1 ? firstSeq : undefined;
}

export type SegmentHeaderFields = {
  readonly salt: Buffer;
  readonly firstSeq: number;
  /** Last seq before this segment. Below firstSeq - 1 where numbers were skipped on purpose. */
  readonly prevLastSeq: number;
  readonly createdMs: number;
  readonly prevCrc: number;
};

export type SegmentHeader = SegmentHeaderFields & {
  readonly crc: number;
  /** Starts every batch of this segment. */
  readonly batchMagic: Buffer;
  readonly crcSeed: number;
};

export function encodeSegmentHeader(fields: SegmentHeaderFields): Buffer {
  assert(fields.salt.length === SALT_BYTES, 'salt length');
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt16LE(LOG_VERSION, VERSION_AT);
  fields.salt.copy(bytes, 16);
  bytes.writeDoubleLE(fields.firstSeq, 32);
  bytes.writeDoubleLE(fields.prevLastSeq, 40);
  bytes.writeDoubleLE(fields.createdMs, 48);
  bytes.writeUInt32LE(fields.prevCrc, 56);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CRC_AT)), CRC_AT);
  return bytes;
}

/** `bad`: no header, or damaged. `version`: whole, but written by a version we do not know. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | 'bad' | 'version' {
  if (bytes.length < SEGMENT_HEADER_BYTES || !bytes.subarray(0, MAGIC_BYTES).equals(MAGIC)) {
    return 'bad';
  }
  const crc = bytes.readUInt32LE(CRC_AT);
  const isWhole = crc32(bytes.subarray(0, CRC_AT)) === crc;
  if (bytes.readUInt16LE(VERSION_AT) !== LOG_VERSION) {
    // Rot in the version field alone is damage; anything else may be a layout of the future.
    const copy = Buffer.from(bytes.subarray(0, CRC_AT));
    copy.writeUInt16LE(LOG_VERSION, VERSION_AT);
    return crc32(copy) === crc ? 'bad' : 'version';
  }
  const firstSeq = bytes.readDoubleLE(32);
  if (!isWhole || !Number.isSafeInteger(firstSeq) || firstSeq < 1) return 'bad';
  return makeSegmentHeader(
    {
      salt: Buffer.from(bytes.subarray(16, 16 + SALT_BYTES)),
      firstSeq,
      prevLastSeq: bytes.readDoubleLE(40),
      createdMs: bytes.readDoubleLE(48),
      prevCrc: bytes.readUInt32LE(56),
    },
    crc,
  );
}

function makeSegmentHeader(fields: SegmentHeaderFields, crc: number): SegmentHeader {
  const batchMagic = Buffer.alloc(MAGIC_BYTES);
  for (let i = 0; i < MAGIC_BYTES; i++) batchMagic[i] = (fields.salt[i] ?? 0) ^ (MASK[i] ?? 0);
  const crcSeed = (fields.salt.readUInt32LE(8) ^ fields.salt.readUInt32LE(12)) >>> 0;
  return { ...fields, crc, batchMagic, crcSeed };
}

/** One batch header; reused from batch to batch. */
export class BatchHeader {
  count = 0;
  bodyBytes = 0;
  prevCrc = 0;
  firstSeq = 0;
  byteOffset = 0;
  committedMs = 0;
  bodyCrc = 0;
  /** Over all of the above, so that it stands for the whole batch in the chain. */
  crc = 0;

  /** Where the batch after this one starts. */
  get byteEnd(): number {
    return this.byteOffset + BATCH_HEADER_BYTES + this.bodyBytes;
  }

  /** Seq of the record after this batch. */
  get nextSeq(): number {
    return this.firstSeq + this.count;
  }
}

/** Writes the header at `at` and sets `header.crc`. */
export function writeBatchHeader(
  target: Buffer,
  at: number,
  header: BatchHeader,
  segment: SegmentHeader,
): void {
  target.fill(0, at, at + BATCH_HEADER_BYTES);
  segment.batchMagic.copy(target, at);
  target.writeUInt16LE(LOG_VERSION, at + VERSION_AT);
  target.writeUInt32LE(header.count, at + 12);
  target.writeUInt32LE(header.bodyBytes, at + 16);
  target.writeUInt32LE(header.prevCrc, at + 20);
  target.writeDoubleLE(header.firstSeq, at + 24);
  target.writeDoubleLE(header.byteOffset, at + 32);
  target.writeDoubleLE(header.committedMs, at + 40);
  target.writeUInt32LE(header.bodyCrc, at + 48);
  header.crc = crc32(target.subarray(at, at + CRC_AT), segment.crcSeed);
  target.writeUInt32LE(header.crc, at + CRC_AT);
}

/**
 * Reads the header at `at` of `source`, which is `byteOffset` in the file. `ok` means: written by
 * us, at this very place of this very segment. Whether it continues what stands before
 * it is the caller's question.
 */
export function readBatchHeader(
  source: Buffer,
  at: number,
  byteOffset: number,
  segment: SegmentHeader,
  out: BatchHeader,
): 'ok' | 'bad' | 'version' {
  if (at + BATCH_HEADER_BYTES > source.length) return 'bad';
  if (segment.batchMagic.compare(source, at, at + MAGIC_BYTES) !== 0) return 'bad';
  out.crc = source.readUInt32LE(at + CRC_AT);
  if (crc32(source.subarray(at, at + CRC_AT), segment.crcSeed) !== out.crc) return 'bad';
  if (source.readUInt16LE(at + VERSION_AT) !== LOG_VERSION) return 'version';
  out.count = source.readUInt32LE(at + 12);
  out.bodyBytes = source.readUInt32LE(at + 16);
  out.prevCrc = source.readUInt32LE(at + 20);
  out.firstSeq = source.readDoubleLE(at + 24);
  out.byteOffset = source.readDoubleLE(at + 32);
  out.committedMs = source.readDoubleLE(at + 40);
  out.bodyCrc = source.readUInt32LE(at + 48);
  const isInRange =
    out.byteOffset === byteOffset &&
    out.count <= BATCH_RECORDS_MAX &&
    out.bodyBytes <= BODY_BYTES_MAX &&
    out.bodyBytes >= out.count * STORED_RECORD_BYTES_MIN &&
    out.firstSeq >= segment.firstSeq;
  return isInRange ? 'ok' : 'bad';
}

/** CRC of source[start, end), continued from `crcSoFar` where the body comes in pieces. */
export function bodyCrc(
  source: Buffer,
  start: number,
  end: number,
  segment: SegmentHeader,
  crcSoFar: number = segment.crcSeed,
): number {
  return crc32(source.subarray(start, end), crcSoFar);
}

/** One row of a batch's record table; reused from row to row. */
export class RecordRow {
  frameBytes = 0;
  kind = 0;
  /** Of an #account event: accounts/status-code.ts. */
  statusCode = 0;
  hostId = 0;
  upstreamCrc = 0;
  didHashLo = 0;
  didHashHi = 0;
  hostSeq = 0;
  arrivalMs = 0;

  read(source: Buffer, at: number): void {
    this.frameBytes = source.readUInt32LE(at);
    this.kind = source.readUInt8(at + 4);
    this.statusCode = source.readUInt8(at + 5);
    this.hostId = source.readUInt32LE(at + 8);
    this.upstreamCrc = source.readUInt32LE(at + 12);
    this.didHashLo = source.readUInt32LE(at + 16);
    this.didHashHi = source.readUInt32LE(at + 20);
    this.hostSeq = source.readDoubleLE(at + 24);
    this.arrivalMs = source.readDoubleLE(at + 32);
  }

  write(target: Buffer, at: number): void {
    target.writeUInt32LE(this.frameBytes, at);
    target.writeUInt32LE(this.kind | (this.statusCode << 8), at + 4);
    target.writeUInt32LE(this.hostId, at + 8);
    target.writeUInt32LE(this.upstreamCrc, at + 12);
    target.writeUInt32LE(this.didHashLo, at + 16);
    target.writeUInt32LE(this.didHashHi, at + 20);
    target.writeDoubleLE(this.hostSeq, at + 24);
    target.writeDoubleLE(this.arrivalMs, at + 32);
  }
}

export function frameBytesAt(source: Buffer, rowAt: number): number {
  return source.readUInt32LE(rowAt);
}

/** An upper bound of the records that `bytes` of a segment can hold. */
export function recordCountMax(bytes: number): number {
  return Math.ceil(bytes / STORED_RECORD_BYTES_MIN);
}

/** Whether the table of a batch whose CRC is right makes sense; `kind`: it is a newer format. */
export function tableVerdict(
  source: Buffer,
  rowsAt: number,
  count: number,
  bodyBytes: number,
): 'ok' | 'bad' | 'kind' {
  let framesBytes = 0;
  for (let i = 0; i < count; i++) {
    const rowAt = rowsAt + i * RECORD_BYTES;
    const kind = source.readUInt8(rowAt + 4);
    if (kind < KIND_MIN || kind > KIND_MAX) return 'kind';
    framesBytes += frameBytesAt(source, rowAt);
  }
  return framesBytes === bodyBytes - count * RECORD_BYTES ? 'ok' : 'bad';
}

/** Bytes kept free at the front of a batch buffer: header and the largest table. */
export const BATCH_FRONT_BYTES_MAX = BATCH_HEADER_BYTES + BATCH_RECORDS_MAX * RECORD_BYTES;
/** Default size of a piece that a reader takes at once. */
export const READ_BYTES = 256 * KiB;
