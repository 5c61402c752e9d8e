/** The @atcute packages as the library of a judge. */
import { hash } from 'node:crypto';
import { fromUint8Array } from '@atcute/car';
import * as CBOR from '@atcute/cbor';
import { verifySigWithDidKey } from '@atcute/crypto';
import { MemoryBlockStore, MSTNode, NodeStore, NodeWrangler } from '@atcute/mst';
import { encodeMap, head, MAJOR, sorted, text } from './cbor-items.ts';
import type { CarContent, Library, LibraryNode, TreeEditor } from './library.ts';

const TID = /^[2-7a-j][2-7a-z]{12}$/;
const DID = /^did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]$/;
const RECORD_KEY = /^(?!\.\.?$)[A-Za-z0-9._:~-]{1,512}$/;
const LABEL = '[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?';
const NSID = new RegExp(`^(?=[a-zA-Z])${LABEL}(\\.${LABEL})+(\\.[a-zA-Z][a-zA-Z0-9]{0,62})$`);
const DATETIME =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/;
const DATETIME_CHARS_MAX = 64;

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function bytesOfCid(cid: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(cid, 'latin1'));
}

function linkTo(cid: string): CBOR.CidLinkWrapper {
  return new CBOR.CidLinkWrapper(bytesOfCid(cid));
}

function cidOf(link: unknown): string {
  return latin1(CBOR.fromCidLink(link as CBOR.CidLink).bytes);
}

function readCar(bytes: Uint8Array): CarContent {
  const car = fromUint8Array(Uint8Array.from(bytes));
  const blocks = new Map<string, Uint8Array>();
  for (const { cid, bytes: block } of car) {
    const name = latin1(cid.bytes);
    if (hash('sha256', block, 'latin1') !== name.slice(4)) throw new Error('block hash');
    blocks.set(name, block);
  }
  return { roots: car.roots.map(cidOf), blocks };
}

async function readNode(bytes: Uint8Array): Promise<LibraryNode> {
  const { keys, values, subtrees } = await MSTNode.deserialize(Uint8Array.from(bytes));
  const children = subtrees.map((each) => (each === null ? null : cidOf(each)));
  return { keys, values: values.map(cidOf), children };
}

async function encodeNode({ keys, values, children }: LibraryNode): Promise<Uint8Array> {
  const links = children.map((each) => (each === null ? null : linkTo(each)));
  let previous = '';
  const entries = keys.map((key, index) => {
    let shared = 0;
    while (shared < previous.length && previous[shared] === key[shared]) shared++;
    previous = key;
    const k = CBOR.toBytes(Buffer.from(key.slice(shared), 'utf8'));
    return { k, p: shared, t: links[index + 1], v: linkTo(values[index] ?? '') };
  });
  return CBOR.encode({ e: entries, l: links[0] });
}

/**
 * The library reads an object with a field `constructor`, but cannot write it: such an object, and
 * what it is in, is put together from its fields.
 */
function encode(value: unknown): Uint8Array {
  if (!hasConstructor(value)) return CBOR.encode(value);
  if (Array.isArray(value)) {
    return Buffer.concat([head(MAJOR.array, value.length), ...value.map(encode)]);
  }
  const fields = Object.entries(value as object).map(([key, field]) => {
    return { key: text(key), value: Buffer.from(encode(field)) };
  });
  return encodeMap(sorted(fields));
}

function hasConstructor(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || isLeaf(value)) return false;
  return Object.hasOwn(value, 'constructor') || Object.values(value).some(hasConstructor);
}

function isLeaf(value: object): boolean {
  return value instanceof CBOR.BytesWrapper || value instanceof CBOR.CidLinkWrapper;
}

/** A date that exists: the parts come back as they went in. */
function isDatetime(text: string): boolean {
  const parts = DATETIME.exec(text);
  if (parts === null || text.length > DATETIME_CHARS_MAX || text.endsWith('-00:00')) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1)
    .map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const isSame = date.toISOString().startsWith(text.slice(0, 19));
  const offset = text.endsWith('Z') ? 0 : minutesOf(text.slice(-6));
  return isSame && new Date(date.getTime() - offset * 60_000).getUTCFullYear() >= 0;
}

function minutesOf(zone: string): number {
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4));
  return zone.startsWith('-') ? -minutes : minutes;
}

/** Wants a path of 317 characters at most before its slash; the authority has no bound (LM-7). */
function isNsid(text: string): boolean {
  return text.length <= 317 && NSID.test(text);
}

class AtcuteEditor implements TreeEditor {
  readonly #wrangler: NodeWrangler;
  #root: string;

  constructor(rootCid: string, blocks: ReadonlyMap<string, Uint8Array>) {
    const byLink = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const [cid, bytes] of blocks) byLink.set(linkTo(cid).$link, Uint8Array.from(bytes));
    this.#wrangler = new NodeWrangler(new NodeStore(new MemoryBlockStore(byLink)));
    this.#root = linkTo(rootCid).$link;
  }

  async insert(key: string, value: string): Promise<void> {
    this.#root = await this.#wrangler.putRecord(this.#root, key, linkTo(value));
  }

  update(key: string, value: string): Promise<void> {
    return this.insert(key, value);
  }

  async remove(key: string): Promise<void> {
    this.#root = await this.#wrangler.deleteRecord(this.#root, key);
  }

  async rootCid(): Promise<string> {
    return cidOf({ $link: this.#root });
  }
}

export const ATCUTE: Library = {
  name: '@atcute',
  decodeFirst: (bytes) => {
    const [value, rest] = CBOR.decodeFirst(bytes as Uint8Array<ArrayBuffer>);
    return { value, bytesRead: bytes.length - rest.length };
  },
  decode: (bytes) => CBOR.decode(bytes as Uint8Array<ArrayBuffer>),
  encode,
  linkOf: (value) => (value instanceof CBOR.CidLinkWrapper ? latin1(value.bytes) : undefined),
  bytesOf: (value) => (value instanceof CBOR.BytesWrapper ? CBOR.fromBytes(value) : undefined),
  readCar: async (bytes) => readCar(bytes),
  verify: (didKey, message, signature) =>
    verifySigWithDidKey(didKey, Uint8Array.from(signature), Uint8Array.from(message)),
  readNode,
  encodeNode,
  edit: (rootCid, nodes, blocks) => {
    const known = [...nodes.keys()].map((cid) => [cid, blocks.get(cid) as Uint8Array] as const);
    return new AtcuteEditor(rootCid, new Map(known));
  },
  syntax: {
    isTid: (text) => TID.test(text),
    isDid: (text) => text.length <= 2048 && DID.test(text),
    isDatetime,
    isNsid,
    isRecordKey: (text) => RECORD_KEY.test(text),
  },
};
