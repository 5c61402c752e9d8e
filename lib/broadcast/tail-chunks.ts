/**
 * Pieces of the tail ring as plain buffers, cut at frame borders, shared by all consumers that
 * stand at the same place. `socket.write` keeps a reference and does not copy, so the memory of a
 * piece is never a view of shared memory, and not used again before every socket is done with it.
 * @thread main
 */
import { assert } from '../base/assert.ts';
import { KiB, MiB } from '../base/units.ts';
import { Chunk, ChunkMemory } from './chunk.ts';
import { FRAME_SHORT, frameLengthAt } from './frame-length.ts';
import type { TailIndex } from './tail-index.ts';

/** Shorter pieces that ended at the head are cut anew once there is more. */
const REUSE_BYTES_MIN = 64 * KiB;
const CACHE_BYTES_MAX = 8 * MiB;

export class TailChunks {
  readonly #index: TailIndex;
  readonly #chunkBytesMax: number;
  readonly #memory = new ChunkMemory();
  /** By the position where they begin, oldest first. */
  readonly #cache = new Map<number, Chunk>();
  #cacheBytes = 0;
  #copies = 0;
  #cacheMax = 1;

  constructor(index: TailIndex, chunkBytesMax: number) {
    this.#index = index;
    this.#chunkBytesMax = chunkBytesMax;
  }

  /** So many consumers are at so many places at most: more pieces are of no use to anybody. */
  set consumerCount(count: number) {
    this.#cacheMax = Math.max(1, count);
    this.#trim();
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
    const memory = this.#copy(position, end);
    if (memory === undefined) return undefined;
    const place = { end, lastSeq, isAtHead: end === this.#index.headEnd };
    return new Chunk(memory, end - position, place, this.#memory);
  }

  /** Inside a batch larger than a piece: count frames in a copy. */
  #cutByWalking(position: number, seq: number): Chunk | undefined {
    const limit = Math.min(position + this.#chunkBytesMax, this.#index.headEnd);
    const memory = this.#copy(position, limit);
    if (memory === undefined) return undefined;
    const bytes = limit - position;
    let used = 0;
    let frames = 0;
    for (;;) {
      const frameBytes = frameLengthAt(memory, used, bytes);
      assert(
        frameBytes > 0 || frameBytes === FRAME_SHORT,
        'no frame at a frame border of the tail',
      );
      if (frameBytes === FRAME_SHORT || used + frameBytes > bytes) {
        if (used > 0) break;
        assert(frameBytes > 0, 'a piece is shorter than a frame header');
        this.#memory.giveBack(memory);
        return this.#cutOne(position, seq, frameBytes);
      }
      used += frameBytes;
      frames++;
    }
    const place = { end: position + used, lastSeq: seq + frames, isAtHead: false };
    return new Chunk(memory, used, place, this.#memory);
  }

  /** One frame that is larger than a piece. */
  #cutOne(position: number, seq: number, frameBytes: number): Chunk | undefined {
    const end = position + frameBytes;
    const memory = this.#copy(position, end);
    if (memory === undefined) return undefined;
    const place = { end, lastSeq: seq + 1, isAtHead: false };
    return new Chunk(memory, frameBytes, place, this.#memory);
  }

  /** [from, to) at the start of a buffer that may be longer. */
  #copy(from: number, to: number): Buffer | undefined {
    const memory = this.#memory.take(to - from);
    this.#copies++;
    if (this.#index.copy(from, to, memory)) return memory;
    this.#memory.giveBack(memory);
    return undefined;
  }

  #keep(position: number, chunk: Chunk): void {
    this.#cache.set(position, chunk);
    this.#cacheBytes += chunk.bytes.length;
    this.#trim();
  }

  /** The newest stays, whatever its size: it has not been written yet. */
  #trim(): void {
    for (const [position, chunk] of this.#cache) {
      if (this.#cache.size === 1) return;
      if (this.#cache.size <= this.#cacheMax && this.#cacheBytes <= CACHE_BYTES_MAX) return;
      this.#drop(position, chunk);
    }
  }

  #drop(position: number, chunk: Chunk): void {
    this.#cache.delete(position);
    this.#cacheBytes -= chunk.bytes.length;
    chunk.release();
  }
}
