/** The corpus builder: the same bytes from the same seed, and every commit is right and chained. */
import t from 'tap';
import { KIND_COMMIT } from '../../lib/wire/kinds.ts';
import { CORPUS_EPOCH_MS, type CorpusShape, corpus } from '../../scripts/fleet/corpus.ts';
import { judgeFrame, lastResult } from '../verify/forge.ts';
import { oracleVerdict } from '../verify/oracle.ts';

const SMALL: CorpusShape = { seed: 'small', recordCount: 100, curve: 'k256' };

function framesOf(shape: CorpusShape, commitCount: number): Buffer {
  const commits = corpus(shape).take(commitCount);
  return Buffer.concat([...commits].map(({ frame }) => frame));
}

t.test('the same seed gives the same bytes, another seed others', async (t) => {
  for (const curve of ['k256', 'p256'] as const) {
    t.ok(framesOf({ ...SMALL, curve }, 20).equals(framesOf({ ...SMALL, curve }, 20)), curve);
  }
  t.notOk(framesOf(SMALL, 5).equals(framesOf({ ...SMALL, seed: 'other' }, 5)));
});

const SHAPES: readonly (readonly [shape: CorpusShape, commitCount: number])[] = [
  [SMALL, 300],
  [{ ...SMALL, curve: 'p256' }, 100],
  [{ ...SMALL, recordCount: 0 }, 100],
  [{ seed: 'middle', recordCount: 5000, curve: 'p256', opCountMax: 1 }, 100],
  [{ seed: 'large', recordCount: 50_000, curve: 'k256' }, 200],
];

for (const [shape, commitCount] of SHAPES) {
  const title = `${shape.recordCount} records, ${shape.curve}`;
  t.test(`every commit verifies and chains: ${title}`, async (t) => {
    const counts = { create: 0, update: 0, delete: 0 };
    const opCounts = new Set<number>();
    let bad = 0;
    let last: { rev: string; dataCid: string; commitCid: string } | undefined;
    for (const commit of corpus(shape).take(commitCount)) {
      const { frame, known, key, parts } = commit;
      if (last !== undefined) t.same(known, last);
      const verdict = judgeFrame(frame, KIND_COMMIT, { key, known, epochMs: CORPUS_EPOCH_MS });
      // A verdict of `pass` is one that continues what is known.
      if (verdict !== 'pass') t.equal(verdict, 'pass', `${++bad}`);
      const { rev, dataCid, commitCid } = lastResult();
      last = { rev, dataCid, commitCid };
      opCounts.add(parts.ops.length);
      for (const { action } of parts.ops) counts[action]++;
    }
    t.equal(bad, 0);
    for (const [action, count] of Object.entries(counts)) t.ok(count > 5, `${count} × ${action}`);
    t.same(
      [...opCounts].sort((a, b) => a - b),
      Array.from({ length: shape.opCountMax ?? 10 }, (_, i) => i + 1),
    );
  });
}

t.test('an independent verifier says the same', async (t) => {
  for (const curve of ['k256', 'p256'] as const) {
    for (const { frame, key } of corpus({ ...SMALL, curve }).take(25)) {
      t.equal(await oracleVerdict(frame, `did:key:${key.multibase}`), 'pass');
    }
  }
});
