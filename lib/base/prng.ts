/**
 * Seedable randomness for jitter and sampling (never for secrets): xorshift over 32 bits.
 * The same seed gives the same numbers, so a test that failed can be run again.
 * @thread any
 */
export class Prng {
  #state: number;

  constructor(seed: number) {
    // A zero state would stay zero for ever.
    this.#state = (seed ^ 0x9e3779b9) | 0 || 1;
    this.nextUint32();
    this.nextUint32();
  }

  /** A seed that differs from start to start. */
  static randomSeed(): number {
    return Math.floor(Math.random() * 2 ** 32);
  }

  nextUint32(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  /** Uniform in [0, 1). */
  nextFloat(): number {
    return this.nextUint32() / 2 ** 32;
  }

  /** Whole number in [0, below). */
  nextBelow(below: number): number {
    return Math.floor(this.nextFloat() * below);
  }
}

/** FNV-1a of a text: a stable seed, so that a host keeps its place in the start-up window. */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
