/** Runs a table of bad frames through peek and the decoder: test/wire/hostile-*.test.ts. */
import t from 'tap';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import type { Kind } from '../../lib/wire/kinds.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';

export const EVENT = 'event';
export const PASS = 'pass';
/** What peek says of the bytes, and what the decoder says, PASS for nothing. */
export type Row = readonly [
  name: string,
  bytes: Buffer,
  peeked: string,
  decoded: string,
  kind?: Kind,
];

export function check(rows: readonly Row[]): void {
  const view = new EventView();
  const peeked = new Peek();
  for (const [name, bytes, peekWanted, decodeWanted, kind = 1] of rows) {
    t.test(name, async (t) => {
      t.equal(peek(bytes, peeked), peekWanted, 'peek');
      t.equal(decodeEvent(bytes, kind, view) ?? PASS, decodeWanted, 'decode');
      // A view over shared memory, in the middle of other bytes, is no different.
      const shared = Buffer.from(new SharedArrayBuffer(bytes.length + 32), 16, bytes.length);
      bytes.copy(shared);
      t.equal(decodeEvent(shared, kind, view) ?? PASS, decodeWanted, 'decode in a ring');
    });
  }
}
