/**
 * A piece of the tail ring, out of shared memory and shared by consumers, and the memory such
 * pieces are in. Memory is used again: a fresh buffer for each piece costs page faults, which are
 * more than the copy. It goes back when nobody holds the piece: the cache that it is found in, and
 * each socket whose kernel has not taken all of it.
 * @thread main
 */
import { assert } from '../base/assert.ts';
import { KiB, MiB } from '../base/units.ts';

/** Sizes are powers of two in between; what is larger is not kept. */
const CLASS_BYTES_MIN = 16 * KiB;
const CLASS_BYTES_MAX = 256 * KiB;
/** Kept for later, in all. */
const IDLE_BYTES_MAX = 2 * MiB;

export class ChunkMemory {
  /** By size; the one used last is the next one used, while caches of the CPU know it. */
  readonly #idle = new Map<number, Buffer[]>();
  #idleBytes = 0;

  /** At least `bytes` long, with whatever was in it before. */
  take(bytes: number): Buffer {
    if (bytes > CLASS_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes);
    let classBytes = CLASS_BYTES_MIN;
    while (classBytes < bytes) classBytes *= 2;
    const memory = this.#idle.get(classBytes)?.pop();
    if (memory === undefined) return Buffer.allocUnsafeSlow(classBytes);
    this.#idleBytes -= classBytes;
    return memory;
  }

  /** Nobody looks at it any more. */
  giveBack(memory: Buffer): void {
    const bytes = memory.length;
    if (bytes > CLASS_BYTES_MAX || this.#idleBytes + bytes > IDLE_BYTES_MAX) return;
    this.#idleBytes += bytes;
    const idle = this.#idle.get(bytes);
    if (idle === undefined) this.#idle.set(bytes, [memory]);
    else idle.push(memory);
  }

  /** Bytes kept for later. */
  get idleBytes(): number {
    return this.#idleBytes;
  }
}

export type ChunkPlace = {
  /** Absolute tail position after the last frame. */
  readonly end: number;
  /** Seq of the last frame. */
  readonly lastSeq: number;
  /** It ended there because there was no more: later it would be longer. */
  readonly isAtHead: boolean;
};

export class Chunk {
  /** Whole websocket frames. Only for those who hold the chunk, or in the turn they got it. */
  readonly bytes: Buffer;
  readonly end: number;
  readonly lastSeq: number;
  readonly isAtHead: boolean;
  readonly #memory: Buffer;
  readonly #home: ChunkMemory;
  #holders = 1;

  /** Begins with one holder: whoever made it. */
  constructor(memory: Buffer, bytes: number, place: ChunkPlace, home: ChunkMemory) {
    this.bytes = memory.subarray(0, bytes);
    this.end = place.end;
    this.lastSeq = place.lastSeq;
    this.isAtHead = place.isAtHead;
    this.#memory = memory;
    this.#home = home;
  }

  hold(): void {
    assert(this.#holders > 0, 'a chunk that was given back is held');
    this.#holders++;
  }

  release(): void {
    assert(this.#holders > 0, 'a chunk is released twice');
    if (--this.#holders === 0) this.#home.giveBack(this.#memory);
  }
}
