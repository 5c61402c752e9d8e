/**
 * How `persist` has a blocking fdatasync done by a thread that does nothing else, while it prepares
 * the next batch. One request at a time: asked, answered, asked again.
 *
 *   word 0    asked: requests so far, modular        (writer: persist)
 *   word 1    descriptor of the last request, -1: end (writer: persist, before `asked`)
 *   word 32   answered: requests so far, modular     (writer: helper)
 *   word 33   errno of the last answer, 0: done      (writer: helper, before `answered`)
 *   word 34   how long the call took, µs             (writer: helper, before `answered`)
 *   word 35   1 once the helper runs                 (writer: helper)
 * @thread persist
 */
import { assert } from '../base/assert.ts';
import { allocateShared, type SharedMemory } from './memory.ts';

const ASKED = 0;
const DESCRIPTOR = 1;
const ANSWERED = 32;
const ERRNO = 33;
const MICROS = 34;
const RUNS = 35;
const WORDS = 64;
const INT32_BYTES = 4;
const END = -1;

export function allocateSyncCell(): SharedMemory {
  return allocateShared(WORDS * INT32_BYTES);
}

/** Of the thread that wants the sync. */
export class SyncAsker {
  readonly #words: Int32Array;

  constructor(memory: SharedMemory) {
    this.#words = new Int32Array(memory);
  }

  /** Whether the helper has come to run: without it nothing that is asked is ever answered. */
  get isHelped(): boolean {
    return Atomics.load(this.#words, RUNS) !== 0;
  }

  /** Asks for the sync of an open file. The last request must have been waited for. */
  ask(fd: number): void {
    const words = this.#words;
    const asked = Atomics.load(words, ASKED);
    assert(Atomics.load(words, ANSWERED) === asked, 'one sync at a time');
    Atomics.store(words, DESCRIPTOR, fd);
    Atomics.store(words, ASKED, (asked + 1) | 0);
    Atomics.notify(words, ASKED);
  }

  /** Blocks until the helper has answered. `errno` is 0 where the sync succeeded. */
  wait(): { readonly errno: number; readonly micros: number } {
    const words = this.#words;
    const asked = Atomics.load(words, ASKED);
    for (;;) {
      const answered = Atomics.load(words, ANSWERED);
      if (answered === asked) break;
      Atomics.wait(words, ANSWERED, answered);
    }
    return { errno: Atomics.load(words, ERRNO), micros: Atomics.load(words, MICROS) };
  }

  /** Tells the helper to end. */
  end(): void {
    this.ask(END);
  }
}

/** Of the helper. */
export class SyncAnswerer {
  readonly #words: Int32Array;

  constructor(memory: SharedMemory) {
    this.#words = new Int32Array(memory);
  }

  /** Blocks until there is a request; its descriptor, or undefined for the end. */
  next(): number | undefined {
    const words = this.#words;
    Atomics.store(words, RUNS, 1);
    const answered = Atomics.load(words, ANSWERED);
    while (Atomics.load(words, ASKED) === answered) Atomics.wait(words, ASKED, answered);
    const fd = Atomics.load(words, DESCRIPTOR);
    return fd === END ? undefined : fd;
  }

  /** The request is done, or failed with a system error of this number (negative, as Node's). */
  answer(errno: number, micros: number): void {
    const words = this.#words;
    Atomics.store(words, ERRNO, errno);
    Atomics.store(words, MICROS, micros);
    Atomics.store(words, ANSWERED, (Atomics.load(words, ANSWERED) + 1) | 0);
    Atomics.notify(words, ANSWERED);
  }
}
