import t from 'tap';
import { decideStart, parseCursor } from '../../lib/broadcast/cursor.ts';

t.test('H161: only one whole number below 2^53 is a cursor', async (t) => {
  const table: readonly (readonly [query: string, expected: unknown])[] = [
    ['', undefined],
    ['other=1', undefined],
    ['cursor=0', 0],
    ['cursor=17', 17],
    ['cursor=9007199254740991', 9007199254740991],
    ['cursor=9007199254740992', 'bad'],
    ['cursor=9007199254740993', 'bad'],
    ['cursor=1180591620717411303424', 'bad'],
    ['cursor=abc', 'bad'],
    ['cursor=1.5', 'bad'],
    ['cursor=1e3', 'bad'],
    ['cursor=-1', 'bad'],
    ['cursor=%2B1', 'bad'],
    ['cursor=+1', 'bad'],
    ['cursor=', 'bad'],
    ['cursor', 'bad'],
    ['cursor=0x10', 'bad'],
    ['cursor=%31%30', 10],
    ['cursor=1&cursor=1', 'bad'],
    ['cursor=1&x=2', 1],
    ['__proto__=1&cursor=4', 4],
    [`cursor=${'9'.repeat(10_000)}`, 'bad'],
    ['cursor=%ff', 'bad'],
    ['cursor=１', 'bad'],
  ];
  for (const [query, expected] of table) t.equal(parseCursor(query), expected, query.slice(0, 40));
});

t.test('G6, H159, H160: where a stream begins', async (t) => {
  const from = (seq: number, isOutdated = false) => ({ kind: 'from', seq, isOutdated });
  const table: readonly (readonly [cursor: number | undefined, expected: unknown, why: string])[] =
    [
      [undefined, from(100), 'no cursor: live'],
      [100, from(100), 'head: live'],
      [99, from(99), 'one below the head'],
      [101, { kind: 'future' }, 'head + 1'],
      [9007199254740991, { kind: 'future' }, 'far ahead'],
      [0, from(49), '0: oldest, no info'],
      [49, from(49), 'directly below the oldest: nothing missed'],
      [50, from(50), 'the oldest itself'],
      [48, from(49, true), 'one too old'],
      [1, from(49, true), 'much too old'],
    ];
  for (const [cursor, expected, why] of table) t.same(decideStart(cursor, 50, 100), expected, why);
  t.same(decideStart(0, 1, 0), from(0), 'empty log, cursor 0');
  t.same(decideStart(undefined, 1, 0), from(0), 'empty log, no cursor');
  t.same(decideStart(1, 1, 0), { kind: 'future' }, 'empty log, cursor 1');
  t.same(decideStart(5, 101, 100), from(100, true), 'all was retired');
  t.same(decideStart(100, 101, 100), from(100), 'all was retired, at the head');
});
