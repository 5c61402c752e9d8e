/**
 * One change in an encoding: heads that are not the shortest, lengths that lie, tags, floats,
 * indefinite lengths, keys out of order or twice, values of other types, links of other forms.
 * Byte strings are left closed: what is in them is mutated by those who know it.
 */
import type { Prng } from '../../lib/base/prng.ts';
import {
  allItems,
  byteString,
  head,
  type Item,
  link,
  MAJOR,
  parseItem,
  sorted,
  text,
} from './cbor-items.ts';
import { mutateBytes, pick, strangeCid } from './random.ts';

type Rewrite = (prng: Prng, bytes: Buffer, item: Item) => Buffer | undefined;

function replaced(bytes: Buffer, item: Item, value: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, item.start), value, bytes.subarray(item.end)]);
}

function contentOf(bytes: Buffer, item: Item): Buffer {
  return bytes.subarray(item.headEnd, item.end);
}

function wholeOf(bytes: Buffer, item: Item): Buffer {
  return bytes.subarray(item.start, item.end);
}

/** The item with another head before the same content. */
function withHead(bytes: Buffer, item: Item, newHead: Uint8Array): Buffer {
  return replaced(bytes, item, Buffer.concat([newHead, contentOf(bytes, item)]));
}

const FLOATS = [
  Buffer.from('fb3ff8000000000000', 'hex'),
  Buffer.from('fb0000000000000000', 'hex'),
  Buffer.from('fb8000000000000000', 'hex'),
  Buffer.from('fb7ff8000000000000', 'hex'),
  Buffer.from('fb7ff0000000000000', 'hex'),
  Buffer.from('fa3fc00000', 'hex'),
  Buffer.from('f93e00', 'hex'),
];
const SIMPLES = [
  Buffer.from([0xf7]),
  Buffer.from([0xf8, 24]),
  Buffer.from([0xf8, 20]),
  Buffer.from([0xff]),
  Buffer.from([0xe0]),
  Buffer.from([0xf3]),
];
const EDGES = [0n, 1n, 23n, 24n, 255n, 256n, 65_535n, 65_536n, 2n ** 32n - 1n, 2n ** 32n].concat([
  2n ** 53n - 2n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
]);
const TAGS = [0, 1, 2, 42, 43, 55_799, 2 ** 40];
const BAD_TEXTS = ['c328', 'eda080', 'c080', 'f4908080', '80', 'e28228'];
const FIELD_NAMES = ['x', 'zz', '$type', '__proto__', 'constructor', 'toString', 'a-longer-name'];
const ODD_FIELD_NAMES = ['', '\u{feff}bom', 'é', '\u{1f600}', 'n'.repeat(300), 'k'.repeat(9000)];

/** Any item, right in itself. */
export function anyValue(prng: Prng): Buffer {
  return pick(prng, VALUES)(prng);
}

const VALUES: readonly ((prng: Prng) => Buffer)[] = [
  () => Buffer.from([0xf6]),
  (prng) => Buffer.from([pick(prng, [0xf4, 0xf5])]),
  (prng) => head(pick(prng, [MAJOR.uint, MAJOR.negative]), pick(prng, EDGES)),
  (prng) => text(pick(prng, ['', 'a', 'é', '\u{1f600}', '\u{feff}', '\0', 'x'.repeat(300)])),
  (prng) => byteString(Buffer.alloc(prng.nextBelow(40), prng.nextBelow(256))),
  () => Buffer.from([0x80]),
  () => Buffer.from([0xa0]),
  (prng) => link(strangeCid(prng)),
  (prng) => Buffer.concat([head(MAJOR.array, 2), anyValue(prng), anyValue(prng)]),
  (prng) => Buffer.concat([head(MAJOR.map, 1), text(pick(prng, FIELD_NAMES)), anyValue(prng)]),
];

function indefinite(bytes: Buffer, item: Item): Buffer | undefined {
  if (item.major < MAJOR.bytes || item.major > MAJOR.map) return undefined;
  const open = Buffer.from([(item.major << 5) | 31]);
  const isString = item.major <= MAJOR.text;
  const content = isString ? wholeOf(bytes, item) : contentOf(bytes, item);
  return replaced(bytes, item, Buffer.concat([open, content, Buffer.from([0xff])]));
}

/** The map with its entries changed and counted anew. */
function withEntries(
  bytes: Buffer,
  map: Item,
  change: (entries: Buffer[]) => Buffer[],
): Buffer | undefined {
  if (map.major !== MAJOR.map) return undefined;
  const entries: Buffer[] = [];
  for (let i = 0; i < map.children.length; i += 2) {
    const [key, value] = [map.children[i] as Item, map.children[i + 1] as Item];
    entries.push(bytes.subarray(key.start, value.end));
  }
  const changed = change(entries);
  return replaced(bytes, map, Buffer.concat([head(MAJOR.map, changed.length), ...changed]));
}

/** A field more, where canonical order wants it. */
function withField(bytes: Buffer, map: Item, name: string, value: Buffer): Buffer | undefined {
  return withEntries(bytes, map, (entries) => {
    const all = [...entries, Buffer.concat([text(name), value])];
    return sorted(all.map((key) => ({ key, value }))).map(({ key }) => key);
  });
}

function badLink(prng: Prng, bytes: Buffer, item: Item): Buffer | undefined {
  const body = item.children[0];
  if (item.major !== MAJOR.tag || body?.major !== MAJOR.bytes) return undefined;
  const cid = Buffer.from(contentOf(bytes, body));
  const forms: readonly (() => Buffer)[] = [
    () => Buffer.concat([Buffer.from([0, 0x12, 0x20]), cid.subarray(5)]),
    () => Buffer.concat([Buffer.from([0, 1, 0x71, 0x11, 20]), cid.subarray(17)]),
    () => Buffer.concat([Buffer.from([0, 1, 0x71, 0x13, 64]), cid.subarray(5), cid.subarray(5)]),
    () => cid.subarray(0, 36),
    () => cid.subarray(1),
    () => Buffer.concat([cid, Buffer.from([0])]),
    () => Buffer.concat([Buffer.from([0, 1, 0x55]), cid.subarray(3)]),
    () => Buffer.concat([Buffer.from([0, 1, 0x70]), cid.subarray(3)]),
    () => Buffer.from([0, 1, 0x71, 0, 0]),
    () => Buffer.concat([Buffer.from([1]), cid.subarray(1)]),
    () => Buffer.alloc(0),
  ];
  return replaced(bytes, body, byteString(pick(prng, forms)()));
}

function nested(prng: Prng): Buffer {
  const depth = pick(prng, [29, 30, 31, 32, 33, 40, 200, 3000]);
  const open = pick(prng, [Buffer.from([0x81]), Buffer.from([0xa1, 0x61, 0x61])]);
  return Buffer.concat([...Array.from({ length: depth }, () => open), Buffer.from([0xf6])]);
}

const REWRITES: readonly Rewrite[] = [
  // A head that is longer than need be.
  (prng, bytes, item) => {
    if (item.major === MAJOR.simple) return undefined;
    const width = item.headEnd - item.start - 1;
    const wider = pick(prng, [1, 2, 4, 8].filter((each) => each > width).concat(8));
    return withHead(bytes, item, head(item.major, item.argument, wider));
  },
  (_, bytes, item) => indefinite(bytes, item),
  (prng, bytes, item) =>
    replaced(bytes, item, Buffer.concat([head(MAJOR.tag, pick(prng, TAGS)), wholeOf(bytes, item)])),
  (prng, bytes, item) => replaced(bytes, item, pick(prng, FLOATS)),
  // The same number as a float.
  (_, bytes, item) => {
    if (item.major !== MAJOR.uint) return undefined;
    const float = Buffer.from([0xfb, 0, 0, 0, 0, 0, 0, 0, 0]);
    float.writeDoubleBE(item.argument, 1);
    return replaced(bytes, item, float);
  },
  (prng, bytes, item) => replaced(bytes, item, pick(prng, SIMPLES)),
  (prng, bytes, item) => {
    const major = pick(prng, [MAJOR.uint, MAJOR.negative]);
    return replaced(bytes, item, head(major, pick(prng, EDGES)));
  },
  (prng, bytes, item) => replaced(bytes, item, anyValue(prng)),
  (prng, bytes, item) => replaced(bytes, item, nested(prng)),
  // A length that lies.
  (prng, bytes, item) => {
    if (item.major < MAJOR.bytes || item.major > MAJOR.map) return undefined;
    const lies = [item.argument + 1, Math.max(0, item.argument - 1), 2 ** 31, 2 ** 32, 2 ** 62];
    return withHead(bytes, item, head(item.major, BigInt(pick(prng, lies))));
  },
  (prng, bytes, item) => {
    if (item.major !== MAJOR.text || item.argument < 4) return undefined;
    const result = Buffer.from(bytes);
    const bad = Buffer.from(pick(prng, BAD_TEXTS), 'hex');
    bad.copy(result, item.headEnd + prng.nextBelow(item.argument - bad.length + 1));
    return result;
  },
  // Entries of a map: out of order, twice, one less, one more.
  (prng, bytes, item) =>
    withEntries(bytes, item, (entries) => {
      const at = prng.nextBelow(entries.length);
      const moved = entries[at];
      const rest = entries.toSpliced(at, 1);
      if (moved !== undefined) rest.splice(prng.nextBelow(entries.length), 0, moved);
      return rest;
    }),
  (prng, bytes, item) =>
    withEntries(bytes, item, (entries) => {
      const at = prng.nextBelow(entries.length);
      return entries.toSpliced(at, 0, ...entries.slice(at, at + 1));
    }),
  (prng, bytes, item) =>
    withEntries(bytes, item, (entries) => entries.toSpliced(prng.nextBelow(entries.length), 1)),
  (prng, bytes, item) => withField(bytes, item, pick(prng, FIELD_NAMES), anyValue(prng)),
  (prng, bytes, item) => withField(bytes, item, pick(prng, ODD_FIELD_NAMES), anyValue(prng)),
  badLink,
];

/** The same with one change; bytes that are no CBOR any more are changed as bytes. */
export function mutateCbor(prng: Prng, bytes: Buffer): Buffer {
  const root = parseItem(bytes);
  if (root === undefined) return mutateBytes(prng, bytes);
  const items = allItems(root);
  for (let attempt = 0; attempt < 16; attempt++) {
    // The map itself as often as anything in it.
    const item = prng.nextBelow(4) === 0 ? root : pick(prng, items);
    const result = pick(prng, REWRITES)(prng, bytes, item);
    if (result !== undefined) return result;
  }
  return mutateBytes(prng, bytes);
}
