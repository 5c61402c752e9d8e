/** The small face of the reader that fan-out sees. */
import { join } from 'node:path';
import t from 'tap';
import { LogCursors } from '../../lib/log/cursor.ts';
import { segmentName } from '../../lib/log/descriptor.ts';
import type { LogDamage } from '../../lib/log/reader.ts';
import { DIRECTORY, splitFrames, World } from './log-world.ts';
import { SimDisk, simFiles } from './sim-disk.ts';

function setUp(): { disk: SimDisk; world: World } {
  const disk = new SimDisk();
  const world = new World({ disk, segmentBytesMax: 2000 }).start();
  for (let i = 0; i < 30; i++) {
    world.offer(Buffer.alloc(100, i), { didHashLo: i % 3 });
    world.poll();
  }
  return { disk, world };
}

t.test('G5: pieces from a cursor to the end, then more as it comes', async (t) => {
  const { disk, world } = setUp();
  const cursor = new LogCursors(world.reader(simFiles(disk))).open(12);
  const frames: Buffer[] = [];
  const drain = async (): Promise<void> => {
    for (;;) {
      const read = await cursor.next(500);
      if (read.kind !== 'frames') {
        t.equal(read.kind, 'end');
        return;
      }
      frames.push(...splitFrames(read.bytes));
      t.equal(read.lastSeq, 12 + frames.length);
    }
  };
  await drain();
  t.equal(frames.length, 18);
  world.offer(Buffer.from('live'));
  world.poll();
  await drain();
  t.equal(frames.length, 19);
  t.ok(frames.every((frame, i) => world.published.get(13 + i)?.equals(frame)));
  cursor.close();
});

t.test('G28: hidden records are left out and counted as seen', async (t) => {
  const { disk, world } = setUp();
  const isHidden = (_kind: number, lo: number): boolean => lo === 1;
  const cursor = new LogCursors(world.reader(simFiles(disk)), { isHidden }).open(0);
  let count = 0;
  let last = 0;
  for (;;) {
    const read = await cursor.next(1 << 20);
    if (read.kind !== 'frames') break;
    count += splitFrames(read.bytes).length;
    last = read.lastSeq;
  }
  t.same([count, last], [20, 30]);
});

t.test('G24: damage is an error with its range, and is reported', async (t) => {
  const { disk, world } = setUp();
  const path = join(DIRECTORY, segmentName(1));
  const bytes = disk.content(path);
  bytes[300] = (bytes[300] ?? 0) ^ 4;
  disk.put(path, bytes);
  const seen: LogDamage[] = [];
  const cursors = new LogCursors(world.reader(simFiles(disk)), {
    onDamage: (damage) => seen.push(damage),
  });
  const cursor = cursors.open(0);
  let read = await cursor.next(1 << 20);
  while (read.kind === 'frames') read = await cursor.next(1 << 20);
  t.match(read, { kind: 'bad', message: /^0000000000000001\.seg: seq 2 to 2 cannot be read$/ });
  t.match(await cursor.next(1 << 20), { kind: 'bad' }, 'and stays one');
  t.equal(seen.length, 2);
  t.match(await cursors.open(2).next(1 << 20), { kind: 'frames' }, 'behind it all is well');
});

t.test('G7: what retention has removed is gone', async (t) => {
  const { disk, world } = setUp();
  const reader = world.reader(simFiles(disk));
  const cursor = new LogCursors(reader).open(0);
  t.match(await cursor.next(100), { kind: 'frames' });
  const oldest = world.log.sealed[2]?.firstSeq ?? 0;
  world.words.wideWriter('oldestSeq').publish(oldest);
  await reader.retire(oldest);
  t.match(await cursor.next(100), { kind: 'gone' });
});
