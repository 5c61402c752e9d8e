/** Reading from every cursor gives exactly the rest, whatever stands in between (G2, G5, G7, G28). */
import { join } from 'node:path';
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { KiB, MiB } from '../../lib/base/units.ts';
import { segmentName } from '../../lib/log/descriptor.ts';
import type { LogFiles } from '../../lib/log/files.ts';
import { type LogPosition, LogReader } from '../../lib/log/reader.ts';
import { DIRECTORY, must, randomBytes, readAll, reopen, splitFrames, World } from './log-world.ts';
import { SimDisk, simFiles, systemError } from './sim-disk.ts';

type Log = {
  readonly disk: SimDisk;
  readonly published: Map<number, Buffer>;
  readonly world: World;
};

/** Several runs of a relay on one disk: sealed, resumed and proven segments of all sizes. */
function build(seed: number, count: number, segmentBytesMax: number): Log {
  const disk = new SimDisk();
  const prng = new Prng(seed);
  const published = new Map<number, Buffer>();
  let world = new World({ disk, segmentBytesMax, saltSeed: seed }).start();
  for (let i = 0; i < count; ) {
    for (let k = prng.nextBelow(4); k >= 0 && i < count; k--, i++) {
      world.offer(randomBytes(prng, 10 + prng.nextBelow(200)));
    }
    world.poll();
    if (prng.nextBelow(5) === 0) {
      world.clock.pass(1000);
      world.poll();
    }
    if (prng.nextBelow(12) === 0) {
      for (const [seq, frame] of world.published) published.set(seq, frame);
      world = new World({ disk, segmentBytesMax, saltSeed: seed + i }).start();
    }
  }
  for (const [seq, frame] of world.published) published.set(seq, frame);
  return { disk, published, world };
}

const segmentsOf = (disk: SimDisk): number[] =>
  disk
    .readdir(DIRECTORY)
    .filter((name) => name.endsWith('.seg'))
    .map((name) => Number(name.slice(0, 16)))
    .sort((a, b) => a - b);

async function collect(reader: LogReader, cursor: number, bytesMax: number) {
  const found = new Map<number, Buffer>();
  let position = await reader.locate(cursor);
  while (position !== undefined) {
    const read = await reader.read(position, { bytesMax });
    if (read.kind !== 'chunk') return { found, end: read.kind };
    const firstSeq = read.lastSeq - read.frameCount + 1;
    for (const [i, frame] of splitFrames(read.bytes).entries()) found.set(firstSeq + i, frame);
    position = read.next;
  }
  return { found, end: 'unplaced' };
}

for (const [segmentBytesMax, bytesMax] of [
  [1500, 64],
  [4000, 700],
  [100_000, 256 * KiB],
] as const) {
  t.test(`G5: every cursor, segments of ${segmentBytesMax}, pieces of ${bytesMax}`, async (t) => {
    const { disk, published, world } = build(segmentBytesMax, 150, segmentBytesMax);
    const reader = world.reader(simFiles(disk), 3);
    const head = published.size;
    t.equal(world.view.lastSeq, head);
    // In an order that makes the lazy index grow from all sides.
    const prng = new Prng(9);
    const cursors = Array.from({ length: head + 1 }, (_, cursor) => cursor);
    cursors.sort(() => prng.nextFloat() - 0.5);
    for (const cursor of cursors) {
      const { found, end } = await collect(reader, cursor, bytesMax);
      const isExact = [...found.keys()].every((seq, i) => seq === cursor + 1 + i);
      const isSame = [...found].every(([seq, frame]) => published.get(seq)?.equals(frame));
      if (!isExact || !isSame || found.size !== head - cursor || end !== 'end') {
        t.fail(`cursor ${cursor}: ${found.size} records, then ${end}`);
      }
    }
    const borders = segmentsOf(disk);
    t.ok(segmentBytesMax > 50_000 || borders.length > 5, `${borders.length} segments`);
    await reader.close();
  });
}

t.test('G5: reading on while the log grows: no hole, no repeat, across seals', async (t) => {
  const disk = new SimDisk();
  const world = new World({ disk, segmentBytesMax: 1200 }).start();
  const reader = world.reader(simFiles(disk));
  const prng = new Prng(3);
  const readers = Array.from({ length: 8 }, () => {
    return { seqs: [] as number[], position: undefined as LogPosition | undefined };
  });
  for (let round = 0; round < 120; round++) {
    for (let k = prng.nextBelow(3); k > 0; k--) world.offer(randomBytes(prng, 150));
    world.poll();
    for (const one of readers) {
      if (prng.nextBelow(3) > 0) continue;
      one.position ??= await reader.locate(0);
      const read = await reader.read(must(one.position), { bytesMax: 500 });
      if (read.kind !== 'chunk') continue;
      for (let i = read.frameCount - 1; i >= 0; i--) one.seqs.push(read.lastSeq - i);
      one.position = read.next;
    }
  }
  for (const { seqs } of readers) {
    t.ok(seqs.length > 20);
    t.ok(seqs.every((seq, i) => seq === i + 1));
  }
  t.ok(world.log.sealed.length > 5);
  await reader.close();
});

t.test('G4: a reader never goes beyond what the view shows as durable', async (t) => {
  const disk = new SimDisk();
  const world = new World({ disk }).start();
  world.offer(Buffer.from('durable'));
  world.poll();
  const reader = world.reader(simFiles(disk));
  const position = must(await reader.locate(0));
  world.onPoint = async (point) => {
    if (point !== 'after-write') return;
    t.ok(disk.stat(join(DIRECTORY, segmentName(1)))?.bytes ?? 0 > world.view.byteEnd);
  };
  world.offer(Buffer.from('written, not yet durable'));
  const shown = { ...world.view, heads: world.view.heads };
  world.stage.poll();
  const old = new LogReader({
    directory: DIRECTORY,
    files: simFiles(disk),
    view: () => shown,
    oldestSeq: () => 1,
  });
  const read = await old.read(position);
  t.match(read, { kind: 'chunk', lastSeq: 1, frameCount: 1 });
  t.match(read.kind === 'chunk' && (await old.read(read.next)), { kind: 'end' });
});

t.test('a batch larger than a piece comes whole', async (t) => {
  const disk = new SimDisk();
  const options = { ringBytes: 16 * MiB, tailBytes: 16 * MiB, segmentBytesMax: 64 * MiB };
  const world = new World({ disk, ...options }).start();
  const sizes = [10, 4_000_000, 20, 300_000];
  for (const bytes of sizes) {
    world.offer(Buffer.alloc(bytes));
    world.poll();
  }
  const reader = world.reader(simFiles(disk));
  const found = await readAll(reader);
  t.same([...found.keys()], [1, 2, 3, 4]);
  for (const [seq, frame] of found) t.ok(world.published.get(seq)?.equals(frame));
});

t.test('G28: a filter leaves out single records and the others stay as they are', async (t) => {
  const disk = new SimDisk();
  const world = new World({ disk, segmentBytesMax: 3000 }).start();
  const prng = new Prng(8);
  const hidden = new Set<number>();
  for (let seq = 1; seq <= 80; seq++) {
    const isHidden = prng.nextBelow(3) === 0;
    if (isHidden) hidden.add(seq);
    world.offer(randomBytes(prng, 50 + prng.nextBelow(100)), {
      kind: 1 + prng.nextBelow(4),
      didHashLo: isHidden ? 0xfffffff0 : 7,
    });
    if (prng.nextBelow(4) === 0) world.poll();
  }
  world.poll();
  const reader = world.reader(simFiles(disk));
  for (const cursor of [0, 13, 40, 79]) {
    const frames: Buffer[] = [];
    let position = must(await reader.locate(cursor));
    for (;;) {
      const read = await reader.read(position, {
        isHidden: (kind, lo, hi, bytes, start, end) => {
          t.ok(kind >= 1 && kind <= 4 && hi === 0xfedcba98 && bytes[start] === 0x82 && end > start);
          return lo === 0xfffffff0;
        },
      });
      if (read.kind !== 'chunk') break;
      t.equal(splitFrames(read.bytes).length, read.frameCount);
      frames.push(...splitFrames(read.bytes));
      position = read.next;
    }
    const wanted = [...world.published].filter(([seq]) => seq > cursor && !hidden.has(seq));
    t.same(
      frames.map((frame) => frame.toString('hex')),
      wanted.map(([, frame]) => frame.toString('hex')),
    );
    t.equal(position.nextSeq, 81, 'hidden records at the end are passed too');
  }
});

t.test(
  'G7: retention ends no step: whoever is reading finishes, nobody starts again',
  async (t) => {
    const { disk, world, published } = build(5, 60, 1500);
    const gate = Promise.withResolvers<void>();
    let isGated = false;
    const slow: LogFiles = {
      names: simFiles(disk).names,
      open: async (path) => {
        const file = await simFiles(disk).open(path);
        return {
          ...file,
          read: async (target, byteOffset) => {
            if (isGated && byteOffset > 0) await gate.promise;
            return file.read(target, byteOffset);
          },
        };
      },
    };
    const reader = world.reader(slow);
    const position = must(await reader.locate(0));
    isGated = true;
    const reading = reader.read(position);
    const oldest = segmentsOf(disk)[2] ?? 0;
    let isRetired = false;
    const retiring = reader.retire(oldest).then(() => {
      isRetired = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    t.notOk(isRetired, 'not while somebody reads in it');
    gate.resolve();
    const read = await reading;
    await retiring;
    t.equal(read.kind, 'chunk');
    world.words.wideWriter('oldestSeq').publish(oldest);
    t.match(await reader.read(position), { kind: 'removed' });
    const rest = await readAll(reader, 0);
    t.same([...rest.keys()][0], oldest, 'a new reader starts at the oldest');
    t.equal(rest.size, published.size - oldest + 1);
    // A reader that had finished the removed segment loses nothing.
    const finished = { segmentFirstSeq: 1, byteOffset: 1500, nextSeq: oldest };
    t.match(await reader.read(finished), { kind: 'chunk' });
    await reader.close();
  },
);

t.test('G7: retention waits for a reader whose segment had to make room for others', async (t) => {
  const { disk, world } = build(5, 60, 1500);
  const gate = Promise.withResolvers<void>();
  let isGated = false;
  const slow: LogFiles = {
    names: simFiles(disk).names,
    open: async (path) => {
      const file = await simFiles(disk).open(path);
      const isFirst = path.endsWith(segmentName(1));
      return {
        ...file,
        read: async (target, byteOffset) => {
          if (isGated && isFirst && byteOffset > 0) await gate.promise;
          return file.read(target, byteOffset);
        },
      };
    },
  };
  const reader = world.reader(slow, 2);
  const position = must(await reader.locate(0));
  isGated = true;
  const reading = reader.read(position);
  const [, second = 0, third = 0, fourth = 0] = segmentsOf(disk);
  // Only two may be open: the first is to be closed as soon as nobody reads in it.
  for (const firstSeq of [second, third, fourth]) await reader.locate(firstSeq);
  let isRetired = false;
  const retiring = reader.retire(second).then(() => {
    isRetired = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(isRetired, 'its bytes are not freed under the reader');
  gate.resolve();
  t.equal((await reading).kind, 'chunk');
  await retiring;
  await reader.close();
});

t.test('a segment that cannot be read is closed again', async (t) => {
  const { disk, world } = build(5, 20, 1500);
  const open = new Set<object>();
  let isBad = true;
  const files: LogFiles = {
    names: simFiles(disk).names,
    open: async (path) => {
      const file = await simFiles(disk).open(path);
      open.add(file);
      return {
        fileBytes: file.fileBytes,
        read: async (target, byteOffset) => {
          if (isBad) throw systemError('EIO');
          return file.read(target, byteOffset);
        },
        close: async () => {
          open.delete(file);
          await file.close();
        },
      };
    },
  };
  const reader = world.reader(files);
  // A handle that nobody closes ends the process when it is collected.
  for (let i = 0; i < 3; i++) {
    const reading = reader.locate(5);
    await t.rejects(reading, { code: 'log_read_failed', isRetryable: true });
    t.equal(open.size, 0);
  }
  isBad = false;
  t.equal((await readAll(reader)).size, 20);
  await reader.close();
  t.equal(open.size, 0);
});

t.test('G7: a file that vanished is an error, never a skip', async (t) => {
  const { disk, world } = build(6, 60, 1500);
  const reader = world.reader(simFiles(disk));
  const second = segmentsOf(disk)[1] ?? 0;
  const position = must(await reader.locate(second - 1));
  disk.unlink(join(DIRECTORY, segmentName(second)));
  const other = world.reader(simFiles(disk));
  t.match(await other.read(position), { kind: 'damaged', damage: { firstSeq: second } });
});

t.test('G24: a sealed segment that was cut short is damage', async (t) => {
  for (const isProven of [false, true]) {
    const disk = new SimDisk();
    const world = new World({ disk, segmentBytesMax: 1500 }).start();
    for (let i = 0; world.log.sealed.length < 2; i++) {
      world.offer(Buffer.alloc(100, i));
      world.poll();
      if (isProven) world.clock.pass(1000);
      world.poll();
    }
    const [first = 0, second = 0] = segmentsOf(disk);
    const path = join(DIRECTORY, segmentName(first));
    for (const cutBytes of [1, 200, 700]) {
      const cut = disk.clone();
      cut.put(path, disk.content(path).subarray(0, -cutBytes));
      const { found, end } = await collect(world.reader(simFiles(cut)), 0, 256 * KiB);
      // One byte less of an empty batch costs no record, and the next segment says so.
      const isWhole = isProven && cutBytes === 1;
      t.equal(end, isWhole ? 'end' : 'damaged');
      t.equal(found.size === world.view.lastSeq, isWhole, `${cutBytes} bytes`);
      const rest = await readAll(world.reader(simFiles(cut)), second - 1);
      t.equal(rest.size, world.view.lastSeq - second + 1);
    }
  }
});

t.test('G24: no bit of a segment can flip without an error for who reads it', async (t) => {
  const { disk, published } = build(11, 12, 100_000);
  const path = join(DIRECTORY, segmentName(1));
  const whole = disk.content(path);
  const { view } = reopen(disk);
  for (let bit = 0; bit < view.byteEnd * 8; bit += 3) {
    const rotten = disk.clone();
    const bytes = Buffer.from(whole);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    rotten.put(path, bytes);
    const files = simFiles(rotten);
    const oldestSeq = (): number => 1;
    const reader = new LogReader({ directory: DIRECTORY, files, view: () => view, oldestSeq });
    const { found, end } = await collect(reader, 0, 1000).catch(() => {
      return { found: new Map<number, Buffer>(), end: 'error' };
    });
    const isSame = [...found].every(([seq, frame]) => published.get(seq)?.equals(frame));
    // Rot in an empty batch costs nothing; anything else must stop the reader.
    const isWhole = found.size === published.size;
    if (!isSame || (end === 'end' && !isWhole)) t.fail(`bit ${bit}: ${end}`);
  }
  t.pass('every third bit');
});

t.test(
  'G24: a bad place is searched behind only once, however often it is asked for',
  async (t) => {
    const disk = new SimDisk();
    const options = { segmentBytesMax: 2 * MiB, ringBytes: 16 * MiB, tailBytes: 16 * MiB };
    const world = new World({ disk, ...options }).start();
    for (let i = 0; world.log.sealed.length === 0; i++) {
      world.offer(Buffer.alloc(200 * KiB, i));
      world.poll();
    }
    const path = join(DIRECTORY, segmentName(1));
    const bytes = disk.content(path);
    disk.put(path, bytes.fill(0, 64));
    let readBytes = 0;
    const files = simFiles(disk);
    const reader = world.reader({
      names: files.names,
      open: async (name) => {
        const file = await files.open(name);
        return {
          ...file,
          read: (target, byteOffset) => {
            readBytes += target.length;
            return file.read(target, byteOffset);
          },
        };
      },
    });
    const ask = async (cursor: number): Promise<number> => {
      readBytes = 0;
      t.match(await reader.read(must(await reader.locate(cursor))), { kind: 'damaged' });
      return readBytes;
    };
    t.ok((await ask(0)) >= bytes.length - 64);
    for (let cursor = 0; cursor < 4; cursor++) t.ok((await ask(cursor)) < MiB);
    await reader.close();
  },
);

t.test('the sparse index saves reading and is bounded', async (t) => {
  const disk = new SimDisk();
  const options = { segmentBytesMax: 64 * MiB, ringBytes: 16 * MiB, tailBytes: 16 * MiB };
  const world = new World({ disk, ...options }).start();
  for (let i = 0; i < 100; i++) {
    world.offer(Buffer.alloc(10 * KiB));
    world.poll();
  }
  let reads = 0;
  const files = simFiles(disk);
  const counting: LogFiles = {
    names: files.names,
    open: async (path) => {
      const file = await files.open(path);
      return {
        ...file,
        read: (target, byteOffset) => {
          reads++;
          return file.read(target, byteOffset);
        },
      };
    },
  };
  const reader = world.reader(counting);
  await reader.locate(95);
  const first = reads;
  t.ok(first <= 20, `${first} reads for 100 batches the first time`);
  reads = 0;
  await reader.locate(50);
  t.ok(reads <= 1, `${reads} when it is known`);
});
