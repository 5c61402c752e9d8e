/** Removal of retired segments on the real file system (G7, G24, A4). */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { MiB } from '../../lib/base/units.ts';
import { DamageReports } from '../../lib/log/damage-reports.ts';
import { segmentName } from '../../lib/log/descriptor.ts';
import { NodeDisk } from '../../lib/log/disk.ts';
import { realLogFiles } from '../../lib/log/files.ts';
import type { LogDamage } from '../../lib/log/reader.ts';
import { realRemovalFiles, SegmentRemover } from '../../lib/log/unlink.ts';
import { type Logger, silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { must, readAll, World } from './log-world.ts';

function setUp(t: { teardown(end: () => unknown): void }) {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-unlink-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const world = new World({ disk: new NodeDisk(), directory, segmentBytesMax: 20_000 }).start();
  for (let i = 0; i < 40; i++) {
    world.offer(Buffer.alloc(3000, i));
    world.poll();
  }
  const reader = world.reader(realLogFiles);
  t.teardown(() => reader.close());
  return { directory, world, reader };
}

const segmentsIn = (directory: string): string[] =>
  readdirSync(directory).filter((name) => name.endsWith('.seg'));

t.test(
  'G7: removes what lies below the oldest seq, tells the truth, spares the rest',
  async (t) => {
    const { directory, world, reader } = setUp(t);
    const metrics = new MetricWriter();
    let oldestSeq = 1;
    const remover = new SegmentRemover({
      directory,
      files: realRemovalFiles,
      metrics,
      oldestSeq: () => oldestSeq,
      activeBytes: () => world.view.byteEnd,
      retire: async (seq) => {
        await reader.retire(seq);
        // Whoever was reading has ended; only now may anything go.
        t.same(segmentsIn(directory), before);
        retired.push(seq);
      },
    });
    const retired: number[] = [];
    const before = segmentsIn(directory);
    t.match(await remover.pass(), { segments_removed: 0, bytes_removed: 0, oldest_seq: 1 });
    t.same(segmentsIn(directory), before);
    const kept = must(before[3]);
    const bytes = before.slice(0, 3).map((name) => statSync(join(directory, name)).size);
    oldestSeq = Number(kept.slice(0, 16));
    world.words.wideWriter('oldestSeq').publish(oldestSeq);
    await readAll(reader);
    writeFileSync(join(directory, 'LOCK'), 'not a segment');
    t.same(await remover.pass(), {
      segments_removed: 3,
      bytes_removed: bytes.reduce((sum, size) => sum + size, 0),
      active_bytes: world.view.byteEnd,
      oldest_seq: oldestSeq,
    });
    t.same(retired, [oldestSeq]);
    t.same(segmentsIn(directory), before.slice(3));
    t.ok(readdirSync(directory).includes('LOCK'));
    t.equal(metrics.read('relay_log_segments_removed_total'), 3);
    const rest = await readAll(reader);
    t.equal(must([...rest.keys()][0]), oldestSeq);
    t.equal(rest.size, 40 - oldestSeq + 1);
    const again = new World({ disk: new NodeDisk(), directory, saltSeed: 9 }).start();
    t.equal(again.log.oldestSeq, oldestSeq, 'a restart sees the same');
  },
);

t.test('G7: a name is gone for good before the next one goes, and before its bytes', async (t) => {
  const steps: string[] = [];
  const note = (what: string) => async (): Promise<void> => void steps.push(what);
  const remover = new SegmentRemover({
    directory: '/log',
    files: {
      names: async () => [1, 5, 9].map(segmentName),
      open: async (path) => ({
        bytes: async () => 20 * MiB,
        truncate: note(`truncate ${path}`),
        close: note(`close ${path}`),
      }),
      unlink: async (path) => void steps.push(`unlink ${path}`),
      syncDirectory: async (path) => void steps.push(`sync ${path}`),
    },
    metrics: new MetricWriter(),
    oldestSeq: () => 9,
    activeBytes: () => 0,
    retire: note('retire'),
  });
  await remover.pass();
  const removed = (firstSeq: number): string[] => {
    const path = `/log/${segmentName(firstSeq)}`;
    return [`unlink ${path}`, 'sync /log', `truncate ${path}`, `close ${path}`];
  };
  t.same(steps, ['retire', ...removed(1), ...removed(5)]);
});

t.test('G24: damage is copied and logged once, however often it is met', async (t) => {
  const { directory } = setUp(t);
  const lines: object[] = [];
  const logger: Logger = { ...silentLogger, error: (fields) => lines.push(fields) };
  const metrics = new MetricWriter();
  const reports = new DamageReports({ directory, logger, metrics });
  const at = (byteOffset: number): LogDamage => {
    const damage = { firstSeq: 1, lastSeq: 2, byteOffset, byteEnd: byteOffset + 10 };
    const resume = { segmentFirstSeq: 1, byteOffset: 0, nextSeq: 3 };
    return { kind: 'damaged', segmentFirstSeq: 1, damage, resume };
  };
  for (let i = 0; i < 5; i++) reports.note(at(64));
  reports.note(at(500));
  await reports.settled();
  t.equal(lines.length, 2, 'one line for each piece');
  t.match(lines[0], { segment: segmentName(1), firstSeq: 1, lastSeq: 2 });
  t.equal(metrics.read('relay_log_corrupt_batches_total'), 2);
  const copies = readdirSync(directory).filter((name) => name.endsWith('.corrupt'));
  t.same(copies, [`${segmentName(1)}.corrupt`]);
  t.equal(
    statSync(join(directory, must(copies[0]))).size,
    statSync(join(directory, segmentName(1))).size,
  );
});
