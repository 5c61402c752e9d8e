/**
 * One batch while it is put together: rows of its table and frames, in two buffers that are used
 * again and again, so that the append is one vectored write without a copy.
 * Knows the layout through descriptor.ts; knows neither files nor where frames come from.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import { FRAME_BYTES_MAX } from '../base/units.ts';
import {
  BATCH_FRAMES_BYTES_MAX,
  BATCH_FRONT_BYTES_MAX,
  BATCH_HEADER_BYTES,
  BATCH_RECORDS_MAX,
  type BatchHeader,
  bodyCrc,
  KIND_MAX,
  KIND_MIN,
  RECORD_BYTES,
  type RecordRow,
  type SegmentHeader,
  writeBatchHeader,
} from './descriptor.ts';

const FRAMES_BYTES_MAX = Math.max(BATCH_FRAMES_BYTES_MAX, FRAME_BYTES_MAX + 16);

export class Batch {
  /** Frames are written here by the caller, at `framesBytes`, then announced with `add`. */
  readonly frames = Buffer.allocUnsafeSlow(FRAMES_BYTES_MAX);
  count = 0;
  framesBytes = 0;
  readonly #front = Buffer.allocUnsafeSlow(BATCH_FRONT_BYTES_MAX);
  /** CRC of rows and frames as they are, in this segment; undefined where nothing is known. */
  #checked: { readonly segment: SegmentHeader; readonly crc: number } | undefined;

  /** Whether a frame of `frameBytes` still goes in; an empty batch takes any one frame. */
  hasRoom(frameBytes: number): boolean {
    if (this.count === 0) return frameBytes <= FRAMES_BYTES_MAX;
    if (this.count === BATCH_RECORDS_MAX) return false;
    return this.framesBytes + frameBytes <= BATCH_FRAMES_BYTES_MAX;
  }

  /** Adds the frame that stands at `framesBytes`, `row.frameBytes` long. */
  add(row: RecordRow): void {
    assert(this.hasRoom(row.frameBytes), 'batch is full');
    // What recovery would refuse must never get into the log (A6).
    assert(row.kind >= KIND_MIN && row.kind <= KIND_MAX, 'record of an unknown kind');
    row.write(this.#front, BATCH_HEADER_BYTES + this.count * RECORD_BYTES);
    this.#checked = undefined;
    this.count++;
    this.framesBytes += row.frameBytes;
  }

  /**
   * Fills in the header and gives the buffers to write, in order. `header` holds firstSeq, prevCrc,
   * byteOffset and committedMs; the rest of it is set here.
   */
  encode(header: BatchHeader, segment: SegmentHeader): readonly [front: Buffer, frames: Buffer] {
    const frontBytes = BATCH_HEADER_BYTES + this.count * RECORD_BYTES;
    header.count = this.count;
    header.bodyBytes = frontBytes - BATCH_HEADER_BYTES + this.framesBytes;
    header.bodyCrc = this.check(segment);
    writeBatchHeader(this.#front, 0, header, segment);
    return [this.#front.subarray(0, frontBytes), this.frames.subarray(0, this.framesBytes)];
  }

  /**
   * The CRC of all that is in, which is kept: a batch that waits for the one before it to be
   * durable needs only a header then, unless it goes into another segment.
   */
  check(segment: SegmentHeader): number {
    if (this.#checked?.segment === segment) return this.#checked.crc;
    const rowsEnd = BATCH_HEADER_BYTES + this.count * RECORD_BYTES;
    const rowsCrc = bodyCrc(this.#front, BATCH_HEADER_BYTES, rowsEnd, segment);
    const crc = bodyCrc(this.frames, 0, this.framesBytes, segment, rowsCrc);
    this.#checked = { segment, crc };
    return crc;
  }

  clear(): void {
    this.#checked = undefined;
    this.count = 0;
    this.framesBytes = 0;
  }
}
