/**
 * Builds frames for tests, right ones and wrong ones. A writer of its own, so that what lib/wire
 * writes is not measured with itself; `raw` puts any bytes anywhere.
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Raw
  | Pairs
  | readonly Value[]
  | { readonly [key: string]: Value | undefined };

/** Bytes that go out as they are. */
export class Raw {
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/** A map with its entries in the order given, repeats included. */
export class Pairs {
  readonly entries: readonly (readonly [key: string, value: Value])[];
  constructor(entries: readonly (readonly [key: string, value: Value])[]) {
    this.entries = entries;
  }
}

export function raw(hex: string): Raw {
  return new Raw(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

export function bytesOf(hex: string): Buffer {
  return raw(hex).bytes;
}

function head(major: number, argument: number | bigint): Buffer {
  const value = BigInt(argument);
  const first = (info: number): number[] => [(major << 5) | info];
  if (value < 24n) return Buffer.from(first(Number(value)));
  const size = value < 0x100n ? 1 : value < 0x10000n ? 2 : value < 0x100000000n ? 4 : 8;
  const digits = value.toString(16).padStart(size * 2, '0');
  return Buffer.concat([Buffer.from(first(24 + Math.log2(size))), Buffer.from(digits, 'hex')]);
}

/** Canonical CBOR, but for what `raw` and `Pairs` put in. Fields that are undefined are left out. */
export function cbor(value: Value): Buffer {
  if (value === null) return Buffer.from([0xf6]);
  if (typeof value === 'boolean') return Buffer.from([value ? 0xf5 : 0xf4]);
  if (typeof value === 'number' || typeof value === 'bigint') {
    return value < 0 ? head(1, -1n - BigInt(value)) : head(0, value);
  }
  if (typeof value === 'string') {
    const text = Buffer.from(value, 'utf8');
    return Buffer.concat([head(3, text.length), text]);
  }
  if (value instanceof Raw) return value.bytes;
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.length), value]);
  if (value instanceof Pairs) return map(value.entries);
  if (isList(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)]);
  const entries = Object.entries(value).filter((entry): entry is [string, Value] => {
    return entry[1] !== undefined;
  });
  return map(entries.toSorted(([a], [b]) => Buffer.compare(cbor(a), cbor(b))));
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

function map(entries: readonly (readonly [string, Value])[]): Buffer {
  const parts = entries.flatMap(([key, value]) => [cbor(key), cbor(value)]);
  return Buffer.concat([head(5, entries.length), ...parts]);
}

/** 36 bytes of a CID whose digest is `fill` over and over. */
export function cidBytes(fill: number, codec = 0x71): Buffer {
  return Buffer.concat([Buffer.from([1, codec, 0x12, 32]), Buffer.alloc(32, fill)]);
}

/** The CID as lib/wire gives it: one character per byte. */
export function cidText(fill: number, codec = 0x71): string {
  return cidBytes(fill, codec).toString('latin1');
}

/** A link to that CID. */
export function link(fill: number, codec = 0x71): Raw {
  return new Raw(Buffer.concat([bytesOf('d8 2a 58 25 00'), cidBytes(fill, codec)]));
}

export type Fields = { readonly [key: string]: Value | undefined };

export const DID = 'did:plc:z52sr6waagn6igaywwlmmmed';
export const REV = '3lmxjza3nva27';
export const SINCE = '3lmxjza3nva22';
export const TIME = '2026-11-21T23:29:14.716Z';

export const CREATE: Fields = { action: 'create', path: 'app.bsky.feed.post/3lmx', cid: link(1) };
export const UPDATE: Fields = {
  action: 'update',
  path: 'app.bsky.actor.profile/self',
  cid: link(2),
  prev: link(3),
};
export const DELETE: Fields = {
  action: 'delete',
  path: 'app.bsky.feed.like/3lmy',
  cid: null,
  prev: link(4),
};

export const COMMIT: Fields = {
  seq: 1234,
  repo: DID,
  rev: REV,
  since: SINCE,
  time: TIME,
  ops: [CREATE],
  blobs: [],
  blocks: Buffer.from('a car'),
  commit: link(5),
  rebase: false,
  tooBig: false,
  prevData: link(6),
};
export const SYNC: Fields = {
  seq: 77,
  did: DID,
  rev: REV,
  time: TIME,
  blocks: Buffer.from('a car'),
};
export const IDENTITY: Fields = { seq: 78, did: DID, time: TIME, handle: 'alice.example.com' };
export const ACCOUNT: Fields = {
  seq: 79,
  did: DID,
  time: TIME,
  active: false,
  status: 'suspended',
};

export const PAYLOADS: readonly Fields[] = [{}, COMMIT, SYNC, IDENTITY, ACCOUNT];
const TYPES = ['', '#commit', '#sync', '#identity', '#account'];

/** A frame of any two values. */
export function frame(header: Value, payload: Value): Buffer {
  return Buffer.concat([cbor(header), cbor(payload)]);
}

/** A canonical frame of a kind: its usual payload with `fields` over it. */
export function eventFrame(kind: number, fields: Fields = {}): Buffer {
  return frame({ op: 1, t: TYPES[kind] ?? '' }, { ...PAYLOADS[kind], ...fields });
}

export function commitFrame(fields: Fields = {}): Buffer {
  return eventFrame(1, fields);
}

/** The entries in the order of the object, that is: not canonical. */
export function unsorted(fields: Fields): Pairs {
  return new Pairs(Object.entries(fields) as [string, Value][]);
}

/** A commit with these operations. */
export function ops(...list: readonly Fields[]): Buffer {
  return commitFrame({ ops: list as readonly Value[] });
}

/** So many creates; the last one repeats the first path when `different` paths run out. */
export function manyOps(count: number, different = count): Buffer {
  return ops(
    ...Array.from({ length: count }, (_, i) => ({ ...CREATE, path: `a.b.c/${i % different}` })),
  );
}
