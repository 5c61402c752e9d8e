/** The ballast file: when it is built, given back and restored, and who gets the room (G16). */
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { MiB } from '../../lib/base/units.ts';
import {
  BALLAST_NAME,
  BALLAST_STEP_BYTES,
  Ballast,
  type BallastFacts,
  type BallastFiles,
  decideBallast,
  realBallastFiles,
} from '../../lib/log/ballast.ts';
import { SegmentRemover } from '../../lib/log/unlink.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { BallastState, PersistState } from '../../lib/shared/regions.ts';
import { FaultDisk } from './fault-disk.ts';
import { World } from './log-world.ts';
import { SimDisk, simRemovalFiles, systemError } from './sim-disk.ts';

const WANTED = 256 * MiB;

function decide(more: Partial<BallastFacts>) {
  const facts = { wantedBytes: WANTED, bytes: WANTED, freeBytes: 100 * WANTED };
  return decideBallast({ ...facts, isLogFull: false, isHolding: false, ...more });
}

t.test('G16: built where twice as much is free, given back when the disk is full', async (t) => {
  t.equal(decide({ bytes: undefined }).action, 'build');
  t.equal(decide({ bytes: undefined, freeBytes: 2 * WANTED }).action, 'build');
  t.equal(decide({ bytes: undefined, freeBytes: 2 * WANTED - 1 }).action, 'none');
  t.equal(decide({ bytes: 8 * MiB, freeBytes: 2 * WANTED - 8 * MiB }).action, 'build', 'goes on');
  t.equal(decide({}).action, 'none', 'whole');
  t.equal(decide({ isLogFull: true }).action, 'give', 'whatever the file system says: a quota');
  t.equal(decide({ freeBytes: 64 * MiB - 1 }).action, 'give', 'PostgreSQL would be the next');
  t.equal(decide({ freeBytes: 64 * MiB }).action, 'none');
  t.equal(decide({ bytes: MiB, isLogFull: true }).action, 'give', 'half-built too');
  t.equal(decide({ bytes: 0, isLogFull: true }).action, 'none', 'nothing is left to give');
  t.equal(decide({ bytes: undefined, isLogFull: true }).action, 'none');
});

t.test('G16: a setting that was made smaller, or 0, gives room back', async (t) => {
  t.equal(decide({ bytes: WANTED + 1 }).action, 'cut');
  t.equal(decide({ wantedBytes: 0 }).action, 'remove');
  t.equal(decide({ wantedBytes: 0, bytes: undefined }).action, 'none');
});

t.test('G16: what was given back is not for the log, until there is more', async (t) => {
  const held = (freeBytes: number, isHolding: boolean): boolean =>
    decide({ bytes: 0, freeBytes, isHolding, isLogFull: true }).isHolding;
  t.equal(held(WANTED / 2 - 1, false), true);
  t.equal(held(WANTED / 2, false), false);
  t.equal(held((3 * WANTED) / 4 - 1, true), true, 'a little more is not yet enough');
  t.equal(held((3 * WANTED) / 4, true), false);
  const never = decide({ bytes: undefined, freeBytes: 0, isHolding: true, isLogFull: true });
  t.equal(never.isHolding, false, 'where there never was one nothing is held');
});

/** A file system of `totalBytes`, of which `usedBytes` are taken by others. */
class Room implements BallastFiles {
  file: number | undefined;
  usedBytes = 0;
  isBroken = false;
  readonly totalBytes: number;

  constructor(totalBytes: number) {
    this.totalBytes = totalBytes;
  }
  get free(): number {
    return this.totalBytes - this.usedBytes - (this.file ?? 0);
  }
  bytes = async () => this.file;
  freeBytes = async () => {
    if (this.isBroken) throw systemError('EIO');
    return this.free;
  };
  write = async (_path: string, byteOffset: number, chunks: readonly Buffer[]) => {
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (byteOffset + bytes - (this.file ?? 0) > this.free) throw systemError('ENOSPC');
    this.file = byteOffset + bytes;
  };
  truncate = async (_path: string, bytes: number) => {
    this.file = bytes;
  };
  unlink = async () => {
    this.file = undefined;
  };
}

function setUp(room: BallastFiles, wantedBytes: number, world: World, directory = '/data/log') {
  const { words, metrics } = world;
  const pauseCause = words.reader('pauseCause');
  const ballast = new Ballast({
    directory,
    wantedBytes,
    files: room,
    logger: silentLogger,
    metrics,
    state: words.writer('ballast'),
    hold: words.writer('logHold'),
    isLogFull: () => pauseCause.observe() === 1,
  });
  const state = words.reader('ballast');
  return { ballast, metrics, state: () => state.observe() };
}

t.test('G16: it is built in steps, and a restart goes on with it', async (t) => {
  const room = new Room(1000 * MiB);
  const wanted = 20 * MiB;
  const { ballast, metrics, state } = setUp(room, wanted, new World({ disk: new SimDisk() }));
  const sizes: (number | undefined)[] = [];
  for (let i = 0; i < 2; i++) {
    await ballast.pass();
    sizes.push(room.file);
    t.equal(state(), BallastState.building);
  }
  const again = setUp(room, wanted, new World({ disk: new SimDisk() }));
  await again.ballast.pass();
  sizes.push(room.file);
  t.same(sizes, [BALLAST_STEP_BYTES, 2 * BALLAST_STEP_BYTES, wanted]);
  t.equal(again.state(), BallastState.whole);
  t.equal(again.metrics.read('relay_log_ballast_bytes'), wanted);
  t.equal(metrics.read('relay_log_free_bytes'), 1000 * MiB - BALLAST_STEP_BYTES);
});

t.test('G16: a full disk, from the first refused write to the ballast restored', async (t) => {
  const disk = new FaultDisk(new SimDisk());
  const world = new World({ disk, segmentBytesMax: 2000 }).start();
  const wanted = 16 * MiB;
  const room = new Room(1000 * MiB);
  const { ballast, metrics, state } = setUp(room, wanted, world);
  const step = async (): Promise<number> => {
    await ballast.pass();
    world.clock.pass(1000);
    return world.poll();
  };
  disk.decide = ({ what }) =>
    what === 'pwritev' && room.free <= 0 ? { code: 'ENOSPC' } : undefined;
  for (let i = 0; i < 3; i++) await step();
  t.equal(state(), BallastState.whole);
  world.offer(Buffer.alloc(300));
  t.equal(world.poll(), 1);
  // Somebody else takes all that is left.
  room.usedBytes = room.totalBytes - wanted;
  world.offer(Buffer.alloc(300));
  t.equal(world.poll(), 0);
  t.equal(world.words.reader('persistState').observe(), PersistState.paused);
  await step();
  t.equal(state(), BallastState.given);
  t.equal(room.free, wanted);
  t.equal(metrics.read('relay_log_ballast_releases_total'), 1);
  t.equal(metrics.read('relay_log_ballast_bytes'), 0);
  // The database takes most of it for its checkpoint: the log writer leaves the rest alone.
  room.usedBytes += wanted - 6 * MiB;
  world.offer(Buffer.alloc(300));
  await step();
  world.offer(Buffer.alloc(300));
  const shown = world.view.lastSeq;
  for (let i = 0; i < 5; i++) t.equal(await step(), 0, 'waits');
  t.equal(world.view.lastSeq, shown);
  t.equal(world.metrics.read('relay_log_paused'), 1);
  room.usedBytes -= 5 * MiB;
  await step();
  t.equal(world.view.lastSeq, shown, 'a little more is not enough');
  room.usedBytes -= 5 * MiB;
  await step();
  await step();
  t.ok(world.view.lastSeq > shown, 'goes on');
  t.equal(world.metrics.read('relay_log_paused'), 0);
  t.equal(world.words.reader('pauseCause').observe(), 0);
  t.equal(state(), BallastState.given, 'and is not restored before there is room for both');
  room.usedBytes -= 32 * MiB;
  for (let i = 0; i < 3; i++) await step();
  t.equal(state(), BallastState.whole);
  t.equal(world.published.size, 4, 'without a gap');
  t.same([...world.published.keys()], [1, 2, 3, 4]);
});

t.test('a file system that cannot be asked holds nothing back from the log', async (t) => {
  const world = new World({ disk: new SimDisk() }).start();
  const room = new Room(100 * MiB);
  room.file = 0;
  room.usedBytes = 99 * MiB;
  const { ballast } = setUp(room, 16 * MiB, world);
  await ballast.pass();
  t.equal(world.words.reader('logHold').observe(), 1);
  room.isBroken = true;
  await t.rejects(ballast.pass(), { code: 'EIO' });
  t.equal(world.words.reader('logHold').observe(), 0);
});

t.test('G16: a stop does not wait for room that is kept', async (t) => {
  const world = new World({ disk: new SimDisk() }).start();
  world.words.writer('logHold').publish(1);
  world.offer(Buffer.from('never written'));
  world.poll();
  world.words.writer('stop').publish(1);
  world.poll();
  t.ok(world.stage.isStopped);
  t.equal(world.view.lastSeq, 0);
});

t.test('on a real disk it holds room: no zeros, no holes', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-ballast-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, BALLAST_NAME);
  const files = { ...realBallastFiles, freeBytes: async () => 1000 * MiB };
  const wanted = 3 * MiB + 5;
  const { ballast, state } = setUp(files, wanted, new World({ disk: new SimDisk() }), directory);
  await ballast.pass();
  t.equal(state(), BallastState.whole);
  const { size, blocks, mode } = statSync(path);
  t.equal(size, wanted);
  t.ok(blocks * 512 >= wanted);
  t.equal(mode & 0o777, 0o600);
  // Someone else's idea of a file of this size.
  truncateSync(path, 0);
  truncateSync(path, wanted);
  t.equal(await realBallastFiles.bytes(path), 0);
  await ballast.pass();
  t.ok(statSync(path).blocks * 512 >= wanted);
  const none = setUp(files, 0, new World({ disk: new SimDisk() }), directory);
  await none.ballast.pass();
  t.equal(await realBallastFiles.bytes(path), undefined);
  t.equal(none.state(), BallastState.none);
  writeFileSync(path, Buffer.alloc(2 * MiB, 1));
  const smaller = setUp(files, MiB, new World({ disk: new SimDisk() }), directory);
  await smaller.ballast.pass();
  t.equal(statSync(path).size, MiB);
  t.ok((await realBallastFiles.freeBytes(directory)) > 0);
});

/** A log of ten sealed segments on a disk that takes nothing more. */
function fullWorld(isEarlyWhenFull: boolean, checkpointSeq: number) {
  const disk = new FaultDisk(new SimDisk());
  const retention = { ageMsMax: 1e12, bytesMax: 0, isEarlyWhenFull };
  const lines: object[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => lines.push(fields) };
  const world = new World({ disk, segmentBytesMax: 1000, retention, logger }).start();
  while (world.log.sealed.length < 10) {
    world.offer(Buffer.alloc(400));
    world.poll();
  }
  world.words.wideWriter('checkpointSeq').publish(checkpointSeq);
  disk.decide = ({ what }) => (what === 'pwritev' ? { code: 'ENOSPC' } : undefined);
  world.offer(Buffer.alloc(400));
  world.clock.pass(10_000);
  world.poll();
  return { disk, world, lines };
}

t.test('G16: emergency retention gives up a segment at a time, and says so', async (t) => {
  const { disk, world, lines } = fullWorld(true, 1e9);
  const counts: number[] = [];
  for (let second = 0; second < 9; second++) {
    world.clock.pass(1000);
    world.poll();
    counts.push(10 - world.log.sealed.length);
  }
  t.same(counts, [0, 0, 1, 1, 1, 2, 2, 2, 3]);
  t.equal(world.metrics.read('relay_log_emergency_segments_total'), 3);
  t.match(lines, [
    { segments_given_up: 1, bytes_given_up: Number, oldest_seq: Number },
    { segments_given_up: 1 },
    { segments_given_up: 1, oldest_seq: world.log.oldestSeq },
  ]);
  disk.decide = () => undefined;
  const remover = new SegmentRemover({
    directory: world.directory,
    files: simRemovalFiles(disk),
    metrics: new MetricWriter(),
    oldestSeq: () => world.words.wideReader('oldestSeq').observe(),
    activeBytes: () => 0,
    retire: async () => {},
  });
  t.match(await remover.pass(), { segments_removed: 3, oldest_seq: world.log.oldestSeq });
  world.clock.pass(1000);
  t.equal(world.poll(), 1);
  world.clock.pass(60_000);
  world.poll();
  t.equal(world.metrics.read('relay_log_emergency_segments_total'), 3, 'and no more of them');
});

t.test('G16: without the setting, beyond the checkpoint or before the ballast: none', async (t) => {
  for (const [isEarly, checkpointSeq, state, given] of [
    [false, 1e9, BallastState.none, 0],
    [true, 0, BallastState.none, 0],
    // A record in each segment.
    [true, 3, BallastState.given, 3],
    [true, 1e9, BallastState.whole, 0],
    [true, 1e9, BallastState.building, 0],
  ] as const) {
    const { world } = fullWorld(isEarly, checkpointSeq);
    world.words.writer('ballast').publish(state);
    for (let second = 0; second < 20; second++) {
      world.clock.pass(1000);
      world.poll();
    }
    t.equal(10 - world.log.sealed.length, given, `${isEarly} ${checkpointSeq} ${state}`);
  }
});
