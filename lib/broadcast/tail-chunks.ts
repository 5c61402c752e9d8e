/**
 * Pieces of the tail ring as plain buffers, cut at frame borders, shared by all consumers that
 * stand at the same place. `socket.write` keeps a reference and does not copy, so a piece is never
 * reused and never a view of shared memory.
 * @thread main
 */
import { assert } from '../base/assert.ts';
import { KiB, MiB } from '../base/units.ts';
import { FRAME_SHORT, frameLengthAt } from './frame-length.ts';
import type { TailIndex } from './tail-index.ts';

export type Chunk = {
  /** Whole websocket frames. */
  readonly bytes: Buffer;
  /** Absolute tail position after the last of them. */
  readonly end: number;
  /** Seq of the last of them. */
  readonly lastSeq: number;
  /** It ended there because there was no more: later it would be longer. */
  readonly isAtHead: boolean;
};

/** Shorter pieces that ended at the head are cut anew once there is more. */
const REUSE_BYTES_MIN = 64 * KiB;
const CACHE_BYTES_MAX = 8 * MiB;

export class TailChunks {
  readonly #index: TailIndex;
  readonly #chunkBytesMax: number;
  /** By the position where they begin, oldest first. */
  readonly #cache = new Map<number, Chunk>();
  #cacheBytes = 0;
  #copies = 0;

  constructor(index: TailIndex, chunkBytesMax: number) {
    this.#index = index;
    this.#chunkBytesMax = chunkBytesMax;
  }

  /** Pieces copied out of the ring so far. */
  get copies(): number {
    return this.#copies;
  }

  /**
   * The frames after `seq`, whose frame ends at `position`: as many as fit in one piece, at least
   * one. Undefined when they have been overwritten. There must be something after `position`.
   */
  after(position: number, seq: number): Chunk | undefined {
    assert(position < this.#index.headEnd, 'nothing after the head');
    const known = this.#cache.get(position);
    if (known !== undefined) {
      const isFull = !known.isAtHead || known.bytes.length >= REUSE_BYTES_MIN;
      if (isFull || known.end === this.#index.headEnd) return known;
      this.#drop(position, known);
    }
    const chunk = this.#cut(position, seq);
    if (chunk !== undefined) this.#keep(position, chunk);
    return chunk;
  }

  #cut(position: number, seq: number): Chunk | undefined {
    const border = this.#index.borderWithin(position, this.#chunkBytesMax);
    if (border === undefined) return this.#cutByWalking(position, seq);
    const [end, lastSeq] = border;
    const bytes = this.#copy(position, end);
    if (bytes === undefined) return undefined;
    return { bytes, end, lastSeq, isAtHead: end === this.#index.headEnd };
  }

  /** Inside a batch larger than a piece: count frames in a copy. */
  #cutByWalking(position: number, seq: number): Chunk | undefined {
    const limit = Math.min(position + this.#chunkBytesMax, this.#index.headEnd);
    const bytes = this.#copy(position, limit);
    if (bytes === undefined) return undefined;
    let used = 0;
    let frames = 0;
    for (;;) {
      const frameBytes = frameLengthAt(bytes, used, bytes.length);
      assert(
        frameBytes > 0 || frameBytes === FRAME_SHORT,
        'no frame at a frame border of the tail',
      );
      if (frameBytes === FRAME_SHORT || used + frameBytes > bytes.length) {
        if (used > 0) break;
        assert(frameBytes > 0, 'a piece is shorter than a frame header');
        return this.#cutOne(position, seq, frameBytes);
      }
      used += frameBytes;
      frames++;
    }
    const end = position + used;
    return { bytes: bytes.subarray(0, used), end, lastSeq: seq + frames, isAtHead: false };
  }

  /** One frame that is larger than a piece. */
  #cutOne(position: number, seq: number, frameBytes: number): Chunk | undefined {
    const end = position + frameBytes;
    const bytes = this.#copy(position, end);
    return bytes === undefined ? undefined : { bytes, end, lastSeq: seq + 1, isAtHead: false };
  }

  #copy(from: number, to: number): Buffer | undefined {
    const bytes = Buffer.allocUnsafeSlow(to - from);
    this.#copies++;
    return this.#index.copy(from, to, bytes) ? bytes : undefined;
  }

  #keep(position: number, chunk: Chunk): void {
    this.#cache.set(position, chunk);
    this.#cacheBytes += chunk.bytes.length;
    for (const [oldPosition, old] of this.#cache) {
      if (this.#cacheBytes <= CACHE_BYTES_MAX) break;
      this.#drop(oldPosition, old);
    }
  }

  #drop(position: number, chunk: Chunk): void {
    this.#cache.delete(position);
    this.#cacheBytes -= chunk.bytes.length;
  }
}
