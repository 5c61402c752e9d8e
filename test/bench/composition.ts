/**
 * The best that a relay can be put together from libraries, to compare ours with: the decoder, CAR
 * reader and tree editor of @atcute, hashes and p256 by node:crypto, k256 by the native binding. It
 * judges a `#commit` frame as `test/verify/oracle.ts` does, with care for speed: no block is
 * copied, every hash is one call, CIDs are compared as bytes, keys are parsed once, nodes are
 * decoded once and stored nowhere.
 */
import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { createRequire } from 'node:module';
import { fromUint8Array } from '@atcute/car';
import * as CBOR from '@atcute/cbor';
import { type BlockStore, NodeStore, NodeWrangler } from '@atcute/mst';
import type { SigningKey } from '../../lib/verify/signature.ts';

type Op = {
  readonly action: string;
  readonly path: string;
  readonly cid: CBOR.CidLinkWrapper | null;
  readonly prev?: CBOR.CidLinkWrapper;
};
type Payload = {
  readonly repo: string;
  readonly rev: string;
  readonly commit: CBOR.CidLinkWrapper;
  readonly prevData: CBOR.CidLinkWrapper;
  readonly blocks: CBOR.Bytes;
  readonly ops: readonly Op[];
};
type Commit = {
  readonly did: string;
  readonly rev: string;
  readonly version: number;
  readonly data: CBOR.CidLinkWrapper;
  readonly sig: CBOR.Bytes;
};
type NativeModule = {
  ecdsaVerify(signature: Uint8Array, digest: Uint8Array, key: Uint8Array): boolean;
};

const native: NativeModule = createRequire(import.meta.url)('secp256k1/bindings.js');

const OPS_MAX = 200;
const RECORD_BYTES_MAX = 1_000_000;
const UNDO_RANK: Readonly<Record<string, number>> = { delete: 0, update: 1, create: 2 };
const P256_PREFIX = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex');
const P256_LOW_S_MAX = Buffer.from(
  '7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8',
  'hex',
);

function refuseUnless(condition: boolean, why: string): asserts condition {
  if (!condition) throw new Error(why);
}

/** The blocks of one CAR under the names that the tree asks for; what it makes is only hashed. */
class CarBlocks implements BlockStore {
  readonly #blocks = new Map<string, Uint8Array>();

  add(link: string, bytes: Uint8Array): void {
    this.#blocks.set(link, bytes);
  }

  at(link: string): Uint8Array | undefined {
    return this.#blocks.get(link);
  }

  get(link: string): Promise<Uint8Array<ArrayBuffer> | null> {
    return Promise.resolve((this.#blocks.get(link) as Uint8Array<ArrayBuffer>) ?? null);
  }

  async put(): Promise<void> {}
  async putMany(): Promise<void> {}
  async delete(): Promise<void> {}
  async deleteMany(): Promise<void> {}

  has(link: string): Promise<boolean> {
    return Promise.resolve(this.#blocks.has(link));
  }

  getMany(): never {
    throw new Error('not asked for');
  }
}

const { latin1Slice, compare } = Buffer.prototype;

function isSame(a: CBOR.CidLinkWrapper | undefined, b: CBOR.CidLinkWrapper | undefined): boolean {
  return a !== undefined && b !== undefined && compare.call(a.bytes, b.bytes) === 0;
}

const p256Keys = new Map<string, KeyObject>();

function p256Key(bytes: Buffer): KeyObject {
  const name = bytes.latin1Slice(0, bytes.length);
  let key = p256Keys.get(name);
  if (key === undefined) {
    const spki = Buffer.concat([P256_PREFIX, bytes]);
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    p256Keys.set(name, key);
  }
  return key;
}

function isSigned(key: SigningKey, message: Uint8Array, signature: Uint8Array): boolean {
  if (key.curve === 'k256') {
    return native.ecdsaVerify(signature, hash('sha256', message, 'buffer'), key.bytes);
  }
  if (compare.call(signature, P256_LOW_S_MAX, 0, 32, 32, 64) > 0) return false;
  const options = { key: p256Key(key.bytes), dsaEncoding: 'ieee-p1363' } as const;
  return verify('sha256', message, options, signature);
}

function open(payload: Payload, key: SigningKey): { blocks: CarBlocks; commit: Commit } {
  const car = fromUint8Array(CBOR.fromBytes(payload.blocks));
  const blocks = new CarBlocks();
  const root = car.roots[0] as CBOR.CidLinkWrapper | undefined;
  refuseUnless(isSame(root, payload.commit), 'root');
  let commitBytes: Uint8Array | undefined;
  for (const { cid, bytes } of car) {
    const digest = latin1Slice.call(cid.digest.contents, 0, 32);
    refuseUnless(hash('sha256', bytes, 'latin1') === digest, 'hash');
    const link = new CBOR.CidLinkWrapper(cid.bytes);
    if (commitBytes === undefined && isSame(link, payload.commit)) commitBytes = bytes;
    else blocks.add(link.$link, bytes);
  }
  refuseUnless(commitBytes !== undefined, 'no commit block');
  const commit: Commit = CBOR.decode(commitBytes);
  refuseUnless(commit.version === 3, 'version');
  refuseUnless(commit.did === payload.repo && commit.rev === payload.rev, 'did or rev');
  const { sig, ...unsigned } = commit;
  refuseUnless(isSigned(key, CBOR.encode(unsigned), CBOR.fromBytes(sig)), 'signature');
  return { blocks, commit };
}

async function lookUp(
  store: NodeStore,
  root: string,
  key: string,
): Promise<CBOR.CidLinkWrapper | undefined> {
  for (let link: string | undefined = root; link !== undefined; ) {
    const node = await store.get(link);
    const index = node.lowerBound(key);
    if (node.keys[index] === key) return node.values[index] as CBOR.CidLinkWrapper;
    link = node.subtrees[index]?.$link;
  }
  return undefined;
}

function checkRecord(blocks: CarBlocks, cid: CBOR.CidLinkWrapper): void {
  const record = blocks.at(cid.$link);
  refuseUnless(record !== undefined && record.length <= RECORD_BYTES_MAX, 'record');
  CBOR.decode(record);
}

/** Returns where the commit is true, else throws. */
export async function judgeByLibraries(frame: Uint8Array, key: SigningKey): Promise<void> {
  const [header, rest] = CBOR.decodeFirst(frame);
  refuseUnless(header.op === 1 && header.t === '#commit', 'header');
  const payload: Payload = CBOR.decode(rest);
  const { ops, prevData } = payload;
  refuseUnless(ops.length <= OPS_MAX, 'too many operations');
  const { blocks, commit } = open(payload, key);
  const store = new NodeStore(blocks);
  let tree = commit.data.$link;
  for (const { action, path, cid, prev } of ops) {
    refuseUnless((action === 'create') === (prev === undefined), 'prev');
    refuseUnless((action === 'delete') === (cid === null), 'action');
    const shown = await lookUp(store, tree, path);
    refuseUnless(cid === null ? shown === undefined : isSame(shown, cid), 'operation not shown');
    if (cid !== null) checkRecord(blocks, cid);
  }
  const wrangler = new NodeWrangler(store);
  const undoing = ops.length === 1 ? ops : [...ops].sort(byUndoing);
  for (const { path, prev } of undoing) {
    if (prev === undefined) tree = await wrangler.deleteRecord(tree, path);
    else tree = await wrangler.putRecord(tree, path, prev);
  }
  refuseUnless(tree === prevData.$link, 'prevData');
}

function byUndoing(a: Op, b: Op): number {
  const rank = (UNDO_RANK[a.action] ?? 0) - (UNDO_RANK[b.action] ?? 0);
  return rank !== 0 ? rank : a.path < b.path ? -1 : 1;
}
