/**
 * One shared Int32 word, alone on 128 bytes, with exactly one writing thread. Two types for its
 * two ends, so that a thread which only reads cannot write by mistake.
 * Values are modular: compare with `distance`, never with `<`.
 * @thread any
 */

/** Bytes between two words that different threads write: no two share a cache line. */
export const WORD_STRIDE_BYTES = 128;
const INT32_BYTES = 4;

export class PositionWriter {
  readonly #words: Int32Array;
  readonly #index: number;

  constructor(memory: SharedArrayBuffer, byteOffset: number) {
    this.#words = new Int32Array(memory);
    this.#index = byteOffset / INT32_BYTES;
  }

  /** Release: all plain stores before it are seen by a reader that observes this value. */
  publish(value: number): void {
    Atomics.store(this.#words, this.#index, value);
  }

  /** The value last published (also by a dead predecessor on the same word). */
  last(): number {
    return Atomics.load(this.#words, this.#index);
  }
}

export class PositionReader {
  readonly #words: Int32Array;
  readonly #index: number;

  constructor(memory: SharedArrayBuffer, byteOffset: number) {
    this.#words = new Int32Array(memory);
    this.#index = byteOffset / INT32_BYTES;
  }

  /** Acquire: pairs with `PositionWriter.publish`. */
  observe(): number {
    return Atomics.load(this.#words, this.#index);
  }
}

/**
 * A shared whole number of up to 53 bits with one writer. Costs an allocation per call (measured:
 * 24 bytes), so it is touched once per batch, never once per frame.
 */
export class WideWriter {
  readonly #words: BigInt64Array;
  readonly #index: number;

  constructor(memory: SharedArrayBuffer, byteOffset: number) {
    this.#words = new BigInt64Array(memory);
    this.#index = byteOffset / 8;
  }

  publish(value: number): void {
    Atomics.store(this.#words, this.#index, BigInt(value));
  }

  last(): number {
    return Number(Atomics.load(this.#words, this.#index));
  }
}

export class WideReader {
  readonly #words: BigInt64Array;
  readonly #index: number;

  constructor(memory: SharedArrayBuffer, byteOffset: number) {
    this.#words = new BigInt64Array(memory);
    this.#index = byteOffset / 8;
  }

  observe(): number {
    return Number(Atomics.load(this.#words, this.#index));
  }
}
