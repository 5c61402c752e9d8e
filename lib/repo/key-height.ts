/**
 * The height of a tree key: pairs of leading zero bits of its SHA-256 (MS-1). One by one, or for
 * the keys of a whole tree, four at a time. Knows nothing of nodes.
 * @thread any
 */
import { digestOf } from './digest.ts';
import { LANE_BYTES_MAX, Sha256Lanes } from './sha256-lanes.ts';
import { LANES } from './sha256-module.ts';

const WORD_BITS = 32;

/** Lanes for one key at a time, and lanes in which keys may wait. */
const single = Sha256Lanes.create();
const lanes = Sha256Lanes.create();

/** Height of the key `bytes[at, at + length)`. */
export function keyHeight(bytes: DataView, at: number, length: number): number {
  if (single === undefined || length > LANE_BYTES_MAX) return heightByDigest(bytes, at, length);
  single.set(0, bytes, at, length);
  single.run();
  const word = single.digestWord(0);
  return word === 0 ? heightByDigest(bytes, at, length) : Math.clz32(word) >> 1;
}

function heightByDigest(bytes: DataView, at: number, length: number): number {
  const key = Buffer.from(bytes.buffer, bytes.byteOffset + at, length);
  const digest = digestOf(key, 0, length);
  let zeroBits = 0;
  for (let i = 0; i < digest.length; i++) {
    const byte = digest.charCodeAt(i);
    if (byte !== 0) return (zeroBits + Math.clz32(byte) - 24) >> 1;
    zeroBits += 8;
  }
  return zeroBits >> 1;
}

/**
 * Whether keys have the heights they should: `begin`, `add` each, `end`. A wrong one shows in the
 * `add` that fills the lanes or at the end, not at once.
 */
export class HeightCheck {
  readonly #heights = new Int32Array(LANES);
  #waiting = 0;

  /** Forgets the keys that wait. */
  begin(): void {
    this.#waiting = 0;
  }

  /** Takes the key `bytes[at, at + length)`; false where it or one before has another height. */
  add(bytes: DataView, at: number, length: number, height: number): boolean {
    // 32 zero bits are beyond what a lane tells.
    const isForLane = length <= LANE_BYTES_MAX && height < WORD_BITS / 2;
    if (lanes === undefined || !isForLane) {
      return keyHeight(bytes, at, length) === height;
    }
    const lane = this.#waiting++;
    lanes.set(lane, bytes, at, length);
    this.#heights[lane] = height;
    return this.#waiting < LANES || this.end();
  }

  /** Whether the keys that still wait have their heights. */
  end(): boolean {
    const count = this.#waiting;
    this.#waiting = 0;
    if (lanes === undefined || count === 0) return true;
    lanes.run();
    for (let lane = 0; lane < count; lane++) {
      const height = Math.clz32(lanes.digestWord(lane)) >> 1;
      if (height !== this.#heights[lane]) return false;
    }
    return true;
  }
}
