/**
 * Int32 words inside a region, addressed by byte offset, for state that lies between other bytes.
 * One writing thread.
 * @thread any
 */
import type { SharedMemory } from './memory.ts';

export class WordArray {
  readonly #words: Int32Array;

  /** Offsets count from `byteOffset` of `memory` and are multiples of 4. */
  constructor(memory: SharedMemory, byteOffset: number) {
    this.#words = new Int32Array(memory, byteOffset);
  }

  load(offset: number): number {
    return Atomics.load(this.#words, offset >> 2);
  }

  store(offset: number, value: number): void {
    Atomics.store(this.#words, offset >> 2, value);
  }
}
