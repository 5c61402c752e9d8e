/**
 * SHA-256 of four short messages at once, only as far as the layer of a key needs it: the first
 * word of each digest. A node is one hash, each of its keys another one, and those are the most of
 * a commit: 45 in a repo of 50,000 records. A call of node:crypto for a key takes 0.35 µs, most of
 * it the call; a lane here takes 0.1 µs and leaves no garbage. The module is tried against
 * node:crypto before it is trusted. Knows nothing of keys.
 * @thread any
 */
import { hash } from 'node:crypto';
import { DIGEST_AT, LANES, sha256Module } from './sha256-module.ts';

/** Longest message: what fits one block of 64 bytes beside the padding. */
export const LANE_BYTES_MAX = 55;

/** What `sha256Module` exports. */
type Exports = { readonly memory: { readonly buffer: ArrayBuffer }; readonly run: () => void };

/** The part of the global that is used here: Node's types leave it out. */
declare const WebAssembly: {
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
};

let module: object | undefined;

function compiled(): object | undefined {
  const bytes = sha256Module();
  return WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : undefined;
}

/** Scratch of one thread: set the lanes, run, read their digests, without yielding between. */
export class Sha256Lanes {
  readonly #run: () => void;
  readonly #words: Int32Array;

  private constructor({ memory, run }: Exports) {
    this.#run = run;
    this.#words = new Int32Array(memory.buffer);
  }

  /** Lanes of their own; undefined where the machine has no SIMD, or has it wrong. */
  static create(): Sha256Lanes | undefined {
    module ??= compiled();
    if (module === undefined) return undefined;
    const instance = new WebAssembly.Instance(module);
    const lanes = new Sha256Lanes(instance.exports as Exports);
    return lanes.#isRight() ? lanes : undefined;
  }

  /** Puts the message `bytes[at, at + length)`, at most LANE_BYTES_MAX long, into a lane. */
  set(lane: number, bytes: DataView, at: number, length: number): void {
    const words = this.#words;
    const tailAt = at + (length & ~3);
    let index = lane;
    for (let i = at; i < tailAt; i += 4) {
      words[index] = bytes.getInt32(i);
      index += LANES;
    }
    // Padding: a one bit behind the message, zeros, its length in bits in the last word.
    let tail = 0x80_00_00_00;
    for (let i = at + length - 1; i >= tailAt; i--) tail = (tail >>> 8) | (bytes.getUint8(i) << 24);
    words[index] = tail;
    for (index += LANES; index < DIGEST_AT - LANES; index += LANES) words[index] = 0;
    words[DIGEST_AT - LANES + lane] = 8 * length;
  }

  /** Hashes what stands in the lanes; one that was not set since holds what it held. */
  run(): void {
    this.#run();
  }

  /** The first 32 bits of a lane's digest, signed. */
  digestWord(lane: number): number {
    return this.#words[DIGEST_AT + lane] as number;
  }

  /** Whether every lane agrees with node:crypto on messages of every length. */
  #isRight(): boolean {
    const message = Buffer.from(Array.from({ length: LANE_BYTES_MAX + LANES }, (_, i) => i * 37));
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    for (let length = 0; length <= LANE_BYTES_MAX; length++) {
      for (let lane = 0; lane < LANES; lane++) this.set(lane, view, lane, length);
      this.run();
      for (let lane = 0; lane < LANES; lane++) {
        const digest = hash('sha256', message.subarray(lane, lane + length), 'buffer');
        if (this.digestWord(lane) !== digest.readInt32BE(0)) return false;
      }
    }
    return true;
  }
}
