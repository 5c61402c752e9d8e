/**
 * Reads pieces of the log for consumers that are behind the tail ring. Bounded: so many reads at a
 * time, the others wait in line; consumers that stand at the same seq share one read, and a piece
 * read a moment ago is not read again. Holds each consumer's cursor into the log.
 * @thread main
 */
import { AssertionFailed } from '../base/assert.ts';
import { errorText } from '../base/fault.ts';
import { MiB } from '../base/units.ts';
import type { Consumer } from './consumer.ts';

/** One piece of the log: whole websocket frames, nothing hidden in them that must not be shown. */
export type LogPiece = {
  readonly kind: 'frames';
  readonly bytes: Buffer;
  /** Seq of the last event looked at, whether it is in `bytes` or hidden by a takedown. */
  readonly lastSeq: number;
};

export type LogRead =
  | LogPiece
  /** Nothing durable after this seq yet. */
  | { readonly kind: 'end' }
  /** Retention has removed what comes next (G7). */
  | { readonly kind: 'gone' }
  /** What comes next cannot be read or is damaged: never skipped (G24). */
  | { readonly kind: 'bad'; readonly message: string };

export type LogCursor = {
  /** The next piece of about `bytesMax` bytes, at least one frame. May reject: as `bad`. */
  next(bytesMax: number): Promise<LogRead>;
  close(): void;
};

export type LogSource = {
  /** A cursor that begins with the smallest retained seq above `seqExclusive`. */
  open(seqExclusive: number): LogCursor;
};

export type ReplayOptions = {
  readonly readsMax: number;
  readonly pieceBytesMax: number;
};

type Held = { readonly cursor: LogCursor; seq: number };

const CACHE_BYTES_MAX = 8 * MiB;

export class Replays {
  readonly #log: LogSource;
  readonly #options: ReplayOptions;
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
    onRead: (consumer: Consumer, read: LogRead) => void,
  ) {
    this.#log = log;
    this.#options = options;
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

  /** The piece after the consumer's seq if it is at hand; else it is read and `onRead` is called. */
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
    let read: LogRead = { kind: 'end' };
    if (reader !== undefined) {
      try {
        const held = this.#holdAt(reader, seq);
        read = await held.cursor.next(this.#options.pieceBytesMax);
        if (read.kind === 'frames') held.seq = read.lastSeq;
      } catch (error) {
        if (error instanceof AssertionFailed) throw error;
        read = { kind: 'bad', message: errorText(error) };
      }
    }
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

  /** The consumer's cursor, standing at `seq`: shared pieces may have carried it past its own. */
  #holdAt(consumer: Consumer, seq: number): Held {
    const known = this.#held.get(consumer);
    if (known !== undefined && known.seq === seq) return known;
    known?.cursor.close();
    const held = { cursor: this.#log.open(seq), seq };
    this.#held.set(consumer, held);
    return held;
  }

  #keep(seq: number, piece: LogPiece): void {
    this.#cache.set(seq, piece);
    this.#cacheBytes += piece.bytes.length;
    for (const [oldSeq, old] of this.#cache) {
      if (this.#cacheBytes <= CACHE_BYTES_MAX) break;
      this.#cache.delete(oldSeq);
      this.#cacheBytes -= old.bytes.length;
    }
  }
}
