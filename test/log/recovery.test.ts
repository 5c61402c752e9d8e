/** What recovery makes of every truncation and every flipped bit (G13, G24). */
import { join } from 'node:path';
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import {
  BATCH_BYTES_MAX,
  BATCH_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
} from '../../lib/log/descriptor.ts';
import { DIRECTORY, must, randomBytes, readAll, reopen, World } from './log-world.ts';
import { SimDisk } from './sim-disk.ts';

const SEGMENT = join(DIRECTORY, '0000000000000001.seg');

type Built = {
  readonly disk: SimDisk;
  readonly published: Map<number, Buffer>;
  /** End of the file after each batch, the header first. */
  readonly ends: number[];
  readonly lastSeqs: number[];
};

/** A log of `batchCount` batches with one to three records each, the last one not proven. */
function build(batchCount: number, seed = 1): Built {
  const disk = new SimDisk();
  const world = new World({ disk, saltSeed: seed }).start();
  const prng = new Prng(seed);
  const ends = [SEGMENT_HEADER_BYTES];
  const lastSeqs = [0];
  for (let i = 0; i < batchCount; i++) {
    for (let k = 0; k <= i % 3; k++) world.offer(randomBytes(prng, 3 + prng.nextBelow(6)));
    world.poll();
    ends.push(world.view.byteEnd);
    lastSeqs.push(world.view.lastSeq);
  }
  return { disk, published: world.published, ends, lastSeqs };
}

function isPrefix(found: Map<number, Buffer>, published: Map<number, Buffer>): boolean {
  let seq = 0;
  for (const [foundSeq, frame] of found) {
    if (foundSeq !== ++seq || !published.get(seq)?.equals(frame)) return false;
  }
  return true;
}

function withContent(disk: SimDisk, bytes: Buffer): SimDisk {
  const copy = disk.clone();
  copy.put(SEGMENT, bytes);
  return copy;
}

function flip(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

function zero(bytes: Buffer, start: number, end: number): Buffer {
  return Buffer.from(bytes).fill(0, start, end);
}

t.test('G13: every truncation point leaves a prefix, and the next seq is right', async (t) => {
  const { disk, published, ends, lastSeqs } = build(5);
  const whole = disk.content(SEGMENT);
  for (let bytes = 0; bytes < whole.length; bytes++) {
    const cut = withContent(disk, whole.subarray(0, bytes));
    const { reader, writer, report } = reopen(cut);
    const found = await readAll(reader);
    const batches = ends.filter((end) => end <= bytes).length - 1;
    const lastSeq = lastSeqs[Math.max(batches, 0)] ?? 0;
    if (!isPrefix(found, published) || found.size !== lastSeq) t.fail(`cut at ${bytes}`);
    if (writer.nextSeq !== lastSeq + 1) t.fail(`cut at ${bytes}: next seq ${writer.nextSeq}`);
    if (report.damaged.length > 0) t.fail(`cut at ${bytes} taken for damage`);
    const end = ends[Math.max(batches, 0)] ?? 0;
    // Stale bytes behind a later batch would be taken for proof that it was published.
    if (cut.stat(SEGMENT)?.bytes !== end) t.fail(`cut at ${bytes}: the torn tail is still there`);
    if (batches >= 0 && bytes > end) {
      const copy = cut.content(join(DIRECTORY, report.tornCopyName));
      if (!copy.equals(whole.subarray(end, bytes))) t.fail(`cut at ${bytes}: wrong .torn copy`);
    }
  }
  t.pass(`${whole.length} truncation points`);
});

t.test('G13: a flipped bit in the last batch loses that batch and nothing else', async (t) => {
  const { disk, published, ends, lastSeqs } = build(4);
  const whole = disk.content(SEGMENT);
  const lastSeq = lastSeqs.at(-2) ?? 0;
  for (let bit = (ends.at(-2) ?? 0) * 8; bit < whole.length * 8; bit++) {
    const { reader, writer, report } = reopen(withContent(disk, flip(whole, bit)));
    const found = await readAll(reader);
    if (!isPrefix(found, published) || found.size !== lastSeq) t.fail(`bit ${bit}`);
    if (writer.nextSeq !== lastSeq + 1) t.fail(`bit ${bit}: next seq ${writer.nextSeq}`);
    if (report.damaged.length > 0) t.fail(`bit ${bit} taken for damage`);
  }
  t.pass('all bits');
});

t.test(
  'G24: a flipped bit in an earlier batch is damage: nothing cut, no seq reused',
  async (t) => {
    const { disk, published, ends, lastSeqs } = build(5);
    const whole = disk.content(SEGMENT);
    for (const index of [3]) {
      const [before, after] = [lastSeqs[index] ?? 0, lastSeqs[index + 1] ?? 0];
      const [from, to] = [(ends[index] ?? 0) * 8, (ends[index + 1] ?? 0) * 8];
      for (let bit = from; bit < to; bit++) {
        const bytes = flip(whole, bit);
        const rotten = withContent(disk, bytes);
        const { reader, writer, report } = reopen(rotten);
        const range = report.damaged[0]?.damages[0];
        if (range?.firstSeq !== before + 1 || range.lastSeq !== after) t.fail(`bit ${bit}: range`);
        if (writer.nextSeq !== published.size + 1) t.fail(`bit ${bit}: next ${writer.nextSeq}`);
        if (!rotten.content(SEGMENT).equals(bytes)) t.fail(`bit ${bit}: segment changed`);
        if (!rotten.content(`${SEGMENT}.corrupt`).equals(bytes)) t.fail(`bit ${bit}: no copy`);
        const found = await readAll(reader);
        if (!isPrefix(found, published) || found.size !== before) t.fail(`bit ${bit}: crossed`);
        const rest = await readAll(reader, after);
        if (rest.size !== published.size - after) t.fail(`bit ${bit}: ${rest.size} behind it`);
      }
    }
    t.pass('all bits of one batch');
  },
);

t.test(
  'G24: rot in the last published batch is damage once a proof stands behind it',
  async (t) => {
    for (const isProven of [true, false]) {
      const disk = new SimDisk();
      const world = new World({ disk }).start();
      world.offer(Buffer.from('published'));
      world.poll();
      const end = world.view.byteEnd;
      world.clock.pass(999);
      world.poll();
      t.equal(world.view.byteEnd, end, 'not before a second has passed');
      world.clock.pass(1);
      if (isProven) world.poll();
      t.equal(world.view.byteEnd, isProven ? end + BATCH_HEADER_BYTES : end);
      world.clock.pass(5000);
      if (isProven) world.poll();
      t.equal(world.view.byteEnd, isProven ? end + BATCH_HEADER_BYTES : end, 'one proof is enough');
      disk.put(SEGMENT, flip(disk.content(SEGMENT), (end - 1) * 8));
      const { report, writer } = reopen(disk);
      t.equal(report.damaged.length, isProven ? 1 : 0, 'without the proof it looks torn');
      t.equal(writer.nextSeq, isProven ? 2 : 1);
    }
  },
);

t.test('G24: no flipped bit in the last published batch can make it look torn', async (t) => {
  for (const end of ['a second without events', 'a clean stop', 'a new segment'] as const) {
    const disk = new SimDisk();
    const world = new World({ disk, segmentAgeMsMax: 60_000 }).start();
    for (let i = 0; i < 2; i++) {
      world.offer(Buffer.from('shown'));
      world.offer(Buffer.from('to consumers'));
      world.poll();
    }
    const [from, to] = [disk.content(SEGMENT).length, world.view.byteEnd];
    t.equal(from, to);
    const batchAt = SEGMENT_HEADER_BYTES + (to - SEGMENT_HEADER_BYTES) / 2;
    if (end === 'a clean stop') world.words.writer('stop').publish(1);
    else world.clock.pass(end === 'a new segment' ? 60_000 : 1000);
    for (let i = 0; i < 2; i++) world.poll();
    const whole = disk.content(SEGMENT);
    const isProof = end !== 'a new segment';
    t.equal(whole.length, to + (isProof ? BATCH_HEADER_BYTES : 0), `proven by ${end}`);
    for (let bit = batchAt * 8; bit < to * 8; bit++) {
      const bytes = flip(whole, bit);
      const rotten = withContent(disk, bytes);
      const { reader, writer, report } = reopen(rotten);
      // In a sealed segment it is found by whoever reads it.
      if (report.damaged.length !== (isProof ? 1 : 0)) t.fail(`${end}, bit ${bit}: not told`);
      if (writer.nextSeq !== 5) t.fail(`${end}, bit ${bit}: next seq ${writer.nextSeq}`);
      if (!rotten.content(SEGMENT).equals(bytes)) t.fail(`${end}, bit ${bit}: changed`);
      const read = await reader.read(must(await reader.locate(2)));
      const range = read.kind === 'damaged' ? read.damage : undefined;
      if (range?.firstSeq !== 3 || range.lastSeq !== 4) t.fail(`${end}, bit ${bit}: not an error`);
      if ((await readAll(reader)).size !== 2) t.fail(`${end}, bit ${bit}: a record was lost`);
    }
  }
});

t.test('G13: cut at every byte behind a proof, what was shown is whole', async (t) => {
  const disk = new SimDisk();
  const world = new World({ disk }).start();
  world.offer(Buffer.from('shown'));
  world.poll();
  world.clock.pass(1000);
  world.poll();
  const whole = disk.content(SEGMENT);
  const end = whole.length - BATCH_HEADER_BYTES;
  for (let bytes = end; bytes <= whole.length; bytes++) {
    const { writer, report, reader } = reopen(withContent(disk, whole.subarray(0, bytes)));
    if (writer.nextSeq !== 2 || report.damaged.length > 0) t.fail(`cut at ${bytes}`);
    if ((await readAll(reader)).size !== 1) t.fail(`cut at ${bytes}: lost`);
  }
  for (let bit = end * 8; bit < whole.length * 8; bit++) {
    const { writer, report, reader } = reopen(withContent(disk, flip(whole, bit)));
    if (writer.nextSeq !== 2 || report.damaged.length > 0) t.fail(`bit ${bit} of the proof`);
    if ((await readAll(reader)).size !== 1) t.fail(`bit ${bit} of the proof: lost`);
  }
  t.pass('every byte and bit of the proof');
});

t.test('G24: rot in an empty batch loses nothing', async (t) => {
  const disk = new SimDisk();
  const world = new World({ disk }).start();
  const record = (): void => {
    world.offer(Buffer.from('published'));
    world.poll();
  };
  record();
  const proofAt = world.view.byteEnd;
  world.clock.pass(1000);
  world.poll();
  record();
  for (let bit = 0; bit < BATCH_HEADER_BYTES * 8; bit++) {
    const rotten = withContent(disk, flip(disk.content(SEGMENT), proofAt * 8 + bit));
    const { reader, report, writer } = reopen(rotten);
    const [damage] = report.damaged[0]?.damages ?? [];
    if (damage?.byteOffset !== proofAt || damage.lastSeq >= damage.firstSeq) t.fail(`bit ${bit}`);
    if (writer.nextSeq !== 3) t.fail(`bit ${bit}: next seq`);
    if ((await readAll(reader)).size !== 2) t.fail(`bit ${bit}: a record was lost`);
  }
  t.pass('all bits');
});

t.test('G24: headers destroyed in a row are damage up to the next linked batch', async (t) => {
  const { disk, ends, lastSeqs, published } = build(6);
  const whole = disk.content(SEGMENT);
  const [start, end] = [ends[2] ?? 0, (ends[3] ?? 0) + 10];
  const { report, writer, reader } = reopen(withContent(disk, zero(whole, start, end)));
  t.match(report.damaged[0]?.damages, [
    { firstSeq: (lastSeqs[2] ?? 0) + 1, lastSeq: lastSeqs[4], byteOffset: start, byteEnd: ends[4] },
  ]);
  t.equal(writer.nextSeq, published.size + 1);
  t.equal((await readAll(reader, lastSeqs[4])).size, published.size - (lastSeqs[4] ?? 0));
});

t.test('G24: two damages in one segment are two ranges', async (t) => {
  const { disk, ends, lastSeqs } = build(7);
  const whole = disk.content(SEGMENT);
  const bytes = flip(flip(whole, (ends[1] ?? 0) * 8), ((ends[5] ?? 0) - 1) * 8);
  const { report, reader } = reopen(withContent(disk, bytes));
  t.match(report.damaged[0]?.damages, [
    { firstSeq: (lastSeqs[1] ?? 0) + 1, lastSeq: lastSeqs[2] },
    { firstSeq: (lastSeqs[4] ?? 0) + 1, lastSeq: lastSeqs[5] },
  ]);
  t.equal((await readAll(reader, lastSeqs[2])).size, (lastSeqs[4] ?? 0) - (lastSeqs[2] ?? 0));
});

t.test(
  'G24: a lone batch behind destroyed headers is not served, and its seqs are not reused',
  async (t) => {
    const { disk, ends, lastSeqs, published } = build(5);
    const whole = disk.content(SEGMENT);
    // Batches 3 and 4 have lost their headers: batch 5 may be real, but nothing links it.
    const lost = zero(
      zero(whole, ends[2] ?? 0, (ends[2] ?? 0) + 64),
      ends[3] ?? 0,
      (ends[3] ?? 0) + 64,
    );
    const rotten = withContent(disk, lost);
    const world = new World({ disk: rotten, saltSeed: 5 }).start();
    t.match(world.report.damaged[0]?.damages, [
      { firstSeq: (lastSeqs[2] ?? 0) + 1, lastSeq: published.size, byteEnd: whole.length },
    ]);
    t.equal(world.log.nextSeq, published.size + 1);
    // Nothing may be appended there: behind the damage it would not be believed either.
    world.offer(Buffer.from('after it'));
    world.poll();
    const again = reopen(rotten);
    t.equal(again.writer.nextSeq, published.size + 2);
    t.same([...(await readAll(again.reader, published.size)).keys()], [published.size + 1]);
  },
);

t.test('G24: more bytes than one batch can have are never one torn batch', async (t) => {
  const { disk, published } = build(2);
  const bytes = Buffer.concat([disk.content(SEGMENT), Buffer.alloc(BATCH_BYTES_MAX + 1)]);
  const { report, writer } = reopen(withContent(disk, bytes));
  t.equal(report.tornBytes, 0);
  t.ok(writer.nextSeq > published.size + 100_000, 'no seq that may have been there is used again');
  const short = reopen(withContent(disk, bytes.subarray(0, -1)));
  t.equal(short.report.tornBytes, BATCH_BYTES_MAX, 'one byte less may be torn');
});

t.test('G12: damage is reported at one start and not at every one after it', async (t) => {
  const { disk, ends, published } = build(4);
  const rotten = withContent(disk, flip(disk.content(SEGMENT), ((ends[2] ?? 0) - 1) * 8));
  t.equal(reopen(rotten).report.damaged.length, 1);
  for (let start = 0; start < 3; start++) {
    const { report, reader } = reopen(rotten, { saltSeed: 5 + start });
    t.same(report.damaged, []);
    t.equal(report.nextSeq, published.size + 1);
    await reader.close();
  }
});
