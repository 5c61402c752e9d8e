/**
 * A dial gate: at most so many at once, the others wait in order of arrival. Two of them stand in
 * front of every connection, reconnects too: a wide one for DNS and TCP, a narrow one for the TLS
 * handshake, which is what starves the event loop (2,800 at once: 2.5 s without a timer, D1).
 * Whoever waits can be cancelled; nothing waits without a signal.
 * @thread main
 */
import { assert } from '../base/assert.ts';

type Waiter = () => void;

export class Gate {
  readonly #slotCount: number;
  readonly #waitersMax: number;
  /** In order of arrival; a Set, so that a cancelled waiter leaves at once. */
  readonly #waiters = new Set<Waiter>();
  #used = 0;

  constructor(options: { readonly slotCount: number; readonly waitersMax: number }) {
    this.#slotCount = options.slotCount;
    this.#waitersMax = options.waitersMax;
  }

  get usedCount(): number {
    return this.#used;
  }

  get waitingCount(): number {
    return this.#waiters.size;
  }

  /**
   * Resolves true with a slot taken: the caller must leave(). Resolves false without one when the
   * signal aborts or too many wait already.
   */
  enter(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (this.#used < this.#slotCount) {
      this.#used++;
      return Promise.resolve(true);
    }
    if (this.#waiters.size >= this.#waitersMax) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const onAbort = (): void => {
      this.#waiters.delete(pass);
      resolve(false);
    };
    const pass: Waiter = () => {
      signal.removeEventListener('abort', onAbort);
      resolve(true);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiters.add(pass);
    return promise;
  }

  /** Gives the slot back, to the one that has waited longest. */
  leave(): void {
    assert(this.#used > 0, 'gate left more often than entered');
    const next = this.#waiters.values().next();
    if (next.done === true) {
      this.#used--;
      return;
    }
    this.#waiters.delete(next.value);
    next.value();
  }
}
