/**
 * A frame taken apart without any library and without our decoder: its two objects, the blocks of
 * its CAR, the records that its operations name. Tolerant: what cannot be read is left out.
 */
import {
  allItems,
  type Entry,
  encodeMap,
  entriesOf,
  head,
  type Item,
  MAJOR,
  parseItem,
  sorted,
  text,
} from './cbor-items.ts';

export type Anatomy = {
  readonly header: Item;
  readonly payload: Item;
};

/** Both objects, or undefined where the bytes are not two items. */
export function anatomyOf(frame: Buffer): Anatomy | undefined {
  const header = parseItem(frame);
  if (header === undefined) return undefined;
  const payload = parseItem(frame, header.end);
  return payload?.end === frame.length ? { header, payload } : undefined;
}

/** The value of a field of a map. */
export function fieldOf(frame: Buffer, map: Item, name: string): Item | undefined {
  const key = text(name);
  for (let i = 0; i + 1 < map.children.length; i += 2) {
    const each = map.children[i] as Item;
    if (frame.subarray(each.start, each.end).equals(key)) return map.children[i + 1];
  }
  return undefined;
}

/** Header, payload and operations with their keys in order, everything in them as it is. */
export function sortedEnvelope(frame: Buffer): Buffer | undefined {
  const parts = anatomyOf(frame);
  if (parts === undefined) return undefined;
  const header = entriesOf(frame, parts.header);
  const payload = entriesOf(frame, parts.payload);
  if (header === undefined || payload === undefined) return undefined;
  const ops = fieldOf(frame, parts.payload, 'ops');
  const withOps = payload.map((entry): Entry => {
    const isOps = ops !== undefined && entry.key.equals(text('ops'));
    return isOps ? { key: entry.key, value: sortedOps(frame, ops) } : entry;
  });
  return Buffer.concat([encodeMap(sorted(header)), encodeMap(sorted(withOps))]);
}

function sortedOps(frame: Buffer, ops: Item): Buffer {
  if (ops.major !== MAJOR.array) return frame.subarray(ops.start, ops.end);
  const items = ops.children.map((op) => {
    const entries = entriesOf(frame, op);
    return entries === undefined ? frame.subarray(op.start, op.end) : encodeMap(sorted(entries));
  });
  return Buffer.concat([head(MAJOR.array, items.length), ...items]);
}

/** Whether any map in an item has a key of this name. */
export function hasKey(bytes: Buffer, name: string): boolean {
  const key = text(name);
  return itemsOf(bytes).some((item) =>
    entriesOf(bytes, item)?.some((entry) => entry.key.equals(key)),
  );
}

/** The contents of all texts in an item, keys included. */
export function textsOf(bytes: Buffer): Buffer[] {
  const texts = itemsOf(bytes).filter(({ major }) => major === MAJOR.text);
  return texts.map(({ headEnd, end }) => bytes.subarray(headEnd, end));
}

function itemsOf(bytes: Buffer): Item[] {
  const item = parseItem(bytes);
  return item === undefined ? [] : allItems(item);
}

/** The CAR of a frame: its header as an item, and its blocks in order. */
export type CarAnatomy = {
  readonly header: Buffer;
  readonly blocks: readonly { readonly cid: string; readonly bytes: Buffer }[];
};

const CID_BYTES = 36;
const DRISL = '\x01\x71\x12\x20';

export function carOf(frame: Buffer): CarAnatomy | undefined {
  const payload = anatomyOf(frame)?.payload;
  const field = payload && fieldOf(frame, payload, 'blocks');
  if (field?.major !== MAJOR.bytes) return undefined;
  const car = frame.subarray(field.headEnd, field.end);
  const sections: Buffer[] = [];
  for (let at = 0; at < car.length; ) {
    const [bytes, start] = varintAt(car, at);
    if (start + bytes > car.length) return undefined;
    sections.push(car.subarray(start, start + bytes));
    at = start + bytes;
  }
  const [header, ...rest] = sections;
  if (header === undefined) return undefined;
  const blocks = rest.map((section) => {
    return { cid: section.latin1Slice(0, CID_BYTES), bytes: section.subarray(CID_BYTES) };
  });
  return { header, blocks };
}

function varintAt(car: Buffer, start: number): [value: number, end: number] {
  let value = 0;
  for (let at = start, scale = 1; at < car.length; at++, scale *= 128) {
    const byte = car.readUInt8(at);
    value += (byte & 127) * scale;
    if (byte < 128) return [value, at + 1];
  }
  return [Number.POSITIVE_INFINITY, car.length];
}

/** The record blocks that operations name, but for raw ones, which have no encoding. */
export function recordsOf(frame: Buffer): Buffer[] {
  const payload = anatomyOf(frame)?.payload;
  const ops = payload && fieldOf(frame, payload, 'ops');
  if (ops === undefined) return [];
  const cids = new Set<string>();
  for (const op of ops.children) {
    const cid = fieldOf(frame, op, 'cid');
    if (cid?.major === MAJOR.tag) cids.add(frame.latin1Slice(cid.end - CID_BYTES, cid.end));
  }
  const blocks = carOf(frame)?.blocks ?? [];
  return blocks
    .filter(({ cid }) => cids.has(cid) && cid.startsWith(DRISL))
    .map(({ bytes }) => bytes);
}

/** One item of definite lengths that fills the block. */
export function isWellFormed(block: Buffer): boolean {
  return parseItem(Buffer.from(block))?.end === block.length;
}
