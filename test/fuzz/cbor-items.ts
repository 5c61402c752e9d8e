/**
 * CBOR taken apart as it lies, right or wrong in its details, and put together again: what
 * mutations of encodings are made with. Knows heads and lengths, no rules of DRISL.
 */
export const MAJOR = {
  uint: 0,
  negative: 1,
  bytes: 2,
  text: 3,
  array: 4,
  map: 5,
  tag: 6,
  simple: 7,
} as const;

/** One item of definite length in a buffer. */
export type Item = {
  readonly start: number;
  readonly headEnd: number;
  readonly end: number;
  readonly major: number;
  readonly argument: number;
  /** Elements; keys and values in turn; what a tag stands before. */
  readonly children: readonly Item[];
  readonly parent: Item | undefined;
};

/** Deeper than any decoder goes. */
const DEPTH_MAX = 4000;

type Reader = { readonly bytes: Buffer; at: number };

/** The item at `at`, or undefined where there is none of definite length. */
export function parseItem(bytes: Buffer, at = 0): Item | undefined {
  return read({ bytes, at }, undefined, 0);
}

function read(reader: Reader, parent: Item | undefined, depth: number): Item | undefined {
  const { bytes, at: start } = reader;
  if (start >= bytes.length || depth > DEPTH_MAX) return undefined;
  const first = bytes.readUInt8(start);
  const info = first & 31;
  const width = info < 24 ? 0 : 1 << (info - 24);
  if (info > 27 || start + 1 + width > bytes.length) return undefined;
  const major = first >> 5;
  const argument = width === 0 ? info : argumentAt(bytes, start + 1, width);
  const children: Item[] = [];
  const headEnd = start + 1 + width;
  const item = { start, headEnd, end: headEnd, major, argument, children, parent };
  reader.at = headEnd;
  if (major === MAJOR.bytes || major === MAJOR.text) reader.at += argument;
  if (reader.at > bytes.length) return undefined;
  for (let left = childCount(major, argument); left > 0; left--) {
    const child = read(reader, item, depth + 1);
    if (child === undefined) return undefined;
    children.push(child);
  }
  item.end = reader.at;
  return item;
}

function childCount(major: number, argument: number): number {
  if (major === MAJOR.array) return argument;
  if (major === MAJOR.map) return 2 * argument;
  return major === MAJOR.tag ? 1 : 0;
}

function argumentAt(bytes: Buffer, at: number, width: number): number {
  return width < 8 ? bytes.readUIntBE(at, width) : Number(bytes.readBigUInt64BE(at));
}

/** A head of the shortest form, or of at least `widthMin` bytes behind the first. */
export function head(major: number, argument: number | bigint, widthMin = 0): Buffer {
  if (argument < 24 && widthMin === 0) return Buffer.of((major << 5) | Number(argument));
  if (argument < 256 && widthMin === 0) return Buffer.of((major << 5) | 24, Number(argument));
  const value = BigInt(argument);
  const shortest = value < 24n ? 0 : value < 0x100n ? 1 : value < 0x10000n ? 2 : 4;
  const width = Math.max(widthMin, value < 0x100000000n ? shortest : 8);
  if (width === 0) return Buffer.from([(major << 5) | Number(value)]);
  const out = Buffer.alloc(9);
  out.writeBigUInt64BE(value, 1);
  const bytes = out.subarray(8 - width);
  bytes.writeUInt8((major << 5) | (24 + Math.log2(width)), 0);
  return bytes;
}

export function text(value: string): Buffer {
  const content = Buffer.from(value, 'utf8');
  return Buffer.concat([head(MAJOR.text, content.length), content]);
}

export function byteString(content: Uint8Array): Buffer {
  return Buffer.concat([head(MAJOR.bytes, content.length), content]);
}

/** Tag 42 over a CID given as latin1; null for null. */
export function link(cid: string | null): Buffer {
  if (cid === null) return Buffer.from([0xf6]);
  if (cid.length === 36) return Buffer.from(`\xd8\x2a\x58\x25\0${cid}`, 'latin1');
  const content = Buffer.from(`\0${cid}`, 'latin1');
  return Buffer.concat([head(MAJOR.tag, 42), byteString(content)]);
}

/** One entry of a map, both sides encoded. */
export type Entry = { readonly key: Buffer; readonly value: Buffer };

const keys = new Map<string, Buffer>();

export function entry(key: string, value: Buffer): Entry {
  let encoded = keys.get(key);
  if (encoded === undefined) {
    encoded = text(key);
    keys.set(key, encoded);
  }
  return { key: encoded, value };
}

/** The map of these entries, in the order given. */
export function encodeMap(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ key, value }) => [key, value]);
  return Buffer.concat([head(MAJOR.map, entries.length), ...parts]);
}

/** The entries of a map, or undefined where it is none. */
export function entriesOf(bytes: Buffer, item: Item | undefined): Entry[] | undefined {
  if (item?.major !== MAJOR.map) return undefined;
  const entries: Entry[] = [];
  for (let i = 0; i < item.children.length; i += 2) {
    const key = item.children[i] as Item;
    const value = item.children[i + 1] as Item;
    entries.push({
      key: bytes.subarray(key.start, key.end),
      value: bytes.subarray(value.start, value.end),
    });
  }
  return entries;
}

/** Canonical order: heads hold the lengths, so bytewise is shorter first. */
export function sorted(entries: readonly Entry[]): Entry[] {
  return [...entries].sort((a, b) => Buffer.compare(a.key, b.key));
}

/** Every item in and below one. */
export function allItems(item: Item): Item[] {
  return [item, ...item.children.flatMap(allItems)];
}
