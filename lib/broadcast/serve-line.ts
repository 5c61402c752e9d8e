/**
 * Consumers that wait for their turn, first come first served. A list that is walked, and not
 * shifted: with a thousand consumers in it that would be a copy per turn.
 * @thread main
 */
import type { Consumer } from './consumer.ts';

export class ServeLine {
  #waiting: Consumer[] = [];
  #now: Consumer[] = [];
  #at = 0;

  get isEmpty(): boolean {
    return this.#at >= this.#now.length && this.#waiting.length === 0;
  }

  add(consumer: Consumer): void {
    this.#waiting.push(consumer);
  }

  take(): Consumer | undefined {
    if (this.#at >= this.#now.length) {
      this.#now = this.#waiting;
      this.#waiting = [];
      this.#at = 0;
    }
    const next = this.#now[this.#at++];
    // Nobody who has had his turn is kept alive by this.
    if (this.#at >= this.#now.length) this.#now = [];
    return next;
  }
}
