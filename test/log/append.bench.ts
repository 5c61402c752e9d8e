/**
 * What durability costs: events a second with one sync for so many events, as ratios to one sync
 * for each, within one run (alternating, median of five); and how fast the log is read and opened.
 * Numbers of this machine's disk, for the ratios; never an alarm.
 *   node test/log/append.bench.ts [directory]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Prng } from '../../lib/base/prng.ts';
import { GiB, KiB, MiB } from '../../lib/base/units.ts';
import { NodeDisk } from '../../lib/log/disk.ts';
import { realLogFiles } from '../../lib/log/files.ts';
import { randomBytes, reopen, World } from './log-world.ts';

const FRAME_BYTES = 5 * KiB;
const GROUPS = [1, 8, 32, 128] as const;
const ROUNDS = 5;
const ROUND_MS = 300;
const READ_BYTES_TOTAL = 256 * MiB;

const root = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'skyrelay-bench-'));
const body = randomBytes(new Prng(1), FRAME_BYTES);
const sizes = { ringBytes: 16 * MiB, tailBytes: 16 * MiB, segmentBytesMax: GiB };

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

function eventsPerSecond(world: World, group: number): number {
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < ROUND_MS) {
    for (let i = 0; i < group; i++) world.offer(body);
    count += world.stage.poll();
    world.commit.read(world.view);
  }
  return (count * 1000) / (performance.now() - start);
}

function benchAppend(): void {
  const disk = new NodeDisk();
  const world = new World({ disk, directory: join(root, 'append'), ...sizes }).start();
  const rates = new Map<number, number[]>(GROUPS.map((group) => [group, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const group of GROUPS) rates.get(group)?.push(eventsPerSecond(world, group));
  }
  const single = median(rates.get(1) ?? []);
  for (const [group, values] of rates) {
    const rate = median(values);
    const ratio = (rate / single).toFixed(1);
    console.log(`${String(group).padStart(4)} events a sync: ${rate.toFixed(0)}/s, ${ratio}×`);
  }
}

async function benchRead(): Promise<void> {
  const directory = join(root, 'read');
  const world = new World({ disk: new NodeDisk(), directory, ...sizes }).start();
  while (world.log.byteEnd < READ_BYTES_TOTAL) {
    for (let i = 0; i < 64; i++) world.offer(body);
    world.stage.poll();
    world.commit.read(world.view);
  }
  world.log.close();
  const openStart = performance.now();
  const { report } = reopen(new NodeDisk(), { directory });
  const openMs = performance.now() - openStart;
  console.log(
    `open an active segment of 256 MiB: ${openMs.toFixed(0)} ms, next seq ${report.nextSeq}`,
  );
  const reader = world.reader(realLogFiles);
  const start = performance.now();
  let position = await reader.locate(0);
  let bytes = 0;
  while (position !== undefined) {
    const read = await reader.read(position);
    if (read.kind !== 'chunk') break;
    bytes += read.bytes.length;
    position = read.next;
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(`replay, CRC checked: ${(bytes / MiB / seconds).toFixed(0)} MiB/s`);
  const locateStart = performance.now();
  const fresh = world.reader(realLogFiles);
  await fresh.locate(world.view.lastSeq - 1);
  console.log(`first look-up at the end of it: ${(performance.now() - locateStart).toFixed(1)} ms`);
  await fresh.close();
  await reader.close();
}

try {
  benchAppend();
  await benchRead();
} finally {
  rmSync(root, { recursive: true });
}
