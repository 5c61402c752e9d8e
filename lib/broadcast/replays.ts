/**
 * Reads pieces of the log for consumers that are behind the tail ring. Bounded: so many reads at a
 * time, the others wait in line; consumers that stand at the same seq share one read, and a piece
 * read a moment ago is not read again. Holds each consumer's cursor into the log.
 * @thread main
 */
import { AssertionFailed } from '../base/assert.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { MiB } from '../base/units.ts';
import type { CursorRead } from '../log/cursor.ts';
import type { Consumer } from './consumer.ts';

/** A cursor as lib/log/cursor.ts has it. */
export type LogCursor = {
  /** The next piece of about `bytesMax` bytes, at least one batch. Rejects with a `RelayFault`. */
  next(bytesMax: number): Promise<CursorRead>;
  close(): void;
};

/** One piece of the log: whole websocket frames, without those that must not be shown. */
export type LogPiece = Extract<CursorRead, { kind: 'frames' }>;

/** `retry`: the disk could not be read this time. */
export type LogRead = CursorRead | { readonly kind: 'retry'; readonly message: string };

export type LogSource = {
  /** A cursor that begins with the smallest retained seq above `seqExclusive`, or the oldest. */
  open(seqExclusive: number): LogCursor;
};

export type ReplayOptions = {
  readonly readsMax: number;
  readonly pieceBytesMax: number;
};

type Held = {
  readonly cursor: LogCursor;
  seq: number;
  /** It has found its place in the log. */
  isPlaced: boolean;
};

const CACHE_BYTES_MAX = 8 * MiB;

export class Replays {
  readonly #log: LogSource;
  readonly #options: ReplayOptions;
  readonly #oldestSeq: () => number;
  readonly #onRead: (consumer: Consumer, read: LogRead) => void;
  readonly #held = new Map<Consumer, Held>();
  /** Who waits for the piece after a seq; the first of them lends its cursor. */
  readonly #waiting = new Map<number, Consumer[]>();
  /** Seqs whose read has not begun, first come first served. */
  readonly #line: number[] = [];
  readonly #cache = new Map<number, LogPiece>();
  #cacheBytes = 0;
  #active = 0;
  #reads = 0;
  #clears = 0;

  constructor(
    log: LogSource,
    options: ReplayOptions,
    oldestSeq: () => number,
    onRead: (consumer: Consumer, read: LogRead) => void,
  ) {
    this.#log = log;
    this.#options = options;
    this.#oldestSeq = oldestSeq;
    this.#onRead = onRead;
  }

  /** Reads done so far. */
  get reads(): number {
    return this.#reads;
  }

  /** Reads under way or waiting. */
  get pending(): number {
    return this.#active + this.#line.length;
  }

  /** Cursors open in the log. */
  get cursors(): number {
    return this.#held.size;
  }

  /** The piece after its seq if that is at hand; else it is read and `onRead` is called. */
  take(consumer: Consumer): LogPiece | undefined {
    const known = this.#cache.get(consumer.seq);
    if (known !== undefined) return known;
    consumer.isReading = true;
    const others = this.#waiting.get(consumer.seq);
    if (others !== undefined) {
      others.push(consumer);
      return undefined;
    }
    this.#waiting.set(consumer.seq, [consumer]);
    this.#line.push(consumer.seq);
    this.#startReads();
    return undefined;
  }

  /** The consumer is gone or back in the tail: its cursor closes (after the read in hand). */
  release(consumer: Consumer): void {
    if (consumer.isReading) return;
    this.#held.get(consumer)?.cursor.close();
    this.#held.delete(consumer);
  }

  /** What may be shown has changed. */
  clear(): void {
    this.#clears++;
    this.#cache.clear();
    this.#cacheBytes = 0;
  }

  #startReads(): void {
    while (this.#active < this.#options.readsMax) {
      const seq = this.#line.shift();
      if (seq === undefined) return;
      this.#active++;
      void this.#read(seq);
    }
  }

  async #read(seq: number): Promise<void> {
    const reader = this.#waiting.get(seq)?.[0];
    const clears = this.#clears;
    const read: LogRead = reader === undefined ? { kind: 'end' } : await this.#next(reader, seq);
    this.#reads++;
    this.#active--;
    if (read.kind === 'frames' && clears === this.#clears) this.#keep(seq, read);
    const waiting = this.#waiting.get(seq) ?? [];
    this.#waiting.delete(seq);
    for (const consumer of waiting) {
      consumer.isReading = false;
      this.#onRead(consumer, read);
    }
    this.#startReads();
  }

  async #next(consumer: Consumer, seq: number): Promise<LogRead> {
    const { pieceBytesMax } = this.#options;
    try {
      const held = this.#holdAt(consumer, seq);
      let read = await held.cursor.next(pieceBytesMax);
      // Empty batches (proofs) account for no event.
      while (read.kind === 'frames' && read.lastSeq <= seq) {
        read = await held.cursor.next(pieceBytesMax);
      }
      if (read.kind !== 'frames') return read;
      // A new cursor begins at the oldest seq when its own has been removed meanwhile. What is
      // still retained now was retained then, so only this order of the two proves it (G7).
      const isWhole = held.isPlaced || seq + 1 >= this.#oldestSeq();
      held.seq = read.lastSeq;
      held.isPlaced = true;
      return isWhole ? read : { kind: 'gone' };
    } catch (error) {
      if (error instanceof AssertionFailed) throw error;
      const isRetryable = error instanceof RelayFault && error.isRetryable;
      return { kind: isRetryable ? 'retry' : 'bad', message: errorText(error) };
    }
  }

  /** The consumer's cursor, standing at `seq`: shared pieces may have carried it past its own. */
  #holdAt(consumer: Consumer, seq: number): Held {
    const known = this.#held.get(consumer);
    if (known !== undefined && known.seq === seq) return known;
    known?.cursor.close();
    const held = { cursor: this.#log.open(seq), seq, isPlaced: false };
    this.#held.set(consumer, held);
    return held;
  }

  #keep(seq: number, piece: LogPiece): void {
    this.#cache.set(seq, piece);
    this.#cacheBytes += heldBytes(piece);
    for (const [oldSeq, old] of this.#cache) {
      if (this.#cacheBytes <= CACHE_BYTES_MAX) break;
      this.#cache.delete(oldSeq);
      this.#cacheBytes -= heldBytes(old);
    }
  }
}

/** What a piece keeps in memory: all that was read, also where most of it is hidden (G28). */
function heldBytes(piece: LogPiece): number {
  return piece.bytes.buffer.byteLength;
}
