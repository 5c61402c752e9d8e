/**
 * What the liveness thread may know: read-only, from shared words alone, never waiting for anybody.
 * @thread any
 */
import type { SharedMemory } from './memory.ts';
import { type MainWord, Words } from './regions.ts';

export class HealthReader {
  readonly shardCount: number;
  readonly #words: Words;
  readonly #beats: readonly { observe(): number }[];

  constructor(memory: SharedMemory, shardCount: number) {
    this.shardCount = shardCount;
    this.#words = new Words(memory);
    this.#beats = Array.from({ length: shardCount }, (_, shard) =>
      this.#words.shardReader('beatVerify', shard),
    );
  }

  mainBeat(): number {
    return this.#word('beatMain');
  }

  persistBeat(): number {
    return this.#word('beatPersist');
  }

  verifyBeat(shard: number): number {
    return this.#beats[shard]?.observe() ?? 0;
  }

  /** One of `Phase`. */
  phase(): number {
    return this.#word('phase');
  }

  /** One of `PersistState`. */
  persistState(): number {
    return this.#word('persistState');
  }

  /** One of `DatabaseState`. */
  databaseState(): number {
    return this.#word('databaseState');
  }

  /** Why the log is paused, as in append-fault.ts; 0 while it is not. */
  pauseCause(): number {
    return this.#word('pauseCause');
  }

  /** One of `BallastState`. */
  ballastState(): number {
    return this.#word('ballast');
  }

  assignedSeq(): number {
    return this.#wide('assigned');
  }

  writtenSeq(): number {
    return this.#wide('written');
  }

  durableSeq(): number {
    return this.#wide('durable');
  }

  publishedSeq(): number {
    return this.#wide('published');
  }

  oldestSeq(): number {
    return this.#wide('oldestSeq');
  }

  checkpointSeq(): number {
    return this.#wide('checkpointSeq');
  }

  #word(name: MainWord): number {
    return this.#words.reader(name).observe();
  }

  #wide(name: MainWord): number {
    return this.#words.wideReader(name).observe();
  }
}
