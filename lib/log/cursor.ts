/**
 * A consumer's way through the log: pieces of frames from a cursor on, takedowns left out. The
 * small face of `LogReader` that fan-out code sees; it holds a position and nothing else, so that
 * thousands of them cost nothing.
 * @thread any
 */
import type { RecordFilter } from './chunk.ts';
import { segmentName } from './descriptor.ts';
import type { LogDamage, LogPosition, LogReader } from './reader.ts';

export type CursorRead =
  | { readonly kind: 'frames'; readonly bytes: Buffer; readonly lastSeq: number }
  | { readonly kind: 'end' }
  /** Retention has removed what comes next (G7). */
  | { readonly kind: 'gone' }
  /** What comes next is damaged: never skipped (G24). */
  | { readonly kind: 'bad'; readonly message: string };

export type LogCursorOptions = {
  readonly isHidden?: RecordFilter;
  /** Called whenever a consumer runs into damage; the callee reports each piece once. */
  readonly onDamage?: (damage: LogDamage) => void;
};

export class LogCursor {
  readonly #reader: LogReader;
  readonly #options: LogCursorOptions;
  readonly #seqExclusive: number;
  #position: LogPosition | undefined;

  constructor(reader: LogReader, options: LogCursorOptions, seqExclusive: number) {
    this.#reader = reader;
    this.#options = options;
    this.#seqExclusive = seqExclusive;
  }

  /** The next piece: whole batches up to `bytesMax`, or one. Rejects with a `RelayFault`. */
  async next(bytesMax: number): Promise<CursorRead> {
    this.#position ??= await this.#reader.locate(this.#seqExclusive);
    if (this.#position === undefined) return { kind: 'gone' };
    const { isHidden, onDamage } = this.#options;
    const read = await this.#reader.read(this.#position, { bytesMax, isHidden });
    if (read.kind === 'end') return read;
    if (read.kind === 'removed') return { kind: 'gone' };
    if (read.kind === 'damaged') {
      onDamage?.(read);
      const { firstSeq, lastSeq } = read.damage;
      const name = segmentName(read.segmentFirstSeq);
      return { kind: 'bad', message: `${name}: seq ${firstSeq} to ${lastSeq} cannot be read` };
    }
    this.#position = read.next;
    return { kind: 'frames', bytes: read.bytes, lastSeq: read.lastSeq };
  }

  /** Files belong to the reader: nothing is open on behalf of one cursor. */
  close(): void {
    this.#position = undefined;
  }
}

/** Cursors over one reader. */
export class LogCursors {
  readonly #reader: LogReader;
  readonly #options: LogCursorOptions;

  constructor(reader: LogReader, options: LogCursorOptions = {}) {
    this.#reader = reader;
    this.#options = options;
  }

  /** A cursor that begins with the smallest retained seq above `seqExclusive`. */
  open(seqExclusive: number): LogCursor {
    return new LogCursor(this.#reader, this.#options, seqExclusive);
  }
}
