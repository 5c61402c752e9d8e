/**
 * Test seam: words through which a test tells a thread to die, hang or stop at a crash point while
 * it works. Production passes no memory, and every question is answered with no. No setting of an
 * operator reaches it.
 * @thread any
 */
import type { SharedMemory } from './memory.ts';
import { allocateShared } from './memory.ts';

/** What can be asked for; the number after it says of whom or where. */
const ACTIONS = ['verifyExit', 'verifyHang', 'persistExit', 'persistCrash', 'persistHang'] as const;
export type ChaosAction = (typeof ACTIONS)[number];

export function allocateChaos(): SharedMemory {
  return allocateShared(ACTIONS.length * 4);
}

export class Chaos {
  readonly #words: Int32Array | null;

  constructor(memory: SharedMemory | null) {
    this.#words = memory === null ? null : new Int32Array(memory);
  }

  /** Asks for an action; `argument` ≥ 1. */
  request(action: ChaosAction, argument: number): void {
    if (this.#words !== null) Atomics.store(this.#words, ACTIONS.indexOf(action), argument);
  }

  /** Whether the action was asked for with this argument; asks only once. */
  take(action: ChaosAction, argument: number): boolean {
    if (this.#words === null) return false;
    const index = ACTIONS.indexOf(action);
    if (Atomics.load(this.#words, index) !== argument) return false;
    Atomics.store(this.#words, index, 0);
    return true;
  }

  /** Stands still for ever, as a thread in an endless loop does. */
  static hang(): never {
    const word = new Int32Array(allocateShared(4));
    for (;;) Atomics.wait(word, 0, 0);
  }
}
