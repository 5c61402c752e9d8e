/** The byte layout: what is written is read back, and nothing else is taken for it. */
import t from 'tap';
import { Batch } from '../../lib/log/batch.ts';
import {
  BATCH_FRAMES_BYTES_MAX,
  BATCH_HEADER_BYTES,
  BATCH_RECORDS_MAX,
  BatchHeader,
  bodyCrc,
  decodeSegmentHeader,
  encodeSegmentHeader,
  parseSegmentName,
  RECORD_BYTES,
  RecordRow,
  readBatchHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
  tableVerdict,
} from '../../lib/log/descriptor.ts';
import { listSegments, segmentIndexOf } from '../../lib/log/segments.ts';

const FIELDS = {
  salt: Buffer.from('0123456789abcdef'),
  firstSeq: 2 ** 53 - 10,
  prevLastSeq: 2 ** 53 - 11,
  createdMs: 1_700_000_000_000.5,
  prevCrc: 0xfedcba98,
};

function header(fields = FIELDS): SegmentHeader {
  const decoded = decodeSegmentHeader(encodeSegmentHeader(fields));
  if (typeof decoded === 'string') throw new Error(decoded);
  return decoded;
}

function encodeBatch(segment: SegmentHeader, byteOffset: number): Buffer {
  const batch = new Batch();
  const row = new RecordRow();
  Object.assign(row, { frameBytes: 5, kind: 3, statusCode: 255, hostId: 2 ** 32 - 1 });
  Object.assign(row, { upstreamCrc: 2 ** 32 - 2 });
  Object.assign(row, { didHashLo: 1, didHashHi: 2 ** 31, hostSeq: 2 ** 53 - 1, arrivalMs: 12.25 });
  batch.frames.write('\x82\x03abc', 'latin1');
  batch.add(row);
  const batchHeader = new BatchHeader();
  Object.assign(batchHeader, { firstSeq: segment.firstSeq, byteOffset, prevCrc: 7 });
  return Buffer.concat([...batch.encode(batchHeader, segment)]);
}

t.test('a segment header comes back as it was', async (t) => {
  t.match(header(), FIELDS);
  t.equal(encodeSegmentHeader(FIELDS).length, SEGMENT_HEADER_BYTES);
});

t.test('G24: no flipped bit of a segment header goes unseen', async (t) => {
  const bytes = encodeSegmentHeader(FIELDS);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const copy = Buffer.from(bytes);
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    t.equal(decodeSegmentHeader(copy), 'bad');
  }
  t.equal(decodeSegmentHeader(bytes.subarray(0, 63)), 'bad');
});

t.test('a batch comes back as it was', async (t) => {
  const segment = header();
  const bytes = encodeBatch(segment, 64);
  const found = new BatchHeader();
  t.equal(readBatchHeader(bytes, 0, 64, segment, found), 'ok');
  t.match(found, { count: 1, bodyBytes: RECORD_BYTES + 5, prevCrc: 7, byteOffset: 64 });
  t.equal(found.byteEnd, 64 + bytes.length);
  t.equal(found.nextSeq, segment.firstSeq + 1);
  t.equal(bodyCrc(bytes, BATCH_HEADER_BYTES, bytes.length, segment), found.bodyCrc);
  const row = new RecordRow();
  row.read(bytes, BATCH_HEADER_BYTES);
  t.match(row, { frameBytes: 5, kind: 3, statusCode: 255, hostId: 2 ** 32 - 1 });
  t.equal(row.upstreamCrc, 2 ** 32 - 2);
  t.match(row, { didHashLo: 1, didHashHi: 2 ** 31, hostSeq: 2 ** 53 - 1, arrivalMs: 12.25 });
});

t.test('G24: no flipped bit of a batch header goes unseen', async (t) => {
  const segment = header();
  const bytes = encodeBatch(segment, 64);
  const out = new BatchHeader();
  for (let bit = 0; bit < BATCH_HEADER_BYTES * 8; bit++) {
    const copy = Buffer.from(bytes);
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    if (readBatchHeader(copy, 0, 64, segment, out) !== 'bad') t.fail(`bit ${bit} of ${bit >> 3}`);
  }
});

t.test('G24: a batch header counts only at its own place and under its own salt', async (t) => {
  const segment = header();
  const bytes = encodeBatch(segment, 64);
  const out = new BatchHeader();
  t.equal(readBatchHeader(bytes, 0, 65, segment, out), 'bad');
  const other = header({ ...FIELDS, salt: Buffer.from('another salt ...') });
  t.equal(readBatchHeader(bytes, 0, 64, other, out), 'bad');
  // Its first half is in the magic, its second one in the CRC: each is enough.
  for (const byte of [0, 7, 8, 15]) {
    const salt = Buffer.from(FIELDS.salt);
    salt[byte] = (salt[byte] ?? 0) ^ 1;
    const near = header({ ...FIELDS, salt });
    t.equal(readBatchHeader(bytes, 0, 64, near, out), 'bad', `byte ${byte} of the salt`);
  }
  const later = header({ ...FIELDS, firstSeq: FIELDS.firstSeq + 1 });
  t.equal(readBatchHeader(bytes, 0, 64, later, out), 'bad', 'seqs below the segment');
  t.equal(readBatchHeader(bytes.subarray(0, 63), 0, 64, segment, out), 'bad');
});

t.test(
  'G27: a table with an unknown kind is another format, one that does not add up is bad',
  (t) => {
    const segment = header();
    const bytes = encodeBatch(segment, 64);
    const body = bytes.subarray(BATCH_HEADER_BYTES);
    t.equal(tableVerdict(body, 0, 1, body.length), 'ok');
    for (const kind of [0, 5, 255]) {
      const copy = Buffer.from(body);
      copy[4] = kind;
      t.equal(tableVerdict(copy, 0, 1, body.length), 'kind');
    }
    t.equal(tableVerdict(body, 0, 1, body.length - 1), 'bad');
    t.end();
  },
);

t.test('a batch holds 1 MiB, or 8,192 records, or one larger frame', async (t) => {
  const batch = new Batch();
  t.ok(batch.hasRoom(5_000_010));
  const row = new RecordRow();
  row.kind = 1;
  row.frameBytes = BATCH_FRAMES_BYTES_MAX - 10;
  batch.add(row);
  t.ok(batch.hasRoom(10));
  t.notOk(batch.hasRoom(11));
  batch.clear();
  row.frameBytes = 2;
  for (let i = 0; i < BATCH_RECORDS_MAX; i++) batch.add(row);
  t.notOk(batch.hasRoom(2));
  t.throws(() => batch.add(row), /batch is full/);
  batch.clear();
  row.kind = 5;
  t.throws(() => batch.add(row), /unknown kind/, 'G12: nothing that recovery would refuse');
});

t.test('names of segments sort as their seqs do', async (t) => {
  const seqs = [1, 9, 10, 2 ** 31, 2 ** 32 + 5, 2 ** 53 - 1];
  const names = seqs.map(segmentName);
  t.same([...names].sort(), names);
  t.same(names.map(parseSegmentName), seqs);
  const other = ['LOCK', 'x.seg', '1.seg', `${names[0]}.corrupt`, `${names[0]}.64.torn`];
  t.same(listSegments([...other, ...names].reverse()), seqs);
  t.equal(parseSegmentName('9999999999999999.seg'), undefined, 'beyond 2^53');
  t.same(
    [0, 1, 8, 9, 10, 11].map((seq) => segmentIndexOf([1, 9, 10], seq)),
    [-1, 0, 0, 1, 2, 2],
  );
});
