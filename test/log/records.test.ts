/** The record iterator: every record with its row, from any seq, over damage, with bounded memory. */
import { join } from 'node:path';
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { segmentName } from '../../lib/log/descriptor.ts';
import { LogRecords } from '../../lib/log/records.ts';
import { readWsHeader, wsHeaderBytes } from '../../lib/wire/ws-frame.ts';
import { DIRECTORY, randomBytes, World } from './log-world.ts';
import { SimDisk, simFiles } from './sim-disk.ts';

function build(count: number): { disk: SimDisk; world: World } {
  const disk = new SimDisk();
  const world = new World({ disk, segmentBytesMax: 2000, ringCount: 2 }).start();
  const prng = new Prng(4);
  for (let i = 0; i < count; i++) {
    world.offer(randomBytes(prng, 30 + prng.nextBelow(100)), { ring: i % 2, kind: 1 + (i % 4) });
    if (prng.nextBelow(3) === 0) world.poll();
  }
  world.poll();
  return { disk, world };
}

t.test(
  'G9: every record above the checkpoint, in order, with host, host seq and CRC',
  async (t) => {
    const { disk, world } = build(60);
    const records = new LogRecords(DIRECTORY, simFiles(disk));
    for (let from = 0; from <= 60; from++) {
      const seqs: number[] = [];
      const damages = await records.forEachRecord(from, world.view, (record) => {
        seqs.push(record.seq);
        const wire = world.published.get(record.seq) ?? Buffer.of();
        const messageBytes = readWsHeader(wire, 0, wire.length);
        const message = wire.subarray(wsHeaderBytes(messageBytes));
        if (!record.frame.equals(message)) t.fail(`seq ${record.seq}: another frame`);
        if (record.hostId !== 5 && record.hostId !== 6) t.fail('host id');
        return undefined;
      });
      t.same(damages, []);
      if (seqs.length !== 60 - from || seqs.some((seq, i) => seq !== from + 1 + i)) {
        t.fail(`from ${from}: ${seqs}`);
      }
    }
    await records.forEachRecord(59, world.view, (record) => {
      t.match(record, {
        seq: 60,
        hostSeq: 77,
        upstreamCrc: 0xdeadbeef,
        didHashLo: 7,
        didHashHi: 0xfedcba98,
        arrivalMs: 1_700_000_000_123,
      });
      return undefined;
    });
  },
);

t.test('a visitor that waits is waited for, one record at a time', async (t) => {
  const { disk, world } = build(40);
  const records = new LogRecords(DIRECTORY, simFiles(disk));
  let inHand = 0;
  const seqs: number[] = [];
  await records.forEachRecord(0, world.view, (record) => {
    t.equal(inHand, 0);
    seqs.push(record.seq);
    if (record.seq % 3 !== 0) return undefined;
    inHand++;
    return new Promise((resolve) =>
      setImmediate(() => {
        inHand--;
        resolve();
      }),
    );
  });
  t.same(
    seqs,
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
});

t.test('the view is the end, also when the log has grown meanwhile', async (t) => {
  const { disk, world } = build(10);
  const { segmentFirstSeq, byteEnd, lastSeq } = world.view;
  const view = { segmentFirstSeq, byteEnd, lastSeq };
  for (let i = 0; i < 50; i++) {
    world.offer(Buffer.alloc(100));
    world.poll();
  }
  let count = 0;
  await new LogRecords(DIRECTORY, simFiles(disk)).forEachRecord(0, view, () => {
    count++;
    return undefined;
  });
  t.equal(count, 10);
});

t.test('G24: damage is passed over and told', async (t) => {
  const { disk, world } = build(60);
  const path = join(DIRECTORY, segmentName(1));
  const bytes = disk.content(path);
  bytes[200] = (bytes[200] ?? 0) ^ 1;
  disk.put(path, bytes);
  const seqs: number[] = [];
  const records = new LogRecords(DIRECTORY, simFiles(disk));
  const damages = await records.forEachRecord(0, world.view, (record) => {
    seqs.push(record.seq);
    return undefined;
  });
  t.equal(damages.length, 1);
  const { firstSeq = 0, lastSeq = 0 } = damages[0]?.damage ?? {};
  t.equal(seqs.length, 60 - (lastSeq - firstSeq + 1));
  t.ok(seqs.every((seq) => seq < firstSeq || seq > lastSeq));
});

t.test('an empty log has no records', async (t) => {
  const disk = new SimDisk();
  const world = new World({ disk }).start();
  const records = new LogRecords(DIRECTORY, simFiles(disk));
  t.same(await records.forEachRecord(0, world.view, () => t.fail('a record') as never), []);
});

t.test('an error of the visitor ends the walk', async (t) => {
  const { disk, world } = build(10);
  const records = new LogRecords(DIRECTORY, simFiles(disk));
  await t.rejects(
    records.forEachRecord(0, world.view, () => {
      throw new Error('enough');
    }),
    { message: 'enough' },
  );
});
