/**
 * Which of our own limits (LM-10 and the like, which the specification wants but does not number)
 * a frame goes beyond, found without our decoder.
 */
import { anatomyOf, carOf, fieldOf } from './anatomy.ts';
import { allItems, type Item, MAJOR, parseItem } from './cbor-items.ts';

const DEPTH_MAX = 32;
const ITEMS_MAX = 131_072;
const KEY_BYTES_MAX = 8192;
const ENVELOPE_ENTRIES_MAX = 64;
const OP_ENTRIES_MAX = 16;
const UNKNOWN_BYTES_MAX = 65_536;
const STATUS_BYTES_MAX = 128;
const CAR_BLOCKS_MAX = 10_000;
const KNOWN = new Set(
  'seq did repo time rev since blocks commit ops blobs rebase tooBig prevData active status handle'
    .split(' ')
    .concat(['cid', 'path', 'prev', 'action', 't', 'op']),
);

/** What is exceeded, by name; empty where nothing is. */
export function limitsExceeded(frame: Buffer): string[] {
  const parts = anatomyOf(frame);
  if (parts === undefined) return [];
  const { header, payload } = parts;
  const car = carOf(frame);
  const commits = car?.blocks.filter(({ bytes }) => isCommit(bytes)) ?? [];
  const others = [car?.header, ...commits.map(({ bytes }) => bytes)];
  const ops = fieldOf(frame, payload, 'ops');
  const status = fieldOf(frame, payload, 'status');
  // Each value of header, payload and operations is measured by itself.
  const envelope = [header, payload, ...(ops?.children ?? [])];
  const values = envelope.flatMap((map) => map.children.filter((item) => item !== ops));
  const exceeded = [
    ...values.flatMap(itemLimits),
    ...others.flatMap((bytes) => itemLimits(bytes && parseItem(Buffer.from(bytes)))),
  ];
  const isEnvelopeLong = [header, payload].some(({ argument }) => argument > ENVELOPE_ENTRIES_MAX);
  if (isEnvelopeLong) exceeded.push('entries of the envelope');
  if (envelope.some(hasLongKey)) exceeded.push('bytes of a key');
  if (ops?.children.some(({ argument }) => argument > OP_ENTRIES_MAX)) {
    exceeded.push('entries of an operation');
  }
  if (unknownBytes(frame, envelope) > UNKNOWN_BYTES_MAX) {
    exceeded.push('bytes of unknown fields');
  }
  if ((status?.argument ?? 0) > STATUS_BYTES_MAX) exceeded.push('bytes of a status');
  if ((car?.blocks.length ?? 0) > CAR_BLOCKS_MAX) exceeded.push('blocks of a CAR');
  return exceeded;
}

function isCommit(block: Buffer): boolean {
  const item = parseItem(block);
  return item?.major === MAJOR.map && fieldOf(block, item, 'sig') !== undefined;
}

function itemLimits(root: Item | undefined): string[] {
  if (root === undefined) return [];
  const items = allItems(root);
  const exceeded: string[] = [];
  if (depthOf(root) > DEPTH_MAX) exceeded.push('depth');
  if (items.length > ITEMS_MAX) exceeded.push('items');
  if (items.some(hasLongKey)) exceeded.push('bytes of a key');
  return exceeded;
}

function hasLongKey({ major, children }: Item): boolean {
  if (major !== MAJOR.map) return false;
  return children.some((each, index) => index % 2 === 0 && each.argument > KEY_BYTES_MAX);
}

/** Containers around the innermost item. */
function depthOf({ major, children }: Item): number {
  const inside = children.reduce((depth, child) => Math.max(depth, depthOf(child)), 0);
  return major === MAJOR.array || major === MAJOR.map ? inside + 1 : inside;
}

function unknownBytes(frame: Buffer, maps: readonly Item[]): number {
  let bytes = 0;
  for (const { children } of maps) {
    for (let i = 0; i + 1 < children.length; i += 2) {
      const [key, value] = [children[i] as Item, children[i + 1] as Item];
      const name = frame.utf8Slice(key.headEnd, key.end);
      if (!KNOWN.has(name)) bytes += value.end - key.start;
    }
  }
  return bytes;
}
