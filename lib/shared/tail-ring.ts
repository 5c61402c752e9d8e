/**
 * The newest frames of the log in memory, ready to be sent: a byte stream of server websocket
 * frames, modulo the capacity. `persist` writes, readers copy.
 *
 *   word 0 (own 128 bytes)   overwrittenBelow: bytes below it are gone   (writer: persist)
 *   byte 128 …               data, a power of two
 *
 * The writer stores `overwrittenBelow` before it reuses bytes; a reader copies first and looks at
 * it again afterwards, so a torn copy is never used. How far a reader may read comes from
 * `CommitView.tailEnd`. Positions are modular 32-bit: a reader that stands still while 2^31 bytes
 * pass by cannot be told from a fresh one, so a position must be checked (or given up) at least
 * once per GiB written.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import { distance, MiB } from '../base/units.ts';
import { WORD_STRIDE_BYTES } from './position.ts';

const DATA_AT = WORD_STRIDE_BYTES;
const CAPACITY_MAX = 1024 * MiB;

export function allocateTailRing(capacityBytes: number): SharedArrayBuffer {
  const isPowerOfTwo = (capacityBytes & (capacityBytes - 1)) === 0;
  assert(isPowerOfTwo && capacityBytes <= CAPACITY_MAX, 'tail ring: power of two up to 1 GiB');
  return new SharedArrayBuffer(DATA_AT + capacityBytes);
}

/** The writing end. Owner: the `persist` thread. */
export class TailWriter {
  readonly capacityBytes: number;
  readonly #words: Int32Array;
  readonly #data: Buffer;
  readonly #fence = new Int32Array(new SharedArrayBuffer(4));
  #end = 0;

  constructor(memory: SharedArrayBuffer) {
    this.capacityBytes = memory.byteLength - DATA_AT;
    this.#words = new Int32Array(memory, 0, 1);
    this.#data = Buffer.from(memory, DATA_AT);
  }

  /** Position after the last byte written. Readers learn it through the commit cell only. */
  get end(): number {
    return this.#end;
  }

  /** Appends `source[from, to)`, whole frames. More than the capacity keeps the newest part. */
  write(source: Buffer, from: number, to: number): void {
    const bytes = to - from;
    const endNew = (this.#end + bytes) | 0;
    const below = (endNew - this.capacityBytes) | 0;
    if (distance(below, Atomics.load(this.#words, 0)) > 0) {
      Atomics.store(this.#words, 0, below);
      // A store does not keep the plain writes below behind it on every CPU; this does.
      Atomics.add(this.#fence, 0, 0);
    }
    const kept = Math.min(bytes, this.capacityBytes);
    let at = ((endNew - kept) | 0) & (this.capacityBytes - 1);
    let left = to - kept;
    while (left < to) {
      const part = Math.min(to - left, this.capacityBytes - at);
      source.copy(this.#data, at, left, left + part);
      left += part;
      at = 0;
    }
    this.#end = endNew;
  }
}

/** A reading end. */
export class TailReader {
  readonly capacityBytes: number;
  readonly #words: Int32Array;
  readonly #data: Buffer;
  readonly #fence = new Int32Array(new SharedArrayBuffer(4));

  constructor(memory: SharedArrayBuffer) {
    this.capacityBytes = memory.byteLength - DATA_AT;
    this.#words = new Int32Array(memory, 0, 1);
    this.#data = Buffer.from(memory, DATA_AT);
  }

  /** Lowest position whose bytes are still there (modular). */
  oldest(): number {
    return Atomics.load(this.#words, 0);
  }

  /** Whether the bytes from `position` on are still there (at this moment). */
  has(position: number): boolean {
    return distance(position, Atomics.load(this.#words, 0)) >= 0;
  }

  /**
   * Copies [from, to) to the start of `target`. False when part of it has been overwritten, before
   * or during the copy: the target then holds rubbish and the caller reads the log instead.
   */
  copy(from: number, to: number, target: Buffer): boolean {
    const bytes = distance(to, from);
    assert(bytes >= 0 && bytes <= target.length, 'tail copy out of range');
    if (!this.has(from)) return false;
    let at = from & (this.capacityBytes - 1);
    let done = 0;
    while (done < bytes) {
      const part = Math.min(bytes - done, this.capacityBytes - at);
      this.#data.copy(target, done, at, at + part);
      done += part;
      at = 0;
    }
    // A read-modify-write keeps the plain reads above before the check below on every CPU.
    Atomics.add(this.#fence, 0, 0);
    return this.has(from);
  }
}
