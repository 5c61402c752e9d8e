/** The sync beside the log writer: what it may do meanwhile, and what it must not (G4, G14, G15). */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { KiB, MiB } from '../../lib/base/units.ts';
import { type BackgroundSync, SyncThread } from '../../lib/log/background-sync.ts';
import { segmentName } from '../../lib/log/descriptor.ts';
import { NodeDisk } from '../../lib/log/disk.ts';
import { SEQ_REFUSED, VERIFIED_SEQ } from '../../lib/ring/verified-record.ts';
import { FaultDisk } from './fault-disk.ts';
import { readAll, reopen, World } from './log-world.ts';
import { SimDisk, simFiles, systemError } from './sim-disk.ts';

const SIZES = { ringBytes: 16 * MiB, tailBytes: 16 * MiB, segmentBytesMax: 64 * MiB };

/** A world whose background syncs are noted among the calls of the disk. */
function setUp(onFinish: (world: World) => void = () => {}) {
  const sim = new SimDisk();
  const disk = new FaultDisk(sim);
  const steps: string[] = [];
  let fd = -1;
  const background: BackgroundSync = {
    isReady: true,
    begin: (begun) => {
      fd = begun;
      steps.push('begin');
    },
    finish: () => {
      steps.push('finish');
      onFinish(world);
      sim.fdatasync(fd);
      return 1;
    },
  };
  disk.decide = ({ what }) => {
    steps.push(what);
    return undefined;
  };
  const world = new World({ disk, background, ...SIZES }).start();
  steps.length = 0;
  return { sim, disk, world, steps };
}

const backlog = (world: World, count: number): number[] =>
  Array.from({ length: count }, (_, i) => world.offer(Buffer.alloc(100 * KiB, i)));

t.test('G14: with a backlog batches are synced beside, and never written before', async (t) => {
  const { world, steps, sim } = setUp();
  backlog(world, 30);
  const counts = [world.poll(), world.poll(), world.poll(), world.poll()];
  t.same(counts, [10, 10, 10, 0]);
  t.same(steps, [
    ...['pwritev', 'begin', 'finish'],
    ...['pwritev', 'begin', 'finish'],
    // Nothing is left in the rings: the last one is synced here, which takes less time.
    ...['pwritev', 'fdatasync'],
  ]);
  t.equal(world.published.size, 30);
  const found = await readAll(reopen(sim).reader);
  for (const [seq, frame] of world.published) t.ok(found.get(seq)?.equals(frame));
});

t.test('G4: while a sync runs, nothing of its batch or the next one is visible', async (t) => {
  const seen: number[][] = [];
  const { world } = setUp((it) => {
    it.commit.read(it.view);
    const assigned = it.words.wideReader('assigned').observe();
    const written = it.words.wideReader('written').observe();
    seen.push([it.view.lastSeq, it.view.heads[0] ?? -1, written, assigned]);
  });
  const [first = 0] = backlog(world, 30);
  world.poll();
  world.poll();
  const free = world.producers[0]?.freeBytes() ?? 0;
  t.match(seen, [
    [0, 0, 10, 10],
    [10, /\d+/, 20, 20],
  ]);
  const headsAfterOne = seen[1]?.[1] ?? 0;
  t.ok(headsAfterOne > 10 * 100 * KiB && headsAfterOne < 11 * 100 * KiB, 'ten records given back');
  t.ok(free < SIZES.ringBytes - 10 * 100 * KiB, 'the third ten are still in the ring');
  t.equal(world.producers[0]?.bytes.readDoubleLE(first + VERIFIED_SEQ), 1);
});

t.test('G15: after a failed sync beside it nothing is published, nor written', async (t) => {
  const { world, steps, sim } = setUp(() => {
    throw systemError('EIO');
  });
  backlog(world, 30);
  t.throws(() => world.poll(), { code: 'log_sync_failed', isRetryable: false });
  t.same(steps, ['pwritev', 'begin', 'finish']);
  world.collect();
  t.equal(world.view.lastSeq, 0);
  t.equal(sim.readdir('/data/log').includes(segmentName(1)), true);
});

t.test('G16: a batch that waited in memory keeps its seqs when the disk is full', async (t) => {
  const { world, disk, sim } = setUp();
  backlog(world, 30);
  t.equal(world.poll(), 10);
  disk.decide = ({ what }) => (what === 'pwritev' ? { code: 'ENOSPC' } : undefined);
  t.equal(world.poll(), 0);
  t.equal(world.view.lastSeq, 10);
  disk.decide = () => undefined;
  world.clock.pass(500);
  t.same([world.poll(), world.poll(), world.poll()], [10, 10, 0]);
  t.equal(world.published.size, 30);
  t.equal((await readAll(world.reader(simFiles(sim)))).size, 30);
});

t.test('a batch prepared for one segment is checked anew when it begins the next', async (t) => {
  const sim = new SimDisk();
  let fd = -1;
  const background: BackgroundSync = {
    isReady: true,
    begin: (begun) => {
      fd = begun;
    },
    finish: () => {
      sim.fdatasync(fd);
      return 0;
    },
  };
  const sizes = { ...SIZES, segmentBytesMax: 1500 * KiB };
  const world = new World({ disk: sim, background, ...sizes }).start();
  backlog(world, 40);
  while (world.poll() > 0);
  t.equal(world.log.sealed.length, 3);
  const { reader, report } = reopen(sim);
  t.same(report.damaged, []);
  t.equal((await readAll(reader)).size, 40);
});

t.test('LM-1: a refused output in a batch that waits is given back once, not before', async (t) => {
  const { world } = setUp();
  backlog(world, 12);
  const refused = world.offer(Buffer.alloc(5_000_000));
  t.equal(world.poll(), 10);
  const ring = world.producers[0];
  t.ok((ring?.freeBytes() ?? 0) < SIZES.ringBytes - 5_000_000, 'still behind the batch');
  t.equal(world.poll(), 2);
  t.equal(ring?.bytes.readDoubleLE(refused + VERIFIED_SEQ), SEQ_REFUSED);
  t.equal(ring?.freeBytes(), SIZES.ringBytes);
});

t.test('a thread that never came to run is never waited for', async (t) => {
  const absent: BackgroundSync = {
    isReady: false,
    begin: () => t.fail('nobody would do it'),
    finish: () => 0,
  };
  const world = new World({ disk: new SimDisk(), background: absent, ...SIZES }).start();
  backlog(world, 30);
  t.same([world.poll(), world.poll(), world.poll()], [10, 10, 10]);
  const entry = new URL('no-such-file.ts', import.meta.url);
  const unable = new SyncThread(entry);
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.notOk(unable.isReady, 'it has no code');
  unable.close();
});

t.test('the thread syncs, says how long it took, and brings back errors', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-sync-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const fd = openSync(join(directory, 'file'), 'w');
  const thread = new SyncThread();
  for (let i = 0; i < 3; i++) {
    writeSync(fd, 'x');
    thread.begin(fd);
    t.ok(thread.finish() >= 0);
    t.ok(thread.isReady);
  }
  closeSync(fd);
  thread.begin(fd);
  t.throws(() => thread.finish(), { code: 'EBADF' });
  const disk = new NodeDisk();
  const world = new World({ disk, directory, background: thread, ...SIZES }).start();
  backlog(world, 25);
  t.same([world.poll(), world.poll(), world.poll()], [10, 10, 5]);
  world.log.close();
  thread.close();
  t.equal((await readAll(reopen(disk, { directory }).reader)).size, 25);
});
