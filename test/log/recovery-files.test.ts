/** Recovery across files: what it refuses, what it writes again, how segments follow each other. */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import {
  BATCH_HEADER_BYTES,
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  segmentName,
} from '../../lib/log/descriptor.ts';
import { FaultDisk } from './fault-disk.ts';
import { DIRECTORY, must, readAll, reopen, World } from './log-world.ts';
import { SimDisk } from './sim-disk.ts';

const pathOf = (firstSeq: number): string => join(DIRECTORY, segmentName(firstSeq));

/** `count` records, one batch each, in segments of `segmentBytesMax`. */
function build(count: number, segmentBytesMax = 1024): { disk: SimDisk; world: World } {
  const disk = new SimDisk();
  const world = new World({ disk, segmentBytesMax }).start();
  for (let i = 0; i < count; i++) {
    world.offer(Buffer.alloc(100, i));
    world.poll();
  }
  return { disk, world };
}

const segmentsOf = (disk: SimDisk): string[] =>
  disk.readdir(DIRECTORY).filter((name) => name.endsWith('.seg'));

t.test(
  'G15: the last batch is written again in place and synced before anything is shown',
  async (t) => {
    const { disk, world } = build(3);
    const before = disk.content(pathOf(1));
    const traced = new FaultDisk(disk);
    reopen(traced);
    const name = segmentName(1);
    t.same(traced.trace().slice(-3), [`open ${name}`, `pwritev ${name}`, `fdatasync ${name}`]);
    t.ok(disk.content(pathOf(1)).equals(before), 'with the same bytes');
    // The page is clean in memory and absent on disk: only the rewrite brings it there.
    const failing = new FaultDisk(disk);
    failing.decide = (call) => (call.what === 'fdatasync' ? { code: 'EIO' } : undefined);
    t.throws(() => reopen(failing), { code: 'log_sync_failed' });
    t.equal(world.view.lastSeq, 3);
  },
);

t.test(
  'G27: a segment or batch of an unknown version stops the start with the file name',
  async (t) => {
    const { disk, world } = build(20);
    const names = segmentsOf(disk);
    t.ok(names.length > 2);
    for (const name of [names[0], names.at(-1)]) {
      const path = join(DIRECTORY, name ?? '');
      const newer = disk.clone();
      const bytes = newer.content(path);
      bytes.writeUInt16LE(2, 8);
      bytes.writeUInt32LE(0x12345678, 60);
      newer.put(path, bytes);
      t.throws(() => reopen(newer), {
        code: 'log_version_unknown',
        message: new RegExp(name ?? ''),
      });
    }
    t.equal(world.view.lastSeq, 20);
  },
);

t.test('G27: a whole batch of an unknown version stops start and reader alike', async (t) => {
  const { disk } = build(1);
  const { reader } = reopen(disk);
  const bytes = disk.content(pathOf(1));
  const segment = decodeSegmentHeader(bytes);
  if (typeof segment === 'string') throw new Error('no header');
  bytes.writeUInt16LE(2, SEGMENT_HEADER_BYTES + 8);
  const crcAt = SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES - 4;
  const covered = bytes.subarray(SEGMENT_HEADER_BYTES, crcAt);
  bytes.writeUInt32LE(crc32(covered, segment.crcSeed), crcAt);
  disk.put(pathOf(1), bytes);
  const unknown = { code: 'log_version_unknown', message: new RegExp(segmentName(1)) };
  t.throws(() => reopen(disk), unknown);
  await t.rejects(reader.read(must(await reader.locate(0))), unknown);
  t.ok(disk.content(pathOf(1)).equals(bytes), 'nothing was cut off');
});

t.test('G27: rot in the version field alone is damage, not a new version', async (t) => {
  const { disk } = build(20);
  const bytes = disk.content(pathOf(1));
  bytes.writeUInt16LE(3, 8);
  disk.put(pathOf(1), bytes);
  t.match(reopen(disk).report.damaged, [{ name: segmentName(1) }]);
});

t.test(
  'G24: a sealed segment without a readable header: others are served, its range is not',
  async (t) => {
    const { disk, world } = build(20);
    const bytes = disk.content(pathOf(1));
    disk.put(pathOf(1), bytes.fill(0, 0, 30));
    const { report, reader, writer } = reopen(disk);
    t.match(report.damaged, [{ name: segmentName(1), copyName: `${segmentName(1)}.corrupt` }]);
    t.equal(writer.nextSeq, 21);
    const second = Number(segmentsOf(disk)[1]?.slice(0, 16));
    const read = await reader.read(must(await reader.locate(0)));
    t.match(read, { kind: 'damaged', damage: { firstSeq: 1, lastSeq: second - 1 } });
    const rest = await readAll(reader, second - 1);
    t.equal(rest.size, 20 - second + 1);
    for (const [seq, frame] of rest) t.ok(world.published.get(seq)?.equals(frame));
    t.same(reopen(disk).report.damaged, [], 'told once');
  },
);

t.test(
  'G24: the active segment without a header but with data: no seq in it is used again',
  async (t) => {
    const { disk, world } = build(3);
    disk.put(pathOf(1), disk.content(pathOf(1)).fill(0xff, 0, 40));
    const { writer, report, reader, view } = reopen(disk);
    t.ok(writer.nextSeq > world.view.lastSeq);
    t.match(report.damaged, [{ name: segmentName(1) }]);
    const read = await reader.read(must(await reader.locate(0)));
    t.match(read, { kind: 'damaged', damage: { firstSeq: 1, lastSeq: writer.nextSeq - 1 } });
    t.equal(view.segmentFirstSeq, writer.nextSeq);
  },
);

t.test(
  'G13: a segment that was being created is removed and the one before it goes on',
  async (t) => {
    for (const bytes of [0, 17, SEGMENT_HEADER_BYTES]) {
      const { disk } = build(3);
      disk.put(pathOf(4), Buffer.alloc(bytes));
      const { report, writer } = reopen(disk);
      t.equal(report.unbornName, segmentName(4));
      t.same([writer.nextSeq, writer.segmentFirstSeq], [4, 1]);
      t.same(segmentsOf(disk), [segmentName(1)]);
    }
  },
);

t.test(
  'SQ-10, G1: a higher floor starts a segment of its own and readers pass the gap',
  async (t) => {
    const { disk, world } = build(3);
    const again = new World({ disk, nextSeqMin: 1_000_000, saltSeed: 3 }).start();
    t.equal(again.log.nextSeq, 1_000_000);
    again.offer(Buffer.from('after the jump'));
    again.poll();
    const { reader } = reopen(disk);
    for (const cursor of [0, 2, 3, 4, 999_999]) {
      const found = await readAll(reader, cursor);
      const wanted = [1, 2, 3, 1_000_000].filter((seq) => seq > cursor);
      t.same([...found.keys()], wanted, `cursor ${cursor}`);
    }
    t.equal(world.published.size, 3);
    t.equal(reopen(disk, { nextSeqMin: 5 }).writer.nextSeq, 1_000_001, 'never back');
  },
);

t.test('an empty log starts at the floor', async (t) => {
  t.equal(reopen(new SimDisk()).writer.nextSeq, 1);
  const { writer, view } = reopen(new SimDisk(), { nextSeqMin: 500 });
  t.same([writer.nextSeq, writer.oldestSeq, view.lastSeq], [500, 500, 499]);
});

t.test('G24: a segment that is missing in the middle is damage, not a jump', async (t) => {
  const { disk } = build(30);
  const [, second, third] = segmentsOf(disk).map((name) => Number(name.slice(0, 16)));
  disk.unlink(pathOf(second ?? 0));
  disk.fsyncDir(DIRECTORY);
  const { reader } = reopen(disk);
  const found = await readAll(reader);
  t.equal(found.size, (second ?? 0) - 1);
  const at = await reader.read(must(await reader.locate((second ?? 0) - 1)));
  t.match(at, { kind: 'damaged', damage: { firstSeq: second, lastSeq: (third ?? 0) - 1 } });
  t.equal((await readAll(reader, (third ?? 0) - 1)).size, 30 - (third ?? 0) + 1);
});

t.test('no room for copies: the log opens all the same', async (t) => {
  const { disk } = build(3);
  disk.put(pathOf(1), Buffer.concat([disk.content(pathOf(1)), Buffer.from('torn')]));
  const full = new FaultDisk(disk);
  full.decide = (call) => (call.what === 'create' ? { code: 'ENOSPC' } : undefined);
  const { report, writer } = reopen(full);
  t.match(report, { tornBytes: 4, tornCopyName: '' });
  t.equal(writer.nextSeq, 4);
});

t.test('copies of torn tails do not pile up', async (t) => {
  const { disk } = build(1);
  for (let i = 0; i < 20; i++) {
    disk.put(pathOf(1), Buffer.concat([disk.content(pathOf(1)), Buffer.from('torn')]));
    const world = new World({ disk, saltSeed: 5 }).start();
    world.offer(Buffer.from('next'));
    world.poll();
  }
  const copies = disk.readdir(DIRECTORY).filter((name) => name.endsWith('.torn'));
  t.equal(copies.length, 8);
});

t.test('copies of torn tails: the newest is kept, however many digits its byte has', async (t) => {
  const { disk, world } = build(1, 1 << 20);
  for (let byteEnd = 99_990; byteEnd < 100_000; byteEnd++) {
    disk.put(join(DIRECTORY, `${segmentName(1)}.${byteEnd}.torn`), Buffer.from('older'));
  }
  world.offer(Buffer.alloc(100_000));
  world.poll();
  disk.put(pathOf(1), Buffer.concat([disk.content(pathOf(1)), Buffer.from('torn')]));
  const { report } = reopen(disk);
  t.equal(report.tornCopyName, `${segmentName(1)}.${world.view.byteEnd}.torn`);
  t.ok(world.view.byteEnd >= 100_000);
  const copies = disk.readdir(DIRECTORY).filter((name) => name.endsWith('.torn'));
  t.ok(copies.includes(report.tornCopyName), 'what was just kept is there');
  t.equal(copies.length, 8);
});

t.test('G16: a copy that found no room gives back what it had taken', async (t) => {
  for (const what of ['pwritev', 'fdatasync', 'rename']) {
    const { disk } = build(3);
    disk.put(pathOf(1), Buffer.concat([disk.content(pathOf(1)), Buffer.from('torn')]));
    const full = new FaultDisk(disk);
    full.decide = (call) => {
      return call.what === what && call.path.includes('.torn') ? { code: 'ENOSPC' } : undefined;
    };
    const { report } = reopen(full);
    t.equal(report.tornCopyName, '', what);
    t.same(disk.readdir(DIRECTORY), [segmentName(1)], `${what}: no name is left`);
    const copies = full.calls.filter(({ path }) => path.endsWith('.torn.part'));
    // An unlinked file that is open keeps its blocks until the process ends.
    t.equal(copies.filter((call) => call.what === 'close').length, 1, `${what}: it is closed`);
  }
});

t.test('G7, G24: what lies before a damaged header is not taken for old', async (t) => {
  const { disk, world } = build(30);
  const firstSeqs = segmentsOf(disk).map((name) => Number(name.slice(0, 16)));
  t.ok(firstSeqs.length >= 4);
  for (const damaged of [1, 2, firstSeqs.length - 1]) {
    const rotten = disk.clone();
    const path = pathOf(firstSeqs[damaged] ?? 0);
    rotten.put(path, rotten.content(path).fill(0, 0, 30));
    const again = new World({
      disk: rotten,
      clock: world.clock,
      retention: { ageMsMax: 3_600_000, bytesMax: 0 },
    });
    for (const { newestMs } of again.log.sealed) t.equal(newestMs, world.clock.epoch);
    again.start();
    again.words.wideWriter('checkpointSeq').publish(30);
    again.poll();
    t.equal(again.log.oldestSeq, 1, 'retention leaves it alone');
  }
});
