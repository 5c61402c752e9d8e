/**
 * What a consumer's `cursor` means, pure. The cursor is exclusive: the next frame is the smallest
 * retained seq above it (G6, spec A1). Knows neither sockets nor the log.
 * @thread any
 */

/** `undefined`: no cursor given; a number: the cursor; `'bad'`: answer HTTP 400. */
export type CursorParam = number | undefined | 'bad';

/** Digits only, and no more of them than 2^53 has: anything longer is out of range anyway. */
const DIGITS = /^\d{1,16}$/;

/** Reads `cursor` from the raw query string. Twice, empty, signed, fractional or ≥ 2^53 is bad. */
export function parseCursor(query: string): CursorParam {
  const values = new URLSearchParams(query).getAll('cursor');
  const text = values[0];
  if (text === undefined) return undefined;
  if (values.length > 1 || !DIGITS.test(text)) return 'bad';
  const cursor = Number(text);
  return Number.isSafeInteger(cursor) ? cursor : 'bad';
}

export type Start =
  /** Send every retained seq above `seq`; `isOutdated`: say `OutdatedCursor` first. */
  | { readonly kind: 'from'; readonly seq: number; readonly isOutdated: boolean }
  /** The cursor is above everything we ever sent: `FutureCursor`, then close. */
  | { readonly kind: 'future' };

/**
 * Where a stream begins. `oldestSeq` is the first retained seq (one above `headSeq` while the log
 * is empty), `headSeq` the last durable one. Cursor 0 asks for all there is and gets no info frame
 * (A3); a cursor directly below the oldest seq has missed nothing and gets none either.
 */
export function decideStart(cursor: number | undefined, oldestSeq: number, headSeq: number): Start {
  if (cursor === undefined) return { kind: 'from', seq: headSeq, isOutdated: false };
  if (cursor > headSeq) return { kind: 'future' };
  const belowOldest = Math.min(oldestSeq - 1, headSeq);
  if (cursor >= belowOldest) return { kind: 'from', seq: cursor, isOutdated: false };
  return { kind: 'from', seq: belowOldest, isOutdated: cursor !== 0 };
}
