/** The strict scanner: what of spec §1.4 and §1.5 it accepts, what it refuses, and its budgets. */
import t from 'tap';
import {
  ALLOW_ANY_LINK,
  ALLOW_FLOAT64,
  ALLOW_INT64,
  BAD,
  compareKeys,
  DEPTH_MAX,
  encodeHead,
  encodeText,
  encodeUint,
  headArgument,
  headBytesOf,
  ITEMS_MAX,
  KEY_BYTES_MAX,
  keyEnd,
  MAJOR_ARRAY,
  MAJOR_BYTES,
  MAJOR_MAP,
  RULES_FRAME,
  RULES_RECORD,
  scanItem,
  skipItem,
} from '../../lib/wire/cbor.ts';
import { isUtf8, textOf } from '../../lib/wire/utf8.ts';
import { bytesOf, cbor, cidBytes, link, Pairs } from './frames.ts';

const DIGEST = '00'.repeat(32);

type Row = readonly [name: string, hex: string];

const GOOD: readonly Row[] = [
  ['0', '00'],
  ['23', '17'],
  ['24', '1818'],
  ['255', '18ff'],
  ['256', '190100'],
  ['65535', '19ffff'],
  ['65536', '1a00010000'],
  ['2^32-1', '1affffffff'],
  ['2^32', '1b0000000100000000'],
  ['CB-7: 2^53-1', '1b001fffffffffffff'],
  ['-1', '20'],
  ['CB-7: -(2^53-1)', '3b001ffffffffffffe'],
  ['empty bytes', '40'],
  ['24 bytes', `5818${'00'.repeat(24)}`],
  ['empty text', '60'],
  ['CB-8: text of 2, 3 and 4 byte sequences', '69c3b6e2bd98f0938b93'],
  ['CB-8: the last ASCII character', '617f'],
  ['CB-8: first and last of two bytes', '64c280dfbf'],
  ['CB-8: first and last of three bytes', '66e0a080efbfbf'],
  ['CB-8: around the surrogates', '66ed9fbfee8080'],
  ['CB-8: first and last of four bytes', '68f0908080f48fbfbf'],
  ['empty array', '80'],
  ['array of arrays', '82808100'],
  ['empty map', 'a0'],
  ['CB-3: keys shorter first, then bytewise', 'a3616200616300626161 00'],
  ['false, true, null', '83f4f5f6'],
  ['CD-2: link to DRISL', `d82a58250001711220${DIGEST}`],
  ['CD-1: link to raw', `d82a58250001551220${DIGEST}`],
  ['key __proto__ is a key', 'a1695f5f70726f746f5f5f00'],
];

const BAD_ALWAYS: readonly Row[] = [
  ['CB-1: undefined', 'f7'],
  ['CB-1: simple 0', 'e0'],
  ['CB-1: simple(24)', 'f818'],
  ['CB-1: simple(255)', 'f8ff'],
  ['CB-1: break', 'ff'],
  ['CB-2: 23 in two bytes', '1817'],
  ['CB-2: 1 in two bytes (H21)', '1801'],
  ['CB-2: 255 in three bytes', '1900ff'],
  ['CB-2: 65535 in five bytes', '1a0000ffff'],
  ['CB-2: 2^32-1 in nine bytes', '1b00000000ffffffff'],
  ['CB-2: -1 in two bytes', '3800'],
  ['CB-2: text length in two bytes', '780161'],
  ['CB-2: bytes length in two bytes', '580100'],
  ['CB-2: array length in two bytes', '980100'],
  ['CB-2: map length in two bytes', 'b801616100'],
  ['CB-2: key length in two bytes', 'a178016100'],
  ['CB-2: indefinite bytes', '5f4100ff'],
  ['CB-2: indefinite text', '7f6161ff'],
  ['CB-2: indefinite array', '9f00ff'],
  ['CB-2: indefinite map', 'bf616100ff'],
  ['reserved 28', '1c0000000100000000'],
  ['reserved 29', '1d0000000100000000'],
  ['reserved 30', '1e0000000100000000'],
  ['info 31 of an integer', '1f0000000100000000'],
  ['CB-3: integer key', 'a10000'],
  ['CB-3: bytes key', 'a1416100'],
  ['CB-3: key twice', 'a2616100616100'],
  ['CB-3: keys out of order', 'a2616200616100'],
  ['CB-3: longer key first', 'a2626161006162 00'],
  ['CB-4: empty key', 'a16000'],
  ['CB-5: tag 1', 'c100'],
  ['CB-5: bignum', 'c24101'],
  ['CB-5: tag 55799', 'd9d9f700'],
  ['CB-5: tag 43 over a CID', `d82b58250001711220${DIGEST}`],
  ['CB-5: tag 10817 over 0', 'd92a4100'],
  ['CB-6: 16-bit float', 'f93c00'],
  ['CB-6: 32-bit float', 'fa3f800000'],
  ['CB-6: NaN', 'fb7ff8000000000000'],
  ['CB-6: NaN with a payload', 'fb7ff0000100000000'],
  ['truncated float', 'fb3ff80000'],
  ['CB-6: infinity', 'fb7ff0000000000000'],
  ['CB-6: -infinity', 'fbfff0000000000000'],
  ['CB-8: c3 28', '62c328'],
  ['CB-8: surrogate ed a0 80', '63eda080'],
  ['CB-8: over-long c0 80', '62c080'],
  ['CB-8: over-long c1 bf', '62c1bf'],
  ['CB-8: over-long e0 80 80', '63e08080'],
  ['CB-8: over-long f0 80 80 80', '64f0808080'],
  ['CB-8: above U+10FFFF', '64f4908080'],
  ['CB-8: f5', '64f5808080'],
  ['CB-8: lone continuation', '6180'],
  ['CB-8: sequence cut by the end of the text', '61c3'],
  ['CB-8: sequence that would run into the next item', '8261c361a8'],
  ['CB-8: third byte is none', '63e28228'],
  ['CB-8: fourth byte is none', '64f0908028'],
  ['CB-8: invalid key', 'a162c32800'],
  ['CD-2: tag 42 over text', 'd82a6100'],
  ['CD-2: tag 42 in three bytes', `d9002a58250001711220${DIGEST}`],
  ['CD-2: no leading 00 (H33)', `d82a582401711220${DIGEST}`],
  ['empty bytes in a link', 'd82a40'],
  ['truncated integer', '18'],
  ['truncated 16-bit integer', '1901'],
  ['truncated 32-bit integer', '1a000100'],
  ['truncated 64-bit integer', '1b00000001000000'],
  ['truncated text', '6261'],
  ['truncated bytes', '4200'],
  ['truncated array', '8200'],
  ['truncated map', 'a1'],
  ['truncated map value', 'a16161'],
  ['truncated link', 'd82a5825000171'],
  ['tag alone', 'd82a'],
  ['nothing', ''],
  ['H28: array of 2^32', '9b0000000100000000'],
  ['H28: array of 2^32-1', '9affffffff'],
  ['H28: bytes of 4 GiB', '5b0000000100000000'],
  ['H28: text of 4 GiB', '7b0000000100000000'],
  ['H28: map of 2^32', 'bb0000000100000000'],
  ['H28: array one longer than the bytes left', '8400 0000'],
  ['H28: map half a pair longer than the bytes left', 'a2 6161 00'],
];

const BAD_IN_FRAME_ONLY: readonly Row[] = [
  ['CB-6: 1.5', 'fb3ff8000000000000'],
  ['CB-6: -0', 'fb8000000000000000'],
  ['CB-7: 2^53', '1b0020000000000000'],
  ['CB-7: -(2^53)', '3b001fffffffffffff'],
  ['CB-7: 2^64-1', '1bffffffffffffffff'],
  ['CD-1: CIDv0 (H33)', `d82a5823001220${DIGEST}`],
  ['CD-1: SHA-1 (H33)', `d82a58190001711114${'00'.repeat(20)}`],
  ['CD-1: SHA-512 (H33)', `d82a58450001711340${'00'.repeat(64)}`],
  ['CD-1: digest of 31 bytes (H33)', `d82a5824000171121f${'00'.repeat(31)}`],
  ['CD-1: 31 said, 32 there', `d82a5825000171121f${DIGEST}`],
  ['CD-1: other hash', `d82a58250001711320${DIGEST}`],
  ['CD-1: trailing byte in the CID (H33)', `d82a58260001711220${DIGEST}00`],
  ['CD-1: dag-pb', `d82a58250001701220${DIGEST}`],
  ['CD-1: version 2', `d82a58250002711220${DIGEST}`],
];

/** What may stand behind an item in a buffer: none of it may be read. */
const BEHIND = [0x00, 0x41, 0x60, 0x61, 0x80, 0xa0, 0xa8, 0xf6, 0xff];

/** Whether all of the bytes are one item, at the start of a buffer and inside one. */
function isItem(bytes: Buffer, rules: number): boolean {
  const end = scanItem(bytes, 0, bytes.length, rules);
  for (const fill of BEHIND) {
    const inside = Buffer.concat([Buffer.alloc(3, 0xff), bytes, Buffer.alloc(64, fill)]);
    const endInside = scanItem(inside, 3, 3 + bytes.length, rules);
    if (endInside !== (end === BAD ? BAD : end + 3)) throw new Error(`behind it: ${fill}`);
    const skipped = skipItem(inside, 3, 3 + bytes.length);
    if (skipped > 3 + bytes.length) throw new Error(`skipped beyond the end: ${fill}`);
    if (end !== BAD && skipped !== endInside) throw new Error('skip and scan differ');
  }
  if (end > bytes.length) throw new Error('scanned beyond the end');
  return end === bytes.length;
}

t.test('CB-1, CB-2, CB-3, CB-7, CB-8, CD-1, CD-2: DRISL: accepted', async (t) => {
  for (const [name, hex] of GOOD) {
    t.ok(isItem(bytesOf(hex), RULES_FRAME), name);
    t.ok(isItem(bytesOf(hex), RULES_RECORD), `${name}, in a record`);
    t.equal(skipItem(bytesOf(hex), 0, bytesOf(hex).length), bytesOf(hex).length, `${name}, skip`);
  }
});

t.test('CB-1, CB-2, CB-3, CB-4, CB-5, CB-6, CB-8, CD-2: DRISL: refused', async (t) => {
  for (const [name, hex] of BAD_ALWAYS) {
    t.notOk(isItem(bytesOf(hex), RULES_FRAME), name);
    t.notOk(isItem(bytesOf(hex), RULES_RECORD), `${name}, in a record`);
    // The loose walk lets much pass, but no head that is not shortest and nothing cut off.
    if (!/CB-2|truncated|H28|nothing|alone/.test(name)) continue;
    t.equal(skipItem(bytesOf(hex), 0, bytesOf(hex).length), BAD, `${name}, skip`);
  }
});

t.test('CB-6, CB-7, CD-1, H121: what a record may hold and a frame may not', async (t) => {
  for (const [name, hex] of BAD_IN_FRAME_ONLY) {
    t.notOk(isItem(bytesOf(hex), RULES_FRAME), name);
    t.ok(isItem(bytesOf(hex), RULES_RECORD), `${name}, in a record`);
    t.notOk(isItem(bytesOf(`81${hex}`), RULES_FRAME), `${name}, nested`);
  }
});

t.test('each rule allows its own only', async (t) => {
  const [int64, float64, sha1] = ['1b0020000000000000', 'fb3ff8000000000000', 'd82a4100'].map(
    bytesOf,
  );
  const rows = [
    [RULES_FRAME, false, false, false],
    [ALLOW_INT64, true, false, false],
    [ALLOW_FLOAT64, false, true, false],
    [ALLOW_ANY_LINK, false, false, true],
  ] as const;
  for (const [rules, ...wanted] of rows) {
    const got = [int64, float64, sha1].map((bytes) => isItem(bytes as Buffer, rules));
    t.same(got, wanted, `rules ${rules}`);
  }
});

t.test('CB-9: the end of the first item is returned, what follows is not looked at', async (t) => {
  t.equal(scanItem(bytesOf('8100 ff'), 0, 3, RULES_FRAME), 2);
  t.equal(skipItem(bytesOf('8100 ff'), 0, 3), 2);
});

t.test('LM-10: depth', async (t) => {
  t.same([DEPTH_MAX, ITEMS_MAX, KEY_BYTES_MAX], [32, 131_072, 8192]);
  const arrays = (depth: number): Buffer => {
    return Buffer.concat([Buffer.alloc(depth - 1, 0x81), Buffer.from([0x80])]);
  };
  const maps = (depth: number): Buffer => bytesOf(`${'a16161'.repeat(depth - 1)}a0`);
  for (const nested of [arrays, maps]) {
    t.ok(isItem(nested(DEPTH_MAX), RULES_FRAME), 'deepest');
    t.notOk(isItem(nested(DEPTH_MAX + 1), RULES_FRAME), 'one deeper');
    t.notOk(isItem(nested(20_000), RULES_FRAME), 'H27: 20,000 deep');
    t.ok(isItem(cbor([1, 2]), RULES_FRAME), 'the scratch rows are fine afterwards');
  }
});

t.test('LM-10: items and keys', async (t) => {
  const list = (count: number): Buffer => {
    return Buffer.concat([encodeHead(MAJOR_ARRAY, count), Buffer.alloc(count, 0xf6)]);
  };
  t.ok(isItem(list(ITEMS_MAX - 1), RULES_FRAME), 'most items, the array counted');
  t.notOk(isItem(list(ITEMS_MAX), RULES_FRAME), 'one more');
  t.notOk(isItem(list(4_999_000), RULES_FRAME), 'a frame full of them');
  t.equal(skipItem(list(ITEMS_MAX), 0, ITEMS_MAX + 5), BAD, 'skip has the budget too');
  const lists = Buffer.concat([bytesOf('82'), list(70_000), list(70_000)]);
  t.notOk(isItem(lists, RULES_FRAME), 'the budget is for all containers together');
  const keys = Array.from({ length: 200_000 }, (_, i) => [String(1e6 + i), null] as const);
  t.notOk(isItem(cbor(new Pairs(keys)), RULES_FRAME), 'H29: 200,000 keys');
  t.ok(isItem(cbor({ ['k'.repeat(KEY_BYTES_MAX)]: 1 }), RULES_FRAME), 'longest key');
  t.notOk(isItem(cbor({ ['k'.repeat(KEY_BYTES_MAX + 1)]: 1 }), RULES_FRAME), 'one longer');
});

/** Bytes that `work` reads of the buffer it is given. */
function readsOf(bytes: Buffer, work: (counted: Buffer) => void): number {
  let reads = 0;
  const get = (target: Buffer, key: string | symbol): unknown => {
    reads++;
    return Reflect.get(target, key, target);
  };
  work(new Proxy(bytes, { get }));
  return reads;
}

t.test('CB-11, H27, H28, H29: hostile items are refused after bounded work', async (t) => {
  const hostile: Record<string, Buffer> = {
    '5 million arrays in each other': Buffer.alloc(5_000_000, 0x81),
    'an array of 5 million': Buffer.alloc(5_000_000, 0x00).fill(bytesOf('9a004c4b3b'), 0, 5),
    'a map of 100,000 empty keys': Buffer.concat([
      encodeHead(MAJOR_MAP, 100_000),
      Buffer.alloc(4_000_000, 0x60),
    ]),
    '4 million arrays beside each other': Buffer.concat([
      encodeHead(MAJOR_ARRAY, ITEMS_MAX),
      Buffer.alloc(4_000_000, 0x80),
    ]),
  };
  const largest = Buffer.concat([
    encodeHead(MAJOR_ARRAY, ITEMS_MAX - 1),
    Buffer.alloc(ITEMS_MAX - 1),
  ]);
  const goodReads = readsOf(largest, (bytes) => {
    t.equal(scanItem(bytes, 0, bytes.length, RULES_FRAME), largest.length);
  });
  t.ok(goodReads >= ITEMS_MAX, 'reads are counted');
  for (const [name, item] of Object.entries(hostile)) {
    const scanReads = readsOf(item, (bytes) => {
      t.equal(scanItem(bytes, 0, item.length, RULES_FRAME), BAD, name);
    });
    t.ok(scanReads <= 2 * goodReads, `${name}: ${scanReads} reads, ${goodReads} of a good item`);
    const skipReads = readsOf(item, (bytes) => {
      t.equal(skipItem(bytes, 0, item.length), BAD, `${name}, skip`);
    });
    t.ok(skipReads <= 2 * goodReads, `${name}: ${skipReads} reads to skip it`);
  }
  for (const [major, count] of [
    [MAJOR_ARRAY, 100_001],
    [MAJOR_MAP, 50_001],
  ] as const) {
    const short = Buffer.concat([encodeHead(major, count), Buffer.alloc(100_000)]);
    const reads = readsOf(short, (bytes) => {
      t.equal(scanItem(bytes, 0, short.length, RULES_FRAME), BAD);
    });
    t.ok(reads < 20, `H28: a claim beyond the bytes is refused at its head: ${reads} reads`);
  }
});

t.test('CB-3: order of keys is length first, then bytewise', async (t) => {
  const keys = ['t', 'op', 'seq', 'repo', 'tooBig', 'x'.repeat(24), 'y'.repeat(256), 'ö', 'a\0'];
  for (const a of keys) {
    for (const b of keys) {
      const [x, y] = [Buffer.from(a), Buffer.from(b)];
      const expected = x.length === y.length ? Buffer.compare(x, y) : x.length - y.length;
      const both = Buffer.concat([encodeText(a), encodeText(b)]);
      const bAt = encodeText(a).length;
      t.equal(Math.sign(compareKeys(both, 0, bAt, both.length)), Math.sign(expected), `${a} ${b}`);
    }
  }
  t.equal(keyEnd(encodeText('seq'), 0, 4), 4);
  t.equal(keyEnd(encodeText('seq'), 0, 3), BAD, 'truncated');
  t.equal(keyEnd(encodeText('seq'), 4, 4), BAD, 'nothing there');
});

t.test('the writer makes shortest heads, which the reader takes', async (t) => {
  const rows: readonly (readonly [value: number, hex: string])[] = [
    [0, '00'],
    [23, '17'],
    [24, '1818'],
    [255, '18ff'],
    [256, '190100'],
    [65_535, '19ffff'],
    [65_536, '1a00010000'],
    [2 ** 32 - 1, '1affffffff'],
    [2 ** 32, '1b0000000100000000'],
    [2 ** 53 - 1, '1b001fffffffffffff'],
  ];
  for (const [value, hex] of rows) {
    const bytes = encodeUint(value);
    t.equal(bytes.toString('hex'), hex);
    t.equal(headBytesOf(value), bytes.length);
    t.equal(headArgument(bytes, 0, bytes.length), value);
  }
  t.equal(encodeHead(MAJOR_BYTES, 300).toString('hex'), '59012c');
  t.equal(encodeText('ö').toString('hex'), '62c3b6');
  t.equal(headArgument(bytesOf('1bffffffffffffffff'), 0, 9), 2 ** 64, 'rounded, stays above 2^53');
  t.equal(headArgument(bytesOf('1b0020000000000001'), 0, 9) > Number.MAX_SAFE_INTEGER, true);
});

t.test('texts become JS strings by their bytes', async (t) => {
  for (const text of ['', 'did:plc:abc', 'ö', '⽘☎𓋓😀', 'a\0b']) {
    const bytes = Buffer.from(`<${text}>`);
    t.equal(textOf(bytes, 1, bytes.length - 1), text);
    t.ok(isUtf8(bytes, 0, bytes.length));
  }
});

t.test('CD-2: a link is 41 bytes', async (t) => {
  t.same(link(7).bytes.subarray(5), cidBytes(7));
  t.ok(isItem(link(7).bytes, RULES_FRAME));
  for (let bytes = 0; bytes < 41; bytes++) {
    t.notOk(isItem(link(7).bytes.subarray(0, bytes), RULES_FRAME), `cut to ${bytes}`);
  }
});
