import { hash } from 'node:crypto';
import t from 'tap';
import { CAR_BLOCKS_MAX, CarIndex } from '../../lib/repo/car.ts';
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { type Block, encodeCar, varint } from '../../scripts/fleet/signed-repo.ts';

const block = (text: string): Block => {
  const bytes = Buffer.from(text);
  return { cid: cidOf(bytes), bytes };
};
const ROOT = block('root');
const A = block('a');
const B = block('b');

function load(car: Buffer): { readonly index: CarIndex; readonly verdict: string } {
  const index = new CarIndex();
  const padded = Buffer.concat([Buffer.from('before'), car, Buffer.from('\x00after')]);
  const verdict = index.load(padded, 6, 6 + car.length) ?? 'ok';
  return { index, verdict };
}

/** A CAR with a header written by hand. */
function withHeader(header: Buffer, blocks: readonly Block[] = [ROOT]): Buffer {
  const body = encodeCar([ROOT.cid], blocks).subarray(encodeCar([ROOT.cid], []).length);
  return Buffer.concat([varint(header.length), header, body]);
}
const header = (): DrislWriter => new DrislWriter().map(2).text('roots');

function textAt(index: CarIndex, car: Buffer, cid: string): string | undefined {
  const found = index.find(Buffer.from(cid, 'latin1'), 0);
  if (found < 0) return undefined;
  return car.toString('latin1', index.blockStart(found) - 6, index.blockEnd(found) - 6);
}

t.test('CA-1, CA-2: blocks are found by CID, the root is the first root', async (t) => {
  const car = encodeCar([ROOT.cid], [ROOT, A, B]);
  const { index, verdict } = load(car);
  t.equal(verdict, 'ok');
  t.ok(index.isIntact());
  t.equal(index.blockCount, 3);
  t.equal(index.rootCid, ROOT.cid);
  t.ok(index.findRoot() >= 0);
  t.equal(textAt(index, car, A.cid), 'a');
  t.equal(textAt(index, car, B.cid), 'b');
  t.equal(textAt(index, car, block('c').cid), undefined);
  t.equal(textAt(index, car, `\x01\x55${A.cid.slice(2)}`), undefined, 'other codec, other CID');
  t.ok(index.isIntact());
});

t.test('CA-3, H67: blocks in any order', async (t) => {
  const { index, verdict } = load(encodeCar([ROOT.cid], [B, A, ROOT]));
  t.equal(verdict, 'ok');
  t.equal(index.findRoot(), 2);
});

t.test('CA-2, H66: further roots are allowed', async (t) => {
  const { index, verdict } = load(encodeCar([ROOT.cid, A.cid], [ROOT]));
  t.equal(verdict, 'ok');
  t.equal(index.rootCid, ROOT.cid);
});

t.test('H64: a root that is not among the blocks', async (t) => {
  const { index, verdict } = load(encodeCar([ROOT.cid], [A, B]));
  t.equal(verdict, 'ok');
  t.equal(index.findRoot(), -1);
});

t.test('CA-3, H71: the same block twice', async (t) => {
  const car = encodeCar([ROOT.cid], [ROOT, A, ROOT, A]);
  const { index, verdict } = load(car);
  t.equal(verdict, 'ok');
  t.ok(index.isIntact());
  t.equal(textAt(index, car, A.cid), 'a');
});

t.test('H71: a false copy of a block is found out, before or after the true one', async (t) => {
  const lie = { cid: A.cid, bytes: Buffer.from('lie') };
  t.notOk(load(encodeCar([ROOT.cid], [ROOT, A, lie])).index.isIntact());
  t.notOk(load(encodeCar([ROOT.cid], [ROOT, lie, A])).index.isIntact());
});

// 10,000 CIDs that agree in what the index looks at cost 2 s to put into it; true digests cannot be
// made to agree. So nothing is looked up before every block was hashed.
t.test('H73: false CIDs are never put into an index', async (t) => {
  const false16 = (i: number): Block => {
    return { cid: `${A.cid.slice(0, 20)}${`${i}`.padStart(16, '0')}`, bytes: Buffer.from('x') };
  };
  const blocks = Array.from({ length: CAR_BLOCKS_MAX - 1 }, (_, i) => false16(i));
  const { index, verdict } = load(encodeCar([ROOT.cid], [ROOT, ...blocks]));
  t.equal(verdict, 'ok');
  const find = (): number => index.find(Buffer.from(ROOT.cid, 'latin1'), 0);
  t.throws(find, 'before they are hashed');
  t.ok(index.isBlockIntact(index.findRoot()));
  t.throws(find, 'the root alone does not count');
  t.notOk(index.isIntact());
  t.throws(find, 'after they were found out');
});

t.test('H68: one byte flipped in a block', async (t) => {
  const { index, verdict } = load(encodeCar([ROOT.cid], [ROOT, { ...A, bytes: Buffer.from('A') }]));
  t.equal(verdict, 'ok');
  t.ok(index.isBlockIntact(index.findRoot()));
  t.notOk(index.isIntact());
});

t.test('A36: a raw block is a block, an empty one too', async (t) => {
  const bytes = Buffer.from('not cbor');
  const raw = { cid: `\x01\x55\x12\x20${hash('sha256', bytes, 'latin1')}`, bytes };
  const empty = block('');
  const { index, verdict } = load(encodeCar([ROOT.cid], [ROOT, raw, empty]));
  t.equal(verdict, 'ok');
  t.ok(index.isIntact());
});

t.test('CA-1, H62: header length', async (t) => {
  const car = encodeCar([ROOT.cid], [ROOT]);
  const rest = car.subarray(1);
  const lengths: Record<string, Buffer> = {
    zero: Buffer.from([0]),
    'beyond the bytes': varint(100_000),
    'one too long': Buffer.from([car.readUInt8(0) + 1]),
    'one too short': Buffer.from([car.readUInt8(0) - 1]),
    'overlong by one byte': Buffer.from([car.readUInt8(0) | 0x80, 0]),
    '9 bytes': Buffer.from([car.readUInt8(0) | 0x80, ...Array(7).fill(0x80), 0x00]),
    '11 bytes': Buffer.from([...Array(10).fill(0xff), 1]),
    'never ending': Buffer.alloc(20, 0xff),
  };
  t.equal(load(Buffer.concat([Buffer.from([car.readUInt8(0)]), rest])).verdict, 'ok');
  for (const [name, length] of Object.entries(lengths))
    t.equal(load(Buffer.concat([length, rest])).verdict, 'commit_car_bad', name);
  t.equal(load(Buffer.alloc(0)).verdict, 'commit_car_bad', 'nothing at all');
});

t.test('CA-1, H63: version and roots', async (t) => {
  const link = new DrislWriter().link(ROOT.cid).done();
  const one = header().array(1).raw(link).text('version').integer(1).done();
  t.equal(load(withHeader(one)).verdict, 'ok');
  const extra = new DrislWriter().map(3).text('roots').array(1).raw(link);
  const bad: Record<string, Buffer> = {
    'version 2': header().array(1).raw(link).text('version').integer(2).done(),
    'version 24': header().array(1).raw(link).text('version').integer(24).done(),
    'version "1"': header().array(1).raw(link).text('version').text('1').done(),
    'no version': new DrislWriter().map(1).text('roots').array(1).raw(link).done(),
    'no roots': new DrislWriter().map(1).text('version').integer(1).done(),
    'roots empty': header().array(0).text('version').integer(1).done(),
    'roots no CIDs': header().array(1).text('x').text('version').integer(1).done(),
    'second root no CID': header().array(2).raw(link).null().text('version').integer(1).done(),
    'roots a link': header().raw(link).text('version').integer(1).done(),
    'keys unsorted': new DrislWriter()
      .map(2)
      .text('version')
      .integer(1)
      .text('roots')
      .array(1)
      .raw(link)
      .done(),
    'a list': new DrislWriter().array(0).done(),
    'trailing byte': Buffer.concat([one, Buffer.from([0])]),
    'version not shortest': Buffer.concat([one.subarray(0, -1), Buffer.from([0x18, 1])]),
  };
  for (const [name, bytes] of Object.entries(bad))
    t.equal(load(withHeader(bytes)).verdict, 'commit_car_bad', name);
  const unknown = extra.text('version').integer(1).text('something').null().done();
  t.equal(load(withHeader(unknown)).verdict, 'ok', 'unknown header keys are allowed');
});

t.test('CA-1, H69: sections', async (t) => {
  const car = encodeCar([ROOT.cid], [ROOT, A]);
  const bad: Record<string, Buffer> = {
    'garbage after': Buffer.concat([car, Buffer.from('garbage')]),
    'a zero after': Buffer.concat([car, Buffer.from([0])]),
    'last block truncated': car.subarray(0, -1),
    'only a length': Buffer.concat([car, varint(40)]),
    'section of 35': Buffer.concat([car, varint(35), Buffer.alloc(35, 1)]),
    'overlong length': Buffer.concat([
      car,
      Buffer.from([0xa5, 0x00]),
      Buffer.from(A.cid, 'latin1'),
      A.bytes,
    ]),
  };
  for (const [name, bytes] of Object.entries(bad))
    t.equal(load(bytes).verdict, 'commit_car_bad', name);
  const bare = Buffer.concat([car, varint(36), Buffer.from(block('').cid, 'latin1')]);
  t.equal(load(bare).verdict, 'ok', 'a section of 36 is an empty block');
});

t.test('CD-1, H70: blocks under other CIDs', async (t) => {
  const digest = A.cid.slice(4);
  const bad = {
    'sha-512': `\x01\x71\x13\x40${digest}${digest}`,
    identity: '\x01\x71\x00\x24abcdefghijklmnopqrstuvwxyzabcdefghij',
    CIDv0: `\x12\x20${digest}`,
    'dag-pb': `\x01\x70\x12\x20${digest}`,
    blake3: `\x01\x71\x1e\x20${digest}`,
    'digest of 31': `\x01\x71\x12\x1f${digest.slice(1)}`,
  };
  for (const [name, cid] of Object.entries(bad)) {
    const car = encodeCar([ROOT.cid], [ROOT, { cid, bytes: Buffer.from('abcdef') }]);
    t.equal(load(car).verdict, 'commit_block_cid_bad', name);
  }
});

t.test(
  'CA-3, CB-11, H73, S36: at most 10,000 blocks, found and hashed in bounded time',
  async (t) => {
    const blocks = Array.from({ length: CAR_BLOCKS_MAX - 1 }, (_, i) => block(`${i}`));
    const { index, verdict } = load(encodeCar([ROOT.cid], [ROOT, ...blocks]));
    t.equal(verdict, 'ok');
    const isFound = ({ cid }: Block): boolean => index.find(Buffer.from(cid, 'latin1'), 0) > 0;
    t.ok(index.isIntact());
    t.ok(blocks.every(isFound));
    const more = load(encodeCar([ROOT.cid], [ROOT, A, ...blocks]));
    t.equal(more.verdict, 'commit_car_blocks_too_many');
  },
);

t.test('a used index forgets the CAR before', async (t) => {
  const index = new CarIndex();
  const first = encodeCar([ROOT.cid], [ROOT, A]);
  const second = encodeCar([B.cid], [B]);
  t.equal(index.load(first, 0, first.length), undefined);
  t.ok(index.isIntact());
  t.equal(index.load(second, 0, second.length), undefined);
  t.equal(index.blockCount, 1);
  t.equal(index.rootCid, B.cid);
  t.throws(() => index.find(Buffer.from(A.cid, 'latin1'), 0), 'not even whether it was intact');
  t.ok(index.isIntact());
  t.equal(index.find(Buffer.from(A.cid, 'latin1'), 0), -1);
});
