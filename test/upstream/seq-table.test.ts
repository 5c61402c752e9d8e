import fc from 'fast-check';
import t from 'tap';
import { SeqTable } from '../../lib/upstream/seq-table.ts';

t.test('property: like a set of pairs, through every growth', async () => {
  const seq = fc.oneof(
    fc.integer({ min: 1, max: 200 }),
    fc.integer({ min: 1, max: 200 }).map((value) => value * 2 ** 32),
    fc.integer({ min: 1, max: 200 }).map((value) => 2 ** 53 - value),
  );
  const pair = fc.tuple(seq, fc.integer({ min: 0, max: 2 ** 32 - 1 }));
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 300 }), fc.array(pair), (pairs, others) => {
      const table = new SeqTable();
      for (const [value, crc] of pairs) table.add(value, crc);
      const isRight = ([value, crc]: [number, number]): boolean =>
        table.has(value) === pairs.some(([known]) => known === value) &&
        table.matches(value, crc) ===
          pairs.some(([known, knownCrc]) => known === value && knownCrc === crc);
      const maxSeq = Math.max(0, ...pairs.map(([value]) => value));
      const isCounted = table.count === pairs.length && table.maxSeq === maxSeq;
      return isCounted && [...pairs, ...others].every(isRight);
    }),
    { numRuns: 300 },
  );
});

/** Milliseconds to fill a table with seqs in steps and to find them all. */
function time(step: number): number {
  const table = new SeqTable();
  const startMs = performance.now();
  for (let i = 1; i <= 20_000; i++) table.add(i * step, i);
  let found = 0;
  for (let i = 1; i <= 20_000; i++) if (table.matches(i * step, i)) found++;
  return found === 20_000 ? performance.now() - startMs : Number.POSITIVE_INFINITY;
}

t.test('seqs in steps of any size spread: look-ups stay cheap', async (t) => {
  time(1);
  const baseMs = Math.min(time(1), time(1));
  for (const step of [2, 1000, 2 ** 16, 1_000_000, 2 ** 32]) {
    const ms = Math.min(time(step), time(step));
    // Seqs that share a slot make this quadratic, a hundred times as long and more.
    t.ok(ms < 20 * baseMs + 5, `step ${step}: ${ms} against ${baseMs} ms`);
  }
});
