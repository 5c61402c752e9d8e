/** The duty cycle of the log writer: the order of its steps, and what it does when one fails. */
import { join } from 'node:path';
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { KiB, MiB } from '../../lib/base/units.ts';
import { BATCH_HEADER_BYTES, segmentName } from '../../lib/log/descriptor.ts';
import { CRASH_POINTS } from '../../lib/log/persist-stage.ts';
import { SEQ_REFUSED, VERIFIED_SEQ } from '../../lib/ring/verified-record.ts';
import { PersistState } from '../../lib/shared/regions.ts';
import { CHANGING, FaultDisk, SYNCING } from './fault-disk.ts';
import { DIRECTORY, randomBytes, readAll, reopen, World } from './log-world.ts';
import { SimDisk } from './sim-disk.ts';

const SEGMENT_1 = segmentName(1);

function world(options: Partial<ConstructorParameters<typeof World>[0]> = {}) {
  const sim = new SimDisk();
  const disk = new FaultDisk(sim);
  return { sim, disk, world: new World({ disk, ...options }).start() };
}

t.test('SQ-4, G4: write, fdatasync, then one store shows it; nothing before that', async (t) => {
  const steps: string[] = [];
  const { disk, world: it } = world();
  it.onPoint = (point) => steps.push(point);
  disk.calls.length = 0;
  disk.decide = ({ what, path }) => {
    steps.push(`${what} ${path.split('/').at(-1)} with ${it.view.lastSeq} shown`);
    it.commit.read(it.view);
    return undefined;
  };
  it.offer(Buffer.from('a'));
  it.offer(Buffer.from('b'));
  it.poll();
  t.same(steps, [
    `pwritev ${SEGMENT_1} with 0 shown`,
    'after-write',
    `fdatasync ${SEGMENT_1} with 0 shown`,
    'after-sync',
    'after-fill',
    'after-store',
  ]);
  t.same(CRASH_POINTS, ['after-write', 'after-sync', 'after-fill', 'after-store']);
  t.equal(it.view.lastSeq, 2);
});

t.test('SQ-4, G4: at no crash point before the store is anything visible', async (t) => {
  const seen: (readonly [string, number])[] = [];
  const { world: it } = world();
  it.onPoint = (point) => {
    it.commit.read(it.view);
    seen.push([point, it.view.lastSeq]);
  };
  it.offer(Buffer.from('a'));
  it.poll();
  t.same(seen, [
    ['after-write', 0],
    ['after-sync', 0],
    ['after-fill', 0],
    ['after-store', 1],
  ]);
});

t.test(
  'G14: file and name of a new segment are durable before the first publish in it',
  async (t) => {
    const { disk, world: it } = world({ segmentBytesMax: 1024 });
    disk.calls.length = 0;
    for (let i = 0; i < 10; i++) {
      it.offer(Buffer.alloc(300, i));
      it.poll();
    }
    // Sidecars are no part of the log: when they reach the disk matters to nobody.
    const trace = disk.trace().filter((line) => !line.endsWith('.idx'));
    const created = trace.filter((line) => line.startsWith('create '));
    t.ok(created.length >= 3);
    for (const line of created) {
      const name = line.split(' ')[1];
      const at = trace.indexOf(line);
      t.same(trace.slice(at, at + 6), [
        `create ${name}`,
        `pwritev ${name}`,
        `fdatasync ${name}`,
        'fsyncDir log',
        `pwritev ${name}`,
        `fdatasync ${name}`,
      ]);
    }
  },
);

t.test('seq is contiguous over rings and written back into each record', async (t) => {
  const { world: it } = world({ ringCount: 3 });
  const offered: { ring: number; at: number }[] = [];
  for (let i = 0; i < 30; i++) {
    const ring = i % 3;
    offered.push({ ring, at: it.offer(Buffer.alloc(40, i), { ring }) });
  }
  t.equal(it.poll(), 30);
  const seqs = offered.map(({ ring, at }) =>
    it.producers[ring]?.bytes.readDoubleLE(at + VERIFIED_SEQ),
  );
  t.same(
    [...seqs].sort((a, b) => (a ?? 0) - (b ?? 0)),
    Array.from({ length: 30 }, (_, i) => i + 1),
  );
  for (const ring of [0, 1, 2]) {
    const own = seqs.filter((_, i) => i % 3 === ring);
    t.same(
      own,
      [...own].sort((a, b) => (a ?? 0) - (b ?? 0)),
      'G3: in the order of its ring',
    );
  }
  t.equal(it.producers[0]?.freeBytes(), 4 * MiB, 'the commit gives the ring back');
});

t.test('a busy ring does not keep the others waiting', async (t) => {
  const { world: it } = world({ ringCount: 2, ringBytes: 8 * MiB });
  for (let i = 0; i < 40; i++) it.offer(Buffer.alloc(100 * KiB), { ring: 0 });
  it.offer(Buffer.from('quiet'), { ring: 1 });
  it.poll();
  t.ok(
    [...it.published.values()].some((frame) => frame.includes('quiet')),
    'in the first batch',
  );
});

t.test('a batch takes 1 MiB of frames, or one frame that is larger', async (t) => {
  const { world: it } = world({
    ringBytes: 16 * MiB,
    tailBytes: 16 * MiB,
    segmentBytesMax: 64 * MiB,
  });
  for (let i = 0; i < 25; i++) it.offer(Buffer.alloc(100 * KiB));
  t.equal(it.poll(), 10);
  t.equal(it.poll(), 10);
  t.equal(it.poll(), 5);
  it.offer(Buffer.from('small'));
  it.offer(Buffer.alloc(3_000_000));
  it.offer(Buffer.from('small'));
  t.same([it.poll(), it.poll(), it.poll(), it.poll()], [1, 1, 1, 0]);
});

t.test(
  'LM-1: an output over 5,000,000 bytes is refused, takes no seq and frees the ring',
  async (t) => {
    const { world: it } = world({ ringBytes: 16 * MiB, tailBytes: 16 * MiB, nextSeqMin: 1000 });
    const overhead = 'head of message '.length;
    const at = it.offer(Buffer.alloc(5_000_000 - overhead - 2));
    // Our seq needs three bytes where the host's needed one.
    it.poll();
    t.equal(it.producers[0]?.bytes.readDoubleLE(at + VERIFIED_SEQ), SEQ_REFUSED);
    t.equal(it.metrics.readReject('wire_output_too_large'), 1);
    t.equal(it.producers[0]?.freeBytes(), 16 * MiB);
    t.equal(it.log.nextSeq, 1000);
    it.offer(Buffer.alloc(5_000_000 - overhead - 3));
    t.equal(it.poll(), 1, 'exactly 5,000,000 is emitted');
  },
);

t.test('G15: after a failed sync nothing is published and nothing is tried again', async (t) => {
  for (const what of SYNCING) {
    const { disk, sim, world: it } = world({ segmentBytesMax: 600 });
    it.offer(Buffer.from('durable'));
    it.poll();
    disk.decide = (call) => (call.what === what ? { code: 'EIO' } : undefined);
    it.offer(Buffer.alloc(600));
    it.offer(Buffer.from('never shown'));
    t.throws(() => it.poll(), { code: 'log_sync_failed' });
    const calls = disk.calls.length;
    it.collect();
    t.equal(it.view.lastSeq, 1, `${what}: nothing after it is visible`);
    t.equal(disk.calls[calls - 1]?.what, what, 'and nothing was done after it');
    t.ok((await readAll(reopen(sim).reader)).get(1)?.equals(it.published.get(1) ?? Buffer.of()));
  }
});

const FULL = [
  ['ENOSPC', 'no_space'],
  ['EFBIG', 'no_space'],
  ['EDQUOT', 'quota'],
  ['EROFS', 'read_only'],
  ['EMFILE', 'files'],
  ['EIO', 'other'],
] as const;
for (const [code, cause] of FULL) {
  t.test(`G16: ${code} on write pauses; it goes on at the same seq without a gap`, async (t) => {
    const { disk, sim, world: it } = world({ segmentBytesMax: 4 * KiB });
    const state = it.words.reader('persistState');
    for (let i = 0; i < 5; i++) {
      it.offer(randomBytes(new Prng(i), 400));
      it.poll();
    }
    const end = it.view.byteEnd;
    disk.decide = ({ what }) => (CHANGING.has(what) && what !== 'ftruncate' ? { code } : undefined);
    for (let i = 0; i < 5; i++) it.offer(randomBytes(new Prng(50 + i), 400));
    t.equal(it.poll(), 0);
    t.equal(state.observe(), PersistState.paused);
    t.equal(it.metrics.read('relay_log_paused'), 1);
    t.equal(it.metrics.read(`relay_log_append_failures_total:${cause}`), 1);
    t.same([it.view.lastSeq, it.view.byteEnd], [5, end], 'what was shown stays as it was');
    const tried = disk.calls.length;
    it.clock.pass(499);
    it.poll();
    t.equal(disk.calls.length, tried, 'not tried again before half a second');
    it.clock.pass(1);
    it.poll();
    t.ok(disk.calls.length > tried, 'but then');
    disk.decide = () => undefined;
    it.clock.pass(500);
    t.equal(it.poll(), 5);
    t.equal(state.observe(), PersistState.running);
    t.same([...it.published.keys()], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const found = await readAll(reopen(sim).reader);
    t.same([...found.keys()], [...it.published.keys()]);
  });
}

t.test('G16: a new segment whose directory cannot be opened for its sync waits too', async (t) => {
  const { disk, sim, world: it } = world({ segmentBytesMax: 1 * KiB });
  it.offer(Buffer.alloc(600));
  it.poll();
  // The last descriptor went to the segment's file, as when sockets take them meanwhile.
  disk.decide = ({ what }) => (what === 'fsyncDir' ? { code: 'EMFILE' } : undefined);
  it.offer(Buffer.alloc(600));
  t.equal(it.poll(), 0);
  t.equal(it.metrics.read('relay_log_append_failures_total:files'), 1);
  t.same(sim.readdir(DIRECTORY), [SEGMENT_1], 'nothing is left behind');
  t.equal(disk.trace().at(-1), `unlink ${segmentName(2)}`);
  disk.decide = () => undefined;
  it.clock.pass(500);
  t.equal(it.poll(), 1);
  t.same([...(await readAll(reopen(sim).reader)).keys()], [1, 2]);
});

t.test('G16: a short write is gone on with; the rest of a failed one is cut off', async (t) => {
  const { disk, sim, world: it } = world();
  let shortWrites = 3;
  disk.decide = ({ what }) =>
    what === 'pwritev' && shortWrites-- > 0 ? { shortBytes: 7 } : undefined;
  it.offer(Buffer.from('in pieces'));
  t.equal(it.poll(), 1);
  const end = it.view.byteEnd;
  let calls = 0;
  disk.decide = ({ what }) => {
    if (what !== 'pwritev') return undefined;
    return calls++ === 0 ? { shortBytes: 90 } : { code: 'ENOSPC' };
  };
  it.offer(Buffer.alloc(500));
  t.equal(it.poll(), 0);
  t.equal(sim.stat(join(DIRECTORY, SEGMENT_1))?.bytes, end, 'no partial bytes are left');
  t.same(disk.trace().slice(-2), [`ftruncate ${SEGMENT_1}`, `fdatasync ${SEGMENT_1}`]);
  const { writer, report } = reopen(sim);
  t.same([writer.nextSeq, report.tornBytes], [2, 0]);
});

t.test(
  'G16: partial bytes that cannot be cut off now are cut off before the next write',
  async (t) => {
    const { disk, sim, world: it } = world();
    let calls = 0;
    disk.decide = ({ what }) => {
      if (what === 'ftruncate') return { code: 'EROFS' };
      if (what !== 'pwritev') return undefined;
      return calls++ === 0 ? { shortBytes: 400 } : { code: 'EROFS' };
    };
    it.offer(Buffer.alloc(500));
    it.poll();
    t.ok((sim.stat(join(DIRECTORY, SEGMENT_1))?.bytes ?? 0) > it.view.byteEnd);
    disk.decide = () => undefined;
    it.clock.pass(500);
    disk.calls.length = 0;
    t.equal(it.poll(), 1);
    t.same(disk.trace(), [
      `ftruncate ${SEGMENT_1}`,
      `fdatasync ${SEGMENT_1}`,
      `pwritev ${SEGMENT_1}`,
      `fdatasync ${SEGMENT_1}`,
    ]);
  },
);

t.test('G16: partial bytes are cut off before a segment is sealed, too', async (t) => {
  const { disk, sim, world: it } = world({ segmentAgeMsMax: 60_000 });
  it.offer(Buffer.alloc(100));
  it.poll();
  let calls = 0;
  disk.decide = ({ what }) => {
    if (what === 'ftruncate') return { code: 'EROFS' };
    if (what !== 'pwritev') return undefined;
    return calls++ === 0 ? { shortBytes: 400 } : { code: 'EROFS' };
  };
  it.offer(Buffer.alloc(500));
  it.poll();
  const path = join(DIRECTORY, SEGMENT_1);
  t.ok((sim.stat(path)?.bytes ?? 0) > it.view.byteEnd);
  const { byteEnd } = it.view;
  disk.decide = () => undefined;
  it.clock.pass(60_000);
  t.equal(it.poll(), 1);
  t.equal(it.view.segmentFirstSeq, 2);
  t.equal(sim.stat(path)?.bytes, byteEnd, 'the sealed segment ends where its last batch does');
  t.equal((await readAll(reopen(sim).reader)).size, 2);
});

t.test('G16: a new segment that cannot be created leaves nothing behind', async (t) => {
  const { disk, sim, world: it } = world({ segmentBytesMax: 600 });
  it.offer(Buffer.alloc(400));
  it.poll();
  disk.decide = ({ what, path }) =>
    what === 'pwritev' && path.endsWith(segmentName(2)) ? { code: 'ENOSPC' } : undefined;
  it.offer(Buffer.alloc(400));
  t.equal(it.poll(), 0);
  t.equal(sim.stat(join(DIRECTORY, segmentName(2))), undefined);
  disk.decide = ({ what, path }) =>
    path.endsWith(segmentName(2)) && (what === 'pwritev' || what === 'unlink')
      ? { code: 'EROFS' }
      : undefined;
  it.clock.pass(500);
  t.equal(it.poll(), 0);
  t.not(sim.stat(join(DIRECTORY, segmentName(2))), undefined, 'could not even be removed');
  disk.decide = () => undefined;
  it.clock.pass(500);
  t.equal(it.poll(), 1);
  t.equal(it.view.segmentFirstSeq, 2);
});

t.test('G24: a second without events proves the last batch, once', async (t) => {
  const { disk, world: it } = world();
  it.offer(Buffer.from('a'));
  it.poll();
  t.notOk(it.log.isProven);
  disk.calls.length = 0;
  it.clock.pass(999);
  it.poll();
  t.same(disk.trace(), [], 'not yet');
  it.clock.pass(1);
  it.poll();
  t.same(disk.trace(), [`pwritev ${SEGMENT_1}`, `fdatasync ${SEGMENT_1}`]);
  t.ok(it.log.isProven);
  t.equal(it.view.lastSeq, 1, 'without a seq');
  it.clock.pass(10_000);
  it.poll();
  t.equal(disk.trace().length, 2);
});

t.test('G25: at a clean stop everything accepted is durable and proven', async (t) => {
  const { sim, world: it } = world();
  it.offer(Buffer.from('last words'));
  it.words.writer('stop').publish(1);
  t.equal(it.poll(), 1);
  t.notOk(it.stage.isStopped);
  const end = it.view.byteEnd;
  it.poll();
  t.ok(it.stage.isStopped);
  t.equal(it.view.byteEnd, end + BATCH_HEADER_BYTES, 'an empty batch stands behind it');
  t.equal(it.words.reader('persistState').observe(), PersistState.stopped);
  t.equal(it.poll(), 0);
  t.equal(reopen(sim).writer.isProven, true);
});

t.test('G25: a stop on a full disk does not wait for room', async (t) => {
  const { disk, sim, world: it } = world();
  disk.decide = ({ what }) => (what === 'pwritev' ? { code: 'ENOSPC' } : undefined);
  it.offer(Buffer.from('no room'));
  it.poll();
  it.words.writer('stop').publish(1);
  it.poll();
  t.ok(it.stage.isStopped);
  t.equal(reopen(sim).writer.nextSeq, 1, 'its host will send it again');
});

t.test('G7: sealed before a batch that would make it too long', async (t) => {
  const { sim, world: it } = world({ segmentBytesMax: 1000 });
  for (let i = 0; i < 3; i++) {
    it.offer(Buffer.alloc(300));
    it.poll();
  }
  t.equal(it.view.segmentFirstSeq, 3, 'two of them have room in one segment');
  for (const { bytes } of it.log.sealed) t.ok(bytes <= 1000);
  t.equal(it.log.sealed.length, 1);
  t.equal((await readAll(reopen(sim).reader)).size, 3);
});

t.test('G7: sealed by size, and by age also when nothing comes any more', async (t) => {
  const { world: it } = world({ segmentAgeMsMax: 60_000 });
  it.offer(Buffer.from('a'));
  it.poll();
  it.clock.pass(59_999);
  it.poll();
  t.equal(it.view.segmentFirstSeq, 1);
  it.clock.pass(1);
  it.poll();
  t.equal(it.view.segmentFirstSeq, 2, 'sealed without a new event');
  it.clock.pass(1_000_000);
  it.poll();
  t.equal(it.view.segmentFirstSeq, 2, 'an empty one is never sealed');
  t.equal(it.log.sealed.length, 1);
});

t.test('G21: a wall clock that jumps does not seal and does not move seq', async (t) => {
  const { world: it } = world({ segmentAgeMsMax: 60_000 });
  it.offer(Buffer.from('a'));
  it.poll();
  for (const jump of [3_600_000, -7_200_000, 31_536_000_000]) {
    it.clock.epoch += jump;
    it.offer(Buffer.from('b'));
    it.poll();
  }
  t.equal(it.view.segmentFirstSeq, 1);
  t.equal(it.view.lastSeq, 4);
});

t.test('I0: assigned ≥ written ≥ durable, as gauges and words', async (t) => {
  const marks: number[][] = [];
  const { world: it } = world();
  it.onPoint = () => {
    const at = (name: 'assigned' | 'written' | 'durable') => it.words.wideReader(name).observe();
    marks.push([at('assigned'), at('written'), at('durable')]);
  };
  for (let i = 0; i < 3; i++) {
    it.offer(Buffer.from('x'));
    it.poll();
  }
  t.same(marks[0], [1, 1, 0], 'in the middle of the first batch');
  for (const [assigned, written, durable] of marks) {
    t.ok((assigned ?? 0) >= (written ?? 0) && (written ?? 0) >= (durable ?? 0));
  }
  t.equal(it.metrics.read('relay_log_durable_seq'), 3);
  t.equal(it.metrics.read('relay_log_assigned_seq'), 3);
  t.equal(it.metrics.read('relay_log_batches_total'), 3);
});

t.test('a restart goes on at the next seq, and shows what it found first', async (t) => {
  const { sim, world: it } = world();
  for (let i = 0; i < 3; i++) it.offer(Buffer.from(`${i}`));
  it.poll();
  const again = new World({ disk: sim, saltSeed: 4 });
  again.commit.read(again.view);
  t.equal(again.view.segmentFirstSeq, 0, 'nothing before start');
  again.start();
  t.same([again.view.lastSeq, again.view.byteEnd], [3, it.view.byteEnd]);
  again.offer(Buffer.from('next'));
  again.poll();
  t.same([...again.published.keys()], [4]);
});
