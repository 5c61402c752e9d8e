/** SHA-256 of ranges: the pooled views, and lengths beyond them. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { digestOf } from '../../lib/repo/digest.ts';

t.test('CD-1: as of a message of its own, whatever was hashed before', async (t) => {
  const source = Buffer.from(Array.from({ length: 6000 }, (_, i) => (i * 31) ^ (i >> 8)));
  const lengths = [0, 1, 55, 56, 63, 64, 65, 500, 4095, 4096, 4097, 5000];
  let wrong = 0;
  for (const length of [...lengths, ...lengths.toReversed(), ...lengths]) {
    for (const start of [0, 1, 999]) {
      const message = source.subarray(start, start + length);
      const digest = createHash('sha256').update(message).digest('latin1');
      if (digestOf(source, start, start + length) !== digest) wrong++;
    }
  }
  t.equal(wrong, 0);
});

t.test('bytes of a ring, which are shared', async (t) => {
  const shared = Buffer.from(new SharedArrayBuffer(100));
  shared.fill('x');
  const digest = createHash('sha256').update('x'.repeat(50)).digest('latin1');
  t.equal(digestOf(shared, 25, 75), digest);
});
