/**
 * How a thread sleeps until another has work for it. A bell is one word: 1 = somebody sleeps on it.
 * It is the only shared word with several writers, and they only ever turn 1 into 0.
 *
 *   sleeper: arm() → look at the rings once more → wait()
 *   waker:   publish into a ring → ring()
 *
 * Both sides are sequentially consistent, so either the sleeper sees the new record in its last
 * look, or the waker sees the 1: a wake-up is never lost. Waits have a time limit all the same.
 * @thread any
 */
const ASLEEP = 1;
const AWAKE = 0;

export class Bell {
  readonly #words: Int32Array;
  readonly #index: number;

  constructor(memory: SharedArrayBuffer, byteOffset: number) {
    this.#words = new Int32Array(memory);
    this.#index = byteOffset / 4;
  }

  /** Wakes the sleeper, if there is one. One load when there is none. */
  ring(): void {
    if (Atomics.load(this.#words, this.#index) === AWAKE) return;
    if (Atomics.compareExchange(this.#words, this.#index, ASLEEP, AWAKE) !== ASLEEP) return;
    Atomics.notify(this.#words, this.#index);
  }

  /** Announces the sleep. The caller must look for work once more before it waits. */
  arm(): void {
    Atomics.store(this.#words, this.#index, ASLEEP);
  }

  /** The last look found work: no sleep after all. */
  disarm(): void {
    Atomics.store(this.#words, this.#index, AWAKE);
  }

  /** Blocks the thread until rung or `timeoutMs`. Only for `persist`: main must never block. */
  waitBlocking(timeoutMs: number): void {
    Atomics.wait(this.#words, this.#index, ASLEEP, timeoutMs);
    this.disarm();
  }

  /**
   * Waits without blocking the event loop, until rung or `timeoutMs`. At most one wait per bell at
   * a time. An event loop with nothing else pending ends under it: keep a referenced timer.
   */
  async wait(timeoutMs: number): Promise<void> {
    const pending = Atomics.waitAsync(this.#words, this.#index, ASLEEP, timeoutMs);
    if (pending.async) await pending.value;
    this.disarm();
  }
}
