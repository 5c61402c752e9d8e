import t from 'tap';
import { KiB, MiB } from '../../lib/base/units.ts';
import { TailChunks } from '../../lib/broadcast/tail-chunks.ts';
import { NOT_IN_TAIL, TailIndex } from '../../lib/broadcast/tail-index.ts';
import { CommitView } from '../../lib/shared/commit-cell.ts';
import { allocateTailRing, TailReader, TailWriter } from '../../lib/shared/tail-ring.ts';
import { wrapMessage } from '../../lib/wire/ws-frame.ts';
import { messageOf, seqOf } from './world.ts';

class Bench {
  readonly writer: TailWriter;
  readonly reader: TailReader;
  readonly view = new CommitView();
  readonly frames: Buffer[] = [];
  nextSeq: number;
  index: TailIndex;

  constructor(capacityBytes: number, lastSeq = 0, advanceBytes = 0) {
    const memory = allocateTailRing(capacityBytes);
    this.writer = new TailWriter(memory);
    this.reader = new TailReader(memory);
    const filling = Buffer.alloc(capacityBytes);
    // Moves the position on without bytes that anybody reads: to get near 2^31 and 2^32.
    for (let left = advanceBytes; left > 0; left -= 2 ** 30) {
      this.writer.write(filling, capacityBytes - Math.min(left, 2 ** 30), capacityBytes);
    }
    this.view.lastSeq = lastSeq;
    this.view.tailEnd = this.writer.end;
    this.nextSeq = lastSeq + 1;
    this.index = new TailIndex(this.reader, this.view);
  }

  /** A commit of frames with these sizes; returns what the index says about its first note. */
  commit(sizes: readonly number[]): boolean {
    for (const bytes of sizes) {
      const frame = wrapMessage(messageOf(this.nextSeq++, bytes));
      this.writer.write(frame, 0, frame.length);
    }
    this.view.lastSeq = this.nextSeq - 1;
    this.view.tailEnd = this.writer.end;
    return this.index.observe(this.view);
  }

  /** The seq of the frame at a position, read from the ring. */
  seqAt(position: number): number {
    const frame = Buffer.alloc(18);
    if (!this.index.copy(position, Math.min(position + 18, this.index.headEnd), frame)) return -1;
    const second = frame.readUInt8(1);
    return seqOf(frame.subarray(second < 126 ? 2 : second === 126 ? 4 : 10));
  }
}

t.test('G5: every seq in the ring is found, around 2^31 and 2^32 too', async (t) => {
  const sizes = [10, 200, 70_000, 130, 20_000, 90, 400];
  for (const advance of [0, 2 ** 31 - 100_000, 2 ** 32 - 100_000]) {
    const bench = new Bench(MiB, 1000, advance);
    let at = 0;
    for (let commit = 0; commit < 300; commit++) {
      const count = 1 + (commit % 5);
      bench.commit(Array.from({ length: count }, () => sizes[at++ % sizes.length] ?? 0));
    }
    const head = bench.index.headSeq;
    t.equal(bench.index.place(head), bench.index.headEnd, 'the head');
    t.equal(bench.index.place(head + 1), NOT_IN_TAIL, 'not yet there');
    let found = 0;
    const wrong: number[] = [];
    for (let seq = 1000; seq < head; seq++) {
      const position = bench.index.place(seq);
      if (position === NOT_IN_TAIL) {
        if (found > 0) wrong.push(seq);
        continue;
      }
      found++;
      if (bench.seqAt(position) !== seq + 1) wrong.push(seq);
    }
    t.same(wrong, [], `advance ${advance}: no seq is at a wrong place`);
    t.ok(found > 30, `${found} seqs are in the ring`);
    t.ok(bench.index.noteCount <= MiB / (32 * KiB) + 2, 'notes are bounded');
  }
});

t.test('a position that was passed is refused, also 2^32 bytes later', async (t) => {
  const bench = new Bench(64 * KiB);
  bench.commit([100]);
  const position = bench.index.place(0);
  t.equal(bench.seqAt(position), 1);
  for (let i = 0; i < 4; i++) bench.commit([20_000]);
  t.notOk(bench.index.has(position), 'overwritten');
  t.equal(bench.index.place(0), NOT_IN_TAIL);
  const filling = Buffer.alloc(64 * KiB);
  let bytes = 2 ** 32 - (bench.writer.end - (position | 0));
  while (bytes > 0) {
    const part = Math.min(bytes, 2 ** 30);
    bench.writer.write(filling, filling.length - part, filling.length);
    bench.view.tailEnd = bench.writer.end;
    bench.view.lastSeq += 1;
    bench.index.observe(bench.view);
    bytes -= part;
  }
  t.equal(bench.index.headEnd | 0, position | 0, 'modulo 2^32 it is the head');
  t.notOk(bench.index.has(position), 'but it is not');
});

t.test('G14: where numbers jump between two processes, the first note moves up', async (t) => {
  const bench = new Bench(MiB, 500);
  bench.nextSeq = 1_000_501;
  t.equal(bench.commit([100, 100, 100]), true, 'consumers at 500 must leave the tail');
  t.equal(bench.index.firstSeq, 1_000_500);
  t.equal(bench.index.place(500), NOT_IN_TAIL);
  t.equal(bench.index.place(700), NOT_IN_TAIL, 'inside the jump');
  t.equal(bench.seqAt(bench.index.place(1_000_500)), 1_000_501);
  t.equal(bench.seqAt(bench.index.place(1_000_502)), 1_000_503);
  t.equal(bench.commit([100]), false);
});

t.test('the log was opened after the index was made', async (t) => {
  const bench = new Bench(MiB, 0);
  bench.view.lastSeq = 77;
  t.equal(bench.index.observe(bench.view), true);
  t.equal(bench.index.place(0), NOT_IN_TAIL);
  t.equal(bench.index.place(77), bench.index.headEnd);
  t.equal(bench.index.observe(bench.view), false, 'an empty batch changes nothing');
});

t.test('G28: forget() leaves only the present end', async (t) => {
  const bench = new Bench(MiB);
  bench.commit([100, 100, 100]);
  t.not(bench.index.place(1), NOT_IN_TAIL);
  bench.index.forget();
  t.same(
    [0, 1, 2].map((seq) => bench.index.place(seq)),
    [NOT_IN_TAIL, NOT_IN_TAIL, NOT_IN_TAIL],
  );
  t.equal(bench.index.place(3), bench.index.headEnd);
  bench.commit([100, 100]);
  t.equal(bench.seqAt(bench.index.place(3)), 4);
});

t.test('chunks: whole frames, at least one, bounded, shared, never of shared memory', async (t) => {
  const bench = new Bench(4 * MiB);
  const chunks = new TailChunks(bench.index, 64 * KiB);
  const sizes = Array.from({ length: 400 }, (_, i) => (i % 50 === 7 ? 150_000 : 40 + i * 5));
  bench.commit(sizes);
  bench.commit([10, 20, 30]);
  let position = bench.index.place(0);
  let seq = 0;
  let pieces = 0;
  while (position < bench.index.headEnd) {
    const chunk = chunks.after(position, seq);
    if (chunk === undefined) throw new Error('overwritten');
    t.equal(chunks.after(position, seq), chunk, 'the same object for the same place');
    t.notOk(chunk.bytes.buffer instanceof SharedArrayBuffer);
    let at = 0;
    while (at < chunk.bytes.length) {
      const short = chunk.bytes.readUInt8(at + 1);
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      const bytes =
        short < 126
          ? short
          : short === 126
            ? chunk.bytes.readUInt16BE(at + 2)
            : chunk.bytes.readUInt32BE(at + 6);
      t.equal(seqOf(chunk.bytes.subarray(at + header)), ++seq);
      at += header + bytes;
    }
    t.equal(at, chunk.bytes.length, 'ends at a frame border');
    t.equal(chunk.lastSeq, seq);
    t.ok(chunk.bytes.length <= 64 * KiB || chunk.bytes.length > 150_000, 'bounded');
    position = chunk.end;
    pieces++;
  }
  t.equal(seq, 403);
  t.ok(pieces > 10, `${pieces} pieces`);
});

t.test('G26: chunks are kept for as many places as there are consumers, and 8 MiB', async (t) => {
  const bench = new Bench(16 * MiB);
  bench.commit(Array.from({ length: 24 }, () => MiB / 2));
  const chunks = new TailChunks(bench.index, MiB / 4);
  const places = Array.from({ length: 24 }, (_, seq) => bench.index.place(seq));
  const copiesFor = (seq: number): number => {
    const before = chunks.copies;
    chunks.after(places[seq] ?? 0, seq);
    return chunks.copies - before;
  };
  chunks.consumerCount = 2;
  for (const seq of [0, 1, 2]) copiesFor(seq);
  t.same([copiesFor(2), copiesFor(1)], [0, 0], 'two places');
  t.ok(copiesFor(0) > 0, 'the third is the oldest one');
  chunks.consumerCount = 1000;
  for (let seq = 0; seq < 24; seq++) copiesFor(seq);
  t.equal(copiesFor(23), 0);
  t.equal(copiesFor(12), 0);
  t.ok(copiesFor(2) > 0, '12 MiB are more than is kept');
});

t.test('a short cached chunk is cut anew once there is more', async (t) => {
  const bench = new Bench(MiB);
  const chunks = new TailChunks(bench.index, 64 * KiB);
  bench.commit([100]);
  const first = chunks.after(bench.index.place(0), 0);
  bench.commit([100]);
  const second = chunks.after(bench.index.place(0), 0);
  t.equal(first?.lastSeq, 1);
  t.equal(second?.lastSeq, 2, 'a late consumer gets both at once');
});

t.test('an overwritten place gives no chunk', async (t) => {
  const bench = new Bench(64 * KiB);
  const chunks = new TailChunks(bench.index, 16 * KiB);
  bench.commit([100]);
  const position = bench.index.place(0);
  for (let i = 0; i < 8; i++) bench.commit([20_000]);
  t.equal(chunks.after(position, 0), undefined);
});
