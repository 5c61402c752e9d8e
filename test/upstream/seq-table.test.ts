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

const SEQS = 5_000;
/** A table is two thirds full at most: a few slots per look-up, and those of each growth. */
const READS_PER_SEQ_MAX = 30;

/** Slots read to fill a table with seqs in steps and to find them all, per seq. */
function readsPerSeq(step: number): number {
  const Real = globalThis.Float64Array;
  let reads = 0;
  const counting: ProxyHandler<Float64Array> = {
    get: (slots, key) => {
      reads++;
      return Reflect.get(slots, key, slots);
    },
    set: (slots, key, value) => Reflect.set(slots, key, value, slots),
  };
  // The table's own slots, seen from outside: it makes them by this name.
  globalThis.Float64Array = new Proxy(Real, {
    construct: (_, [length]) => new Proxy(new Real(length), counting),
  });
  try {
    const table = new SeqTable();
    for (let i = 1; i <= SEQS; i++) table.add(i * step, i);
    let found = 0;
    for (let i = 1; i <= SEQS; i++) if (table.matches(i * step, i)) found++;
    return found === SEQS ? reads / SEQS : Number.POSITIVE_INFINITY;
  } finally {
    globalThis.Float64Array = Real;
  }
}

t.test('seqs in steps of any size spread: a look-up reads few slots', async (t) => {
  for (const step of [1, 2, 1000, 2 ** 16, 1_000_000, 2 ** 32]) {
    const reads = readsPerSeq(step);
    // Seqs that share a slot make it a thousand and more.
    t.ok(reads > 1 && reads < READS_PER_SEQ_MAX, `step ${step}: ${reads} reads per seq`);
  }
});
