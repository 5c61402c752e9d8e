/** Commit cell and tail ring: no reader sees half a step or overwritten bytes. */
import t from 'tap';
import {
  COMMIT_BYTES,
  CommitReader,
  CommitView,
  CommitWriter,
} from '../../lib/shared/commit-cell.ts';
import { allocateShared } from '../../lib/shared/memory.ts';
import { allocateTailRing, TailReader, TailWriter } from '../../lib/shared/tail-ring.ts';

t.test('a filled cell is invisible until it is published', async (t) => {
  const memory = allocateShared(COMMIT_BYTES);
  const writer = new CommitWriter(memory);
  const reader = new CommitReader(memory);
  const draft = new CommitView();
  const seen = new CommitView();
  t.equal(reader.read(seen), false);
  draft.lastSeq = 2 ** 53 - 1;
  draft.byteEnd = 2 ** 33 + 5;
  draft.segmentFirstSeq = 2 ** 32 - 1;
  draft.tailEnd = -7;
  draft.heads[15] = -2147483648;
  writer.fill(draft);
  t.equal(reader.read(seen), false);
  t.equal(seen.lastSeq, 0);
  writer.publish();
  t.equal(reader.hasNew(), true);
  t.equal(reader.read(seen), true);
  t.same(seen, draft);
  t.equal(reader.read(seen), false);
});

t.test('a writer that died between fill and publish leaves the old cell in force', async (t) => {
  const memory = allocateShared(COMMIT_BYTES);
  const draft = new CommitView();
  const writer = new CommitWriter(memory);
  draft.lastSeq = 5;
  writer.fill(draft);
  writer.publish();
  draft.lastSeq = 6;
  writer.fill(draft);
  const seen = new CommitView();
  new CommitReader(memory).read(seen);
  t.equal(seen.lastSeq, 5);
});

t.test('a commit that comes while a cell is read is read instead', async (t) => {
  const memory = allocateShared(COMMIT_BYTES);
  const writer = new CommitWriter(memory);
  const reader = new CommitReader(memory);
  const draft = new CommitView();
  const commit = (lastSeq: number): void => {
    Object.assign(draft, { lastSeq, byteEnd: lastSeq, tailEnd: lastSeq });
    draft.heads.fill(lastSeq);
    writer.fill(draft);
    writer.publish();
  };
  commit(1);
  const { load } = Atomics;
  t.teardown(() => Object.assign(Atomics, { load }));
  // Two commits at each possible moment of the read: the second fills the cell that is read.
  for (let moment = 1; moment <= 30; moment++) {
    let loads = 0;
    Object.assign(Atomics, {
      load: (words: Int32Array, at: number): number => {
        if (++loads === moment) {
          Object.assign(Atomics, { load });
          commit(10 * moment);
          commit(10 * moment + 1);
        }
        return load(words, at);
      },
    });
    const seen = new CommitView();
    reader.read(seen);
    Object.assign(Atomics, { load });
    const { lastSeq, byteEnd, tailEnd, heads } = seen;
    const values = new Set([lastSeq, byteEnd, tailEnd, ...heads]);
    t.equal(values.size, 1, `one commit, whole: ${[...values].join(' ')}`);
  }
});

t.test('the tail ring says what is gone, and orders that, before it writes over it', async (t) => {
  const writer = new TailWriter(allocateTailRing(4096));
  writer.write(Buffer.alloc(4096), 0, 4096);
  const steps: string[] = [];
  const { store, add } = Atomics;
  const { copy } = Buffer.prototype;
  t.teardown(() => {
    Object.assign(Atomics, { store, add });
    Buffer.prototype.copy = copy;
  });
  const noted = (what: string, call: (...args: never[]) => unknown) =>
    function noting(this: unknown, ...args: never[]): unknown {
      steps.push(what);
      return call.apply(this, args);
    };
  // A weakly ordered CPU may show the bytes before the word, where nothing stands between them.
  Object.assign(Atomics, {
    store: noted('store', store as never),
    add: noted('fence', add as never),
  });
  Buffer.prototype.copy = noted('copy', copy as never) as typeof copy;
  writer.write(Buffer.alloc(100), 0, 100);
  t.same(steps, ['store', 'fence', 'copy']);
});

t.test('the tail ring gives back what was written, or says that it is gone', async (t) => {
  const capacityBytes = 256;
  const memory = allocateTailRing(capacityBytes);
  const writer = new TailWriter(memory);
  const reader = new TailReader(memory);
  const all: number[] = [];
  const target = Buffer.alloc(capacityBytes);
  let byte = 0;
  for (let round = 0; round < 400; round++) {
    const source = Buffer.alloc(1 + ((round * 37) % 300));
    for (let i = 0; i < source.length; i++) source[i] = byte = (byte + 1) & 0xff;
    all.push(...source);
    writer.write(source, 0, source.length);
    t.equal(writer.end, all.length | 0);
    const from = Math.max(0, all.length - capacityBytes);
    const length = all.length - from;
    if (!reader.copy(from, writer.end, target)) t.fail('the newest bytes are there');
    t.same([...target.subarray(0, length)], all.slice(from));
    if (from > 0 && reader.copy(from - 1, writer.end - 1, target)) t.fail('older bytes are gone');
  }
});

t.test('a copy out of the tail ring is looked at again, in order, after it', async (t) => {
  const memory = allocateTailRing(256);
  new TailWriter(memory).write(Buffer.alloc(256, 1), 0, 256);
  const reader = new TailReader(memory);
  const steps: string[] = [];
  const { load, add } = Atomics;
  const { copy } = Buffer.prototype;
  t.teardown(() => {
    Object.assign(Atomics, { load, add });
    Buffer.prototype.copy = copy;
  });
  const noted = (what: string, call: (...args: never[]) => unknown) =>
    function noting(this: unknown, ...args: never[]): unknown {
      steps.push(what);
      return call.apply(this, args);
    };
  Object.assign(Atomics, { load: noted('load', load as never), add: noted('fence', add as never) });
  Buffer.prototype.copy = noted('copy', copy as never) as typeof copy;
  reader.copy(0, 256, Buffer.alloc(256));
  t.same(steps, ['load', 'copy', 'fence', 'load']);
});

t.test('a copy that is overtaken while it runs is refused', async (t) => {
  const memory = allocateTailRing(256);
  const writer = new TailWriter(memory);
  const reader = new TailReader(memory);
  writer.write(Buffer.alloc(256, 1), 0, 256);
  const target = Buffer.alloc(256);
  const copyWithin = Buffer.prototype.copy;
  t.teardown(() => {
    Buffer.prototype.copy = copyWithin;
  });
  Buffer.prototype.copy = function overtaken(this: Buffer, ...args: Parameters<Buffer['copy']>) {
    Buffer.prototype.copy = copyWithin;
    const copied = this.copy(...args);
    writer.write(Buffer.alloc(1, 2), 0, 1);
    return copied;
  };
  t.equal(reader.copy(0, 256, target), false);
});
