/**
 * The one commit point. `persist` fills the idle one of two cells and makes it current with a
 * single store; durable seq, release of the verified rings and what readers may see all come from
 * the current cell, so nobody ever sees half a step.
 *
 *   word 0                count: commits so far, modular; cell = count & 1     (writer: persist)
 *   word 32 …             cell 0
 *   word 32 + CELL_WORDS  cell 1
 *
 *   cell: segmentFirstSeq lo,hi | byteEnd lo,hi | lastSeq lo,hi | tailEnd | - | heads[SHARDS_MAX]
 *
 * Only Int32 atomics: they neither tear nor allocate, and they keep program order on every CPU,
 * which the reader's check (same count before and after) needs.
 * @thread any
 */
import { assert } from '../base/assert.ts';

export const SHARDS_MAX = 16;
const HEADS_AT = 8;
const CELL_WORDS = 32;
const CELLS_AT = 32;
export const COMMIT_BYTES = (CELLS_AT + 2 * CELL_WORDS) * 4;
const WORD = 2 ** 32;

export class CommitView {
  /** First seq of the segment that `byteEnd` is in; 0 before the log is open. */
  segmentFirstSeq = 0;
  /** Bytes of that segment that are durable. */
  byteEnd = 0;
  /** Highest durable seq; 0 while the log is empty. */
  lastSeq = 0;
  /** Tail-ring position (modular) up to which frames are durable. */
  tailEnd = 0;
  /** Per shard: position in its verified ring below which everything is durable. */
  readonly heads = new Int32Array(SHARDS_MAX);
}

function writeWide(words: Int32Array, at: number, value: number): void {
  Atomics.store(words, at, value | 0);
  Atomics.store(words, at + 1, Math.floor(value / WORD));
}

function readWide(words: Int32Array, at: number): number {
  return (Atomics.load(words, at) >>> 0) + Atomics.load(words, at + 1) * WORD;
}

/** The writing end. Owner: the `persist` thread. */
export class CommitWriter {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    assert(memory.byteLength >= COMMIT_BYTES, 'commit cell memory too small');
    this.#words = new Int32Array(memory);
  }

  /** Fills the idle cell. Nothing is visible yet. */
  fill(view: CommitView): void {
    const words = this.#words;
    const cell = CELLS_AT + ((Atomics.load(words, 0) + 1) & 1) * CELL_WORDS;
    writeWide(words, cell, view.segmentFirstSeq);
    writeWide(words, cell + 2, view.byteEnd);
    writeWide(words, cell + 4, view.lastSeq);
    Atomics.store(words, cell + 6, view.tailEnd);
    for (let i = 0; i < SHARDS_MAX; i++) {
      Atomics.store(words, cell + HEADS_AT + i, view.heads[i] ?? 0);
    }
  }

  /** Makes the filled cell current with one store. Pairs with the loads in `CommitReader.read`. */
  publish(): void {
    Atomics.store(this.#words, 0, (Atomics.load(this.#words, 0) + 1) | 0);
  }
}

/** The reading end: any thread, any number of them. */
export class CommitReader {
  readonly #words: Int32Array;
  #countSeen = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  /** Whether there was a commit since the last `read`. */
  hasNew(): boolean {
    return Atomics.load(this.#words, 0) !== this.#countSeen;
  }

  /** Copies the current cell into `view`; true if it is newer than at the last call. */
  read(view: CommitView): boolean {
    const words = this.#words;
    for (;;) {
      const count = Atomics.load(words, 0);
      const cell = CELLS_AT + (count & 1) * CELL_WORDS;
      view.segmentFirstSeq = readWide(words, cell);
      view.byteEnd = readWide(words, cell + 2);
      view.lastSeq = readWide(words, cell + 4);
      view.tailEnd = Atomics.load(words, cell + 6);
      for (let i = 0; i < SHARDS_MAX; i++) {
        view.heads[i] = Atomics.load(words, cell + HEADS_AT + i);
      }
      // One commit later the writer may already be filling this cell again.
      if (Atomics.load(words, 0) !== count) continue;
      const isNew = count !== this.#countSeen;
      this.#countSeen = count;
      return isNew;
    }
  }
}
