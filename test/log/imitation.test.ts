/**
 * Bytes inside a frame that look like a batch: what a hostile account could try to make recovery
 * believe after a torn write (G13, G24, C9). Salt, place, seq and chain each stop one of them.
 */
import { join } from 'node:path';
import t from 'tap';
import { Batch } from '../../lib/log/batch.ts';
import { takeBatches } from '../../lib/log/chunk.ts';
import {
  BATCH_HEADER_BYTES,
  BatchHeader,
  decodeSegmentHeader,
  RECORD_BYTES,
  RecordRow,
  type SegmentHeader,
} from '../../lib/log/descriptor.ts';
import { DIRECTORY, readAll, reopen, splitFrames, World } from './log-world.ts';
import { SimDisk } from './sim-disk.ts';

const SEGMENT = join(DIRECTORY, '0000000000000001.seg');
const FORGED = Buffer.from([0x82, 6, 0x66, 0x6f, 0x72, 0x67, 0x65, 0x64]);
const SECTOR_BYTES = 512;

function headerOf(disk: SimDisk): SegmentHeader {
  const header = decodeSegmentHeader(disk.content(SEGMENT));
  if (typeof header === 'string') throw new Error('no header');
  return header;
}

/** A batch with one forged record, as whoever knew the salt would make it. */
function forge(segment: SegmentHeader, byteOffset: number, firstSeq: number, prevCrc: number) {
  const batch = new Batch();
  FORGED.copy(batch.frames);
  const row = new RecordRow();
  row.frameBytes = FORGED.length;
  row.kind = 1;
  batch.add(row);
  const header = new BatchHeader();
  header.byteOffset = byteOffset;
  header.firstSeq = firstSeq;
  header.prevCrc = prevCrc;
  return Buffer.concat([...batch.encode(header, segment)]);
}

type Scene = {
  readonly disk: SimDisk;
  readonly published: Map<number, Buffer>;
  /** Where the last batch starts, and where the forgery is in it. */
  readonly lastAt: number;
  readonly forgedAt: number;
};

/** Three published records, then a batch that carries `makeForged` in a frame. */
function stage(makeForged: (segment: SegmentHeader, at: number, disk: SimDisk) => Buffer): Scene {
  const disk = new SimDisk();
  const world = new World({ disk }).start();
  for (let i = 0; i < 3; i++) {
    world.offer(Buffer.from(`published ${i}`));
    world.poll();
  }
  const published = new Map(world.published);
  const lastAt = world.view.byteEnd;
  // Room enough in front of it that a lost first sector does not reach the forgery.
  const padding = Buffer.alloc(2 * SECTOR_BYTES);
  const messageHead = 'head of message '.length + 1;
  const forgedAt = lastAt + BATCH_HEADER_BYTES + RECORD_BYTES + 4 + messageHead + padding.length;
  const forged = makeForged(headerOf(disk), forgedAt, disk);
  world.offer(Buffer.concat([padding, forged, Buffer.alloc(100)]));
  world.poll();
  const there = disk.content(SEGMENT).subarray(forgedAt, forgedAt + forged.length);
  if (!there.equals(forged)) throw new Error('the forgery is somewhere else');
  return { disk, published, lastAt, forgedAt };
}

/** The write was torn: the sector with the batch's header never reached the disk. */
function loseHeader({ disk, lastAt }: Scene): void {
  disk.put(SEGMENT, disk.content(SEGMENT).fill(0, lastAt, lastAt + SECTOR_BYTES));
}

function servesForged(found: Map<number, Buffer>): boolean {
  return [...found.values()].some((frame) => frame.equals(FORGED));
}

type Forger = Parameters<typeof stage>[0];
const STOPPED: readonly (readonly [string, Forger])[] = [
  [
    'another salt',
    (segment, at) => {
      const header = { ...segment, batchMagic: Buffer.alloc(8, 1), crcSeed: 1 };
      return forge(header, at, 4, 0);
    },
  ],
  [
    'the right magic and another CRC seed',
    (segment, at) => forge({ ...segment, crcSeed: segment.crcSeed ^ 1 }, at, 4, 0),
  ],
  [
    'an earlier batch of the same segment, byte for byte',
    (_segment, _at, disk) => disk.content(SEGMENT).subarray(64),
  ],
  ['a place that is not its own', (segment, at) => forge(segment, at - 1, 4, 0)],
  ['seqs that are used already', (segment, at) => forge(segment, at, 2, 0)],
  ['seqs too far ahead', (segment, at) => forge(segment, at, 1_000_000, 0)],
];

for (const [what, forger] of STOPPED) {
  t.test(`G24: a batch inside a frame is not believed: ${what}`, async (t) => {
    const scene = stage(forger);
    loseHeader(scene);
    const { report, writer, reader } = reopen(scene.disk);
    t.same(report.damaged, [], 'the tail is torn, nothing is damaged');
    t.ok(report.tornBytes > 0);
    t.equal(writer.nextSeq, 4);
    const found = await readAll(reader);
    t.same([...found.keys()], [...scene.published.keys()]);
    t.notOk(servesForged(found));
  });
}

t.test(
  'G24: salt, place and seq known, but not the chain: never served, no seq reused',
  async (t) => {
    const scene = stage((segment, at) => forge(segment, at, 4, 0x12345678));
    loseHeader(scene);
    const { report, writer, reader } = reopen(scene.disk);
    const byteEnd = scene.disk.content(SEGMENT).length;
    const all = { firstSeq: 4, byteOffset: scene.lastAt, byteEnd };
    t.match(report.damaged[0]?.damages, [all], 'nothing behind it is certain either');
    t.ok(writer.nextSeq > 4);
    for (let cursor = 0; cursor < 4; cursor++) {
      t.notOk(servesForged(await readAll(reader, cursor)), `cursor ${cursor}`);
    }
  },
);

t.test('G13: a whole header says how long its batch is: nothing inside is looked at', async (t) => {
  const scene = stage((segment, at) => forge(segment, at, 5, segment.crc));
  const bytes = scene.disk.content(SEGMENT);
  scene.disk.put(SEGMENT, bytes.subarray(0, -50));
  const { report, writer, reader } = reopen(scene.disk);
  t.same(report.damaged, []);
  t.equal(writer.nextSeq, 4);
  t.notOk(servesForged(await readAll(reader)));
});

/** A log of one record, and a batch behind it that is right but for what is given. */
function behindTheLast(wrong: { readonly seqs?: number; readonly chain?: number }) {
  const disk = new SimDisk();
  const world = new World({ disk }).start();
  world.offer(Buffer.from('published'));
  world.poll();
  const bytes = disk.content(SEGMENT);
  const lastCrc = bytes.readUInt32LE(64 + BATCH_HEADER_BYTES - 4);
  const { seqs = 0, chain = 0 } = wrong;
  const segment = headerOf(disk);
  const forged = forge(segment, bytes.length, 2 + seqs, (lastCrc ^ chain) >>> 0);
  disk.put(SEGMENT, Buffer.concat([bytes, forged]));
  return { disk, segment, bytes };
}

for (const [what, wrong] of [
  ['its chain', { chain: 1 }],
  ['its seq', { seqs: 1 }],
] as const) {
  t.test(`G1, G24: a batch that is right but for ${what} does not continue the log`, async (t) => {
    const { disk, segment, bytes } = behindTheLast(wrong);
    const piece = disk.content(SEGMENT).subarray(64);
    const taken = takeBatches(piece, 64, 1, segment, () => {});
    t.match(taken, { nextSeq: 2, byteEnd: bytes.length, stop: { kind: 'header' } }, 'to a reader');
    t.equal(taken.spans.length, 1);
    const { report, writer } = reopen(disk);
    t.equal(writer.nextSeq, 2, 'to recovery');
    t.equal(report.tornBytes, piece.length + 64 - bytes.length);
  });
}

t.test('G24: under a whole header a changed frame is no frame', async (t) => {
  const { disk, segment } = behindTheLast({});
  const piece = disk.content(SEGMENT).subarray(64);
  t.equal(takeBatches(piece, 64, 1, segment, () => {}).spans.length, 2);
  const last = piece.length - 1;
  piece[last] = (piece[last] ?? 0) ^ 1;
  const taken = takeBatches(piece, 64, 1, segment, () => {});
  t.match(taken, { nextSeq: 2, stop: { kind: 'body', damage: { firstSeq: 2, lastSeq: 2 } } });
  t.equal(taken.spans.length, 1);
});

t.test('the forgery would be believed if the last batch really ended in front of it', async (t) => {
  // The control: with everything right, chain included, it is a batch like any other.
  const { disk } = behindTheLast({});
  const { reader } = reopen(disk);
  t.ok(servesForged(await readAll(reader)));
  t.equal(splitFrames(FORGED).length, 1);
});
