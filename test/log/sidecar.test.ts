/** `<segment>.idx`: left by the writer, put back by readers, believed only as far as it is right. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { KiB, MiB } from '../../lib/base/units.ts';
import { segmentName } from '../../lib/log/descriptor.ts';
import { NodeDisk } from '../../lib/log/disk.ts';
import { type LogFiles, realLogFiles, replaceFile } from '../../lib/log/files.ts';
import { LogReader } from '../../lib/log/reader.ts';
import { parseSidecarName, sidecarName } from '../../lib/log/sidecar.ts';
import { realRemovalFiles, SegmentRemover } from '../../lib/log/unlink.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { FaultDisk } from './fault-disk.ts';
import { DIRECTORY, must, randomBytes, readAll, World } from './log-world.ts';
import { SimDisk, simFiles } from './sim-disk.ts';

const FIRST = join(DIRECTORY, sidecarName(1));
const sizes = { segmentBytesMax: 512 * KiB, ringBytes: 4 * MiB };

/** A log of several segments of 1 MiB with batches of one to three records. */
function build(disk: SimDisk | FaultDisk = new SimDisk()): { disk: typeof disk; world: World } {
  const world = new World({ disk, ...sizes }).start();
  const prng = new Prng(7);
  while (world.log.sealed.length < 3) {
    for (let k = 1 + prng.nextBelow(3); k > 0; k--) {
      world.offer(randomBytes(prng, 500 + prng.nextBelow(9000)));
    }
    world.poll();
  }
  return { disk, world };
}

type Reads = { readonly path: string; readonly bytes: number };

/** Notes every read, and what is kept. */
function watched(world: World, disk: SimDisk | FaultDisk, isKeeping = true) {
  const reads: Reads[] = [];
  const inner = simFiles(disk);
  const files: LogFiles = {
    names: inner.names,
    open: async (path) => {
      const file = await inner.open(path);
      const read = (target: Buffer, byteOffset: number): Promise<number> => {
        reads.push({ path: path.split('/').at(-1) ?? '', bytes: target.length });
        return file.read(target, byteOffset);
      };
      return { ...file, read };
    },
  };
  const kept = new Map<string, Buffer>();
  const keepSidecar = async (path: string, bytes: Buffer): Promise<void> => {
    kept.set(path, bytes);
  };
  const reader = new LogReader({
    directory: DIRECTORY,
    files,
    view: () => world.view,
    oldestSeq: () => 1,
    ...(isKeeping ? { keepSidecar } : {}),
  });
  return { reader, reads, kept };
}

/** Every cursor position of the first segment leads to the right batch. */
async function placesAreRight(world: World, reader: LogReader): Promise<boolean> {
  const lastSeq = must(world.log.sealed[0]).lastSeq;
  for (let cursor = 0; cursor < lastSeq; cursor += 5) {
    const read = await reader.read(must(await reader.locate(cursor)), { bytesMax: KiB });
    const seq = cursor + 1;
    const frame = must(world.published.get(seq));
    if (read.kind !== 'chunk' || !read.bytes.subarray(0, frame.length).equals(frame)) return false;
  }
  return true;
}

t.test('the writer leaves one beside each sealed segment, not beside the active one', async (t) => {
  const { disk, world } = build();
  const names = (disk as SimDisk).readdir(DIRECTORY).filter((name) => name.endsWith('.idx'));
  t.same(
    names.map(parseSidecarName),
    world.log.sealed.map(({ firstSeq }) => firstSeq),
  );
  t.equal(parseSidecarName(segmentName(1)), undefined);
});

t.test('G5: with it, a place in an old segment costs one read', async (t) => {
  const { disk, world } = build();
  const { reader, reads, kept } = watched(world, disk);
  const [segment] = world.log.sealed;
  const lastSeq = must(segment).lastSeq;
  await reader.locate(lastSeq - 1);
  t.same(
    reads.map(({ path }) => path),
    // Its header, its index, and 64 KiB where the index points to.
    [segmentName(1), sidecarName(1), segmentName(1)],
  );
  t.ok(must(reads[2]).bytes <= 64 * KiB);
  reads.length = 0;
  await reader.locate(lastSeq - 30);
  t.equal(reads.length, 1, 'the next one in this segment');
  t.ok(await placesAreRight(world, reader));
  await reader.close();
  t.equal(kept.size, 0, 'nothing to put back');
});

t.test('one that is missing is put back by a reader, with the same bytes', async (t) => {
  const { disk, world } = build();
  const sim = disk as SimDisk;
  const whole = sim.content(FIRST);
  sim.unlink(FIRST);
  const { reader, kept } = watched(world, disk);
  t.ok(await placesAreRight(world, reader));
  await reader.close();
  t.same([...kept.keys()], [FIRST]);
  t.ok(kept.get(FIRST)?.equals(whole));
  const other = watched(world, disk, false);
  t.ok(await placesAreRight(world, other.reader));
  await other.reader.close();
  t.equal(other.kept.size, 0, 'a reader that was not told to writes nothing');
});

t.test('every flipped bit and every truncation of it is as good as missing', async (t) => {
  const { disk, world } = build();
  const sim = disk as SimDisk;
  const whole = sim.content(FIRST);
  const { firstSeq, lastSeq } = must(world.log.sealed[0]);
  const middle = (firstSeq + lastSeq) >> 1;
  sim.unlink(FIRST);
  const right = await watched(world, disk, false).reader.locate(middle);
  const check = async (bytes: Buffer, what: string): Promise<void> => {
    sim.put(FIRST, bytes);
    const { reader, kept } = watched(world, disk);
    const found = await reader.locate(middle);
    await reader.close();
    if (found?.byteOffset !== right?.byteOffset) t.fail(`${what}: another place`);
    if (!kept.get(FIRST)?.equals(whole)) t.fail(`${what}: not put back`);
  };
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const copy = Buffer.from(whole);
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    await check(copy, `bit ${bit}`);
  }
  for (let bytes = 0; bytes < whole.length; bytes++) {
    await check(whole.subarray(0, bytes), `cut at ${bytes}`);
  }
  await check(Buffer.concat([whole, Buffer.alloc(16)]), 'longer');
  t.pass(`${whole.length} bytes`);
});

t.test('one of another segment, also under the same name, is not believed', async (t) => {
  const { disk, world } = build();
  const sim = disk as SimDisk;
  const otherDisk = new SimDisk();
  const prng = new Prng(7);
  const twin = new World({ disk: otherDisk, ...sizes, saltSeed: 9 }).start();
  while (twin.log.sealed.length < 1) {
    twin.offer(randomBytes(prng, 5000));
    twin.poll();
  }
  sim.put(FIRST, otherDisk.content(FIRST));
  const { reader, kept } = watched(world, disk);
  t.ok(await placesAreRight(world, reader));
  await reader.close();
  t.equal(kept.size, 1);
});

t.test('one with right checksums and wrong places is found out and replaced', async (t) => {
  const { disk, world } = build();
  const sim = disk as SimDisk;
  const whole = sim.content(FIRST);
  const wrong = Buffer.from(whole);
  for (let at = 64 + 16; at < wrong.length; at += 16) {
    wrong.writeDoubleLE(wrong.readDoubleLE(at + 8) + 1, at + 8);
  }
  wrong.writeUInt32LE(crc32(wrong.subarray(64), crc32(wrong.subarray(0, 60))), 60);
  sim.put(FIRST, wrong);
  const { reader, kept } = watched(world, disk);
  t.ok(await placesAreRight(world, reader));
  await reader.close();
  t.ok(kept.get(FIRST)?.equals(whole));
});

t.test('G24: damage behind it is found as without it', async (t) => {
  const { disk, world } = build();
  const sim = disk as SimDisk;
  const path = join(DIRECTORY, segmentName(1));
  const bytes = sim.content(path);
  // Headers and bodies of several batches.
  bytes.fill(0, 200_000, 260_000);
  sim.put(path, bytes);
  const found = async (): Promise<readonly number[]> => {
    const { reader } = watched(world, disk, false);
    const seqs: number[] = [];
    for (let cursor = 0; cursor < must(world.log.sealed[0]).lastSeq; cursor += 3) {
      const position = must(await reader.locate(cursor));
      const read = await reader.read(position, { bytesMax: 64 * KiB });
      seqs.push(read.kind === 'chunk' ? read.lastSeq : -1);
    }
    await reader.close();
    return seqs;
  };
  const withIt = await found();
  sim.unlink(FIRST);
  t.same(withIt, await found());
  t.ok(withIt.includes(-1));
  const { reader, kept } = watched(world, disk);
  await reader.locate(1);
  await reader.close();
  t.equal(kept.size, 0, 'a damaged segment gets none');
});

t.test('G16: it never holds up the log: no error of it is one of the log', async (t) => {
  for (const what of ['create', 'pwritev', 'unlink']) {
    for (const code of ['ENOSPC', 'EACCES']) {
      const disk = new FaultDisk(new SimDisk());
      disk.decide = (call) =>
        call.what === what && call.path.endsWith('.idx') ? { code } : undefined;
      const { world } = build(disk);
      if (world.metrics.read('relay_log_append_failures_total:no_space') > 0) t.fail(code);
      if ((await readAll(world.reader(simFiles(disk)))).size !== world.view.lastSeq) t.fail(code);
    }
  }
  t.pass('all of them');
});

t.test('G7: on a real disk: put back in place, removed with its segment', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-sidecar-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const world = new World({ disk: new NodeDisk(), directory, segmentBytesMax: 20_000 }).start();
  for (let i = 0; i < 30; i++) {
    world.offer(Buffer.alloc(3000, i));
    world.poll();
  }
  const path = join(directory, sidecarName(1));
  const whole = readFileSync(path);
  writeFileSync(path, 'torn');
  const reader = new LogReader({
    directory,
    files: realLogFiles,
    view: () => world.view,
    oldestSeq: () => 1,
    keepSidecar: replaceFile,
  });
  await reader.locate(1);
  await reader.close();
  t.ok(readFileSync(path).equals(whole));
  t.equal(statSync(path).mode & 0o777, 0o600);
  const oldestSeq = must(world.log.sealed[2]).firstSeq;
  const remover = new SegmentRemover({
    directory,
    files: realRemovalFiles,
    metrics: new MetricWriter(),
    oldestSeq: () => oldestSeq,
    activeBytes: () => 0,
    retire: async () => {},
  });
  writeFileSync(join(directory, `${sidecarName(1)}.part`), 'left by a process that ended');
  await remover.pass();
  const left = readdirSync(directory).filter((name) => !name.endsWith('.part'));
  t.ok(left.every((name) => Number(name.slice(0, 16)) >= oldestSeq));
  t.ok(left.includes(sidecarName(oldestSeq)));
});
