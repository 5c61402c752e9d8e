/** The process in which the consumers of fanout.bench.ts are, as the bench sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';

/** Open consumers, say when each has had so many bytes in all, or close them. */
export type ReaderOrder =
  | {
      readonly lane: number;
      readonly kind: 'open';
      readonly port: number;
      readonly count: number;
    }
  | { readonly lane: number; readonly kind: 'expect'; readonly bytes: number }
  | { readonly lane: number; readonly kind: 'close' };

export class ReaderProcess {
  readonly #child: ChildProcess = fork(join(import.meta.dirname, 'fanout-peer.ts'));
  readonly #waiting = new Map<number, () => void>();
  #laneCount = 0;

  constructor() {
    this.#child.on('message', (lane: number) => {
      const done = this.#waiting.get(lane);
      this.#waiting.delete(lane);
      done?.();
    });
  }

  nextLane(): number {
    return ++this.#laneCount;
  }

  /** Resolves when it is done. */
  ask(order: ReaderOrder): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(order.lane, resolve);
    this.#child.send(order);
    return promise;
  }

  tell(order: ReaderOrder): void {
    this.#child.send(order);
  }

  stop(): void {
    this.#child.disconnect();
  }
}
