/**
 * The files of every released format are read as they were meant (G27), and the present version
 * writes the same bytes for the same events. A changed layout needs a new version and a new file.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { LOG_VERSION, segmentName } from '../../lib/log/descriptor.ts';
import { DIRECTORY, readAll, recordsOf, reopen, World } from './log-world.ts';
import { SimDisk } from './sim-disk.ts';

const FIRST_SEQ = 4_294_967_290;
const FILE = fileURLToPath(new URL('../fixtures/log/v1.seg', import.meta.url));
const NAME = join(DIRECTORY, segmentName(FIRST_SEQ));
/** Set to write the file of a new version. */
const IS_WRITING = process.env['GOLDEN_WRITE'] === '1';

/** Events of all kinds and sizes of header, a seal in front of a proof, two batches. */
function write(): Buffer {
  const disk = new SimDisk();
  const world = new World({ disk, nextSeqMin: FIRST_SEQ, saltSeed: 42, ringCount: 2 }).start();
  for (const [i, bytes] of [1, 80, 100, 130].entries()) {
    world.offer(Buffer.alloc(bytes, i), { kind: i + 1, ring: i % 2, didHashLo: 0xf0000000 + i });
  }
  world.poll();
  world.clock.pass(250);
  world.offer(Buffer.alloc(66_000, 9));
  world.poll();
  world.clock.pass(1000);
  world.poll();
  return disk.content(NAME);
}

t.test('G27: version 1 is written byte for byte as it was', async (t) => {
  t.equal(LOG_VERSION, 1, 'a new version needs a golden file of its own');
  const bytes = write();
  if (IS_WRITING) writeFileSync(FILE, bytes);
  t.ok(bytes.equals(readFileSync(FILE)));
});

t.test('G27: version 1 is read', async (t) => {
  const disk = new SimDisk();
  disk.put(NAME, readFileSync(FILE));
  const { reader, writer, report, view } = reopen(disk, { nextSeqMin: FIRST_SEQ });
  t.same([report.damaged, report.tornBytes, writer.isProven], [[], 0, true]);
  t.equal(writer.nextSeq, FIRST_SEQ + 5);
  const found = await readAll(reader, FIRST_SEQ - 1);
  t.same(
    [...found.keys()],
    [0, 1, 2, 3, 4].map((i) => FIRST_SEQ + i),
  );
  t.equal(
    found.get(FIRST_SEQ)?.toString('latin1'),
    '\x82\x16head of message \x1a\xff\xff\xff\xfa\x00',
  );
  const rows: object[] = [];
  await recordsOf(disk).forEachRecord(FIRST_SEQ - 1, view, (record) => {
    const { seq, kind, hostId, upstreamCrc, didHashLo, didHashHi, hostSeq, arrivalMs } = record;
    rows.push({ seq, kind, hostId, upstreamCrc, didHashLo, didHashHi, hostSeq, arrivalMs });
    return undefined;
  });
  t.same(rows[1], {
    seq: FIRST_SEQ + 1,
    kind: 2,
    hostId: 6,
    upstreamCrc: 0xdeadbeef,
    didHashLo: 0xf0000001,
    didHashHi: 0xfedcba98,
    hostSeq: 77,
    arrivalMs: 1_700_000_000_123,
  });
});
