/** What retention gives up, and what it never does (G7, G21). */
import t from 'tap';
import { DAY_MS, HOUR_MS, MiB, SECOND_MS } from '../../lib/base/units.ts';
import { decideRetention, type RetentionFacts } from '../../lib/log/retention.ts';
import { SegmentRemover } from '../../lib/log/unlink.ts';
import type { SealedSegment } from '../../lib/log/writer.ts';
import { FaultDisk } from './fault-disk.ts';
import { ManualClock, World } from './log-world.ts';
import { SimDisk, simRemovalFiles } from './sim-disk.ts';

const NOW = 1_700_000_000_000;
const POLICY = { ageMsMax: 72 * HOUR_MS, bytesMax: 0 };

/** Sealed segments of 100 records, the newest records of each `ages[i]` old. */
function sealed(ages: readonly number[], bytes = MiB): SealedSegment[] {
  return ages.map((ageMs, i) => {
    return { firstSeq: i * 100 + 1, lastSeq: i * 100 + 100, bytes, newestMs: NOW - ageMs };
  });
}

function facts(more: Partial<RetentionFacts>): RetentionFacts {
  return {
    sealed: [],
    activeBytes: MiB,
    checkpointSeq: 1e9,
    epochMs: NOW,
    elapsedMs: 10 * SECOND_MS,
    cutoffMs: NOW - POLICY.ageMsMax,
    ...more,
  };
}

t.test('G7: by the age of the newest record, oldest first', async (t) => {
  const ages = [100, 80, 72.0001, 71.9, 10].map((hours) => hours * HOUR_MS);
  t.match(decideRetention(POLICY, facts({ sealed: sealed(ages) })), {
    removeCount: 3,
    removedBytes: 3 * MiB,
  });
  const blocked = sealed([10, 100].map((hours) => hours * HOUR_MS));
  t.equal(decideRetention(POLICY, facts({ sealed: blocked })).removeCount, 0, 'no holes');
});

t.test('G7: by bytes, the active segment counted in', async (t) => {
  const policy = { ...POLICY, bytesMax: 3 * MiB };
  const segments = sealed([5, 4, 3, 2].map((hours) => hours * HOUR_MS));
  t.equal(decideRetention(policy, facts({ sealed: segments })).removeCount, 2);
  t.equal(
    decideRetention(policy, facts({ sealed: segments, activeBytes: 9 * MiB })).removeCount,
    4,
  );
});

t.test('G10: never beyond the checkpoint, however old or large', async (t) => {
  const policy = { ageMsMax: 1, bytesMax: 1 };
  const segments = sealed([5, 4, 3].map((hours) => hours * HOUR_MS));
  for (const [checkpointSeq, removeCount] of [
    [0, 0],
    [99, 0],
    [100, 1],
    [199, 1],
    [300, 3],
  ] as const) {
    const decision = decideRetention(policy, facts({ sealed: segments, checkpointSeq }));
    t.equal(decision.removeCount, removeCount, `checkpoint ${checkpointSeq}`);
  }
});

t.test(
  'G21: a clock a year ahead costs one segment a pass beyond the time that passed',
  async (t) => {
    const ages = Array.from({ length: 70 }, (_, i) => (70 - i) * HOUR_MS);
    let left = sealed(ages);
    let cutoffMs: number | undefined = NOW - POLICY.ageMsMax;
    for (let pass = 0; pass < 10; pass++) {
      const wall = NOW + 365 * DAY_MS;
      const decision = decideRetention(POLICY, facts({ sealed: left, epochMs: wall, cutoffMs }));
      t.ok(decision.removeCount <= 1);
      left = left.slice(decision.removeCount);
      cutoffMs = decision.cutoffMs;
    }
    t.equal(left.length, 60);
  },
);

t.test(
  'G21: a clock that goes back deletes nothing, and is forgiven when it returns',
  async (t) => {
    const segments = sealed([80, 79, 71].map((hours) => hours * HOUR_MS));
    const back = decideRetention(
      POLICY,
      facts({ sealed: segments, epochMs: NOW - 100 * HOUR_MS, elapsedMs: HOUR_MS }),
    );
    t.equal(back.removeCount, 0);
    const again = decideRetention(POLICY, facts({ sealed: segments, cutoffMs: back.cutoffMs }));
    t.equal(again.removeCount, 2);
  },
);

t.test('after a long stop the backlog goes one by one', async (t) => {
  let left = sealed([100, 99, 98, 10].map((hours) => hours * HOUR_MS));
  let cutoffMs: number | undefined;
  const counts: number[] = [];
  for (let pass = 0; pass < 5; pass++) {
    const elapsedMs = pass === 0 ? 0 : 10 * SECOND_MS;
    const decision = decideRetention(POLICY, facts({ sealed: left, cutoffMs, elapsedMs }));
    counts.push(decision.removeCount);
    left = left.slice(decision.removeCount);
    cutoffMs = decision.cutoffMs;
  }
  t.same(counts, [1, 1, 1, 0, 0]);
});

t.test(
  'A3: a fast relay keeps up: 20 segments of traffic never leave more than its window',
  async (t) => {
    const disk = new SimDisk();
    const retention = { ageMsMax: 20 * SECOND_MS, bytesMax: 0 };
    const world = new World({ disk, segmentBytesMax: 2000, retention }).start();
    world.words.wideWriter('checkpointSeq').publish(1e9);
    let most = 0;
    for (let second = 0; second < 200; second++) {
      for (let i = 0; i < 4; i++) world.offer(Buffer.alloc(150, i));
      world.poll();
      world.clock.pass(1000);
      if (second > 60) most = Math.max(most, world.log.retainedBytes);
    }
    // 4 records a second of about 220 bytes: 20 s of window, 10 s between passes, two segments.
    t.ok(most < 220 * 4 * 32 + 2 * 2000, `${most} bytes at most`);
    t.ok(world.log.sealed.length > 5, 'and keeps its window');
    t.equal(world.words.wideReader('oldestSeq').observe(), world.log.oldestSeq);
    t.equal(world.metrics.read('relay_log_oldest_seq'), world.log.oldestSeq);
    t.ok(world.metrics.read('relay_log_segments_count') > 5);
  },
);

t.test('G7, A3: a sparse log is pruned, however often the relay is restarted', async (t) => {
  const disk = new SimDisk();
  const clock = new ManualClock();
  const window = 6 * HOUR_MS;
  const options = {
    disk,
    clock,
    segmentAgeMsMax: HOUR_MS,
    retention: { ageMsMax: window, bytesMax: 0 },
  };
  let world = new World(options).start();
  const remover = new SegmentRemover({
    directory: world.directory,
    files: simRemovalFiles(disk),
    metrics: world.metrics,
    oldestSeq: () => world.log.oldestSeq,
    activeBytes: () => world.view.byteEnd,
    retire: async () => {},
  });
  const offered: number[] = [];
  // One event in 50 minutes for four days, and a restart every 20 minutes.
  for (let minute = 0; minute < 4 * 24 * 60; minute += 10) {
    if (minute % 50 === 0) {
      world.offer(Buffer.from('a rare event'));
      offered.push(clock.epoch);
    }
    world.poll();
    world.words.wideWriter('checkpointSeq').publish(world.view.lastSeq);
    clock.pass(600_000);
    world.poll();
    await remover.pass();
    if (minute % 20 === 0) world = new World({ ...options, saltSeed: minute }).start();
    if (minute < 24 * 60) continue;
    const oldestMs = offered[world.log.oldestSeq - 1] ?? clock.epoch;
    const ageMs = clock.epoch - oldestMs;
    // A segment's age, the time between two events and two passes more than the window.
    if (ageMs > window + HOUR_MS + 80 * 60_000) t.fail(`minute ${minute}: ${ageMs} ms old`);
    const kept = offered.filter((ms) => clock.epoch - ms <= window).length;
    if (world.log.nextSeq - world.log.oldestSeq < kept) t.fail(`minute ${minute}: too few`);
  }
  t.equal(world.log.nextSeq, offered.length + 1);
  t.ok(world.log.sealed.length < 12);
});

t.test(
  'G7: without a checkpoint nothing goes, with one it does, also on a full disk',
  async (t) => {
    const disk = new FaultDisk(new SimDisk());
    const retention = { ageMsMax: 1000, bytesMax: 0 };
    const world = new World({ disk, segmentBytesMax: 1000, retention }).start();
    for (let i = 0; i < 20; i++) {
      world.offer(Buffer.alloc(300));
      world.poll();
      world.clock.pass(10_000);
    }
    t.equal(world.log.oldestSeq, 1);
    disk.decide = ({ what }) => (what === 'pwritev' ? { code: 'ENOSPC' } : undefined);
    world.offer(Buffer.alloc(300));
    world.poll();
    world.words.wideWriter('checkpointSeq').publish(10);
    for (let i = 0; i < 10; i++) {
      world.clock.pass(10_000);
      world.poll();
    }
    t.equal(world.metrics.read('relay_log_paused'), 1);
    t.ok(world.log.oldestSeq > 1 && world.log.oldestSeq <= 11);
    t.ok((world.log.sealed[0]?.lastSeq ?? 0) > 10, 'the segment that the checkpoint is in stays');
  },
);

t.test('G7: the active segment is never given up', async (t) => {
  const world = new World({ disk: new SimDisk(), segmentBytesMax: 1000 }).start();
  for (let i = 0; i < 5; i++) {
    world.offer(Buffer.alloc(300));
    world.poll();
  }
  const { log } = world;
  const count = log.sealed.length;
  t.throws(() => log.dropOldest(count + 1), /only sealed segments/);
  t.equal(log.sealed.length, count);
  // Everything is old, too large, beyond no checkpoint: all of it goes, but not what is written to.
  const everything = {
    sealed: [...log.sealed],
    activeBytes: 9 * MiB,
    epochMs: 1e15,
    elapsedMs: 1e15,
  };
  const { removeCount } = decideRetention({ ageMsMax: 1, bytesMax: 1 }, facts(everything));
  t.equal(removeCount, count);
  log.dropOldest(removeCount);
  t.equal(log.oldestSeq, log.segmentFirstSeq);
});
