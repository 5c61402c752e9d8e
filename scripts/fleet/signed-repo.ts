/**
 * One account of the fleet: a key, records, a whole tree, and the signed commits that a PDS would
 * send for its writes, with the covering proofs of sync v1.1. The same seed gives the same bytes.
 * Tests use it as well: the pieces are exported so that each can be made wrong on purpose.
 */
import { createHash } from 'node:crypto';
import { DrislWriter } from './drisl.ts';
import { type Curve, Keypair } from './repo-keypair.ts';
import {
  cidOf,
  coverKey,
  EMPTY_TREE,
  getLeaf,
  leavesOf,
  putLeaf,
  removeLeaf,
  type TreeNode,
  takeNewNodes,
} from './repo-tree.ts';

export type RepoWrite =
  | { readonly action: 'create' | 'update'; readonly path: string; readonly record: Uint8Array }
  | { readonly action: 'delete'; readonly path: string };

/** As in the message; CIDs are 36 latin1 characters. */
export type RepoOp = {
  readonly action: 'create' | 'update' | 'delete';
  readonly path: string;
  readonly cid: string | null;
  /** Absent for a create. */
  readonly prev?: string;
};

/** The fields of a `#commit`, all but `seq` and `time`. */
export type CommitParts = {
  readonly did: string;
  readonly rev: string;
  readonly since: string | null;
  readonly commitCid: string;
  readonly dataCid: string;
  /** Absent in the first commit of a repo. */
  readonly prevData?: string;
  readonly ops: readonly RepoOp[];
  readonly blocks: Buffer;
};

/** The fields of a `#sync`, all but `seq` and `time`. */
export type SyncParts = {
  readonly did: string;
  readonly rev: string;
  readonly commitCid: string;
  readonly dataCid: string;
  readonly blocks: Buffer;
};

export type CommitFields = {
  readonly did: string;
  readonly rev: string;
  readonly data: string;
  readonly prev?: string | null;
  readonly version?: number;
};

export type Block = { readonly cid: string; readonly bytes: Uint8Array };

type RepoOptions = {
  readonly did: string;
  readonly seed: string;
  readonly curve?: Curve;
};

const TID_CHARS = '234567abcdefghijklmnopqrstuvwxyz';

export class SignedRepo {
  readonly did: string;
  keypair: Keypair;
  tree: TreeNode = EMPTY_TREE;
  /** '' before the first commit. */
  rev = '';
  commitCid = '';
  #commitBlock: Buffer = Buffer.alloc(0);
  #micros = 0;
  readonly #clockId: number;

  constructor(options: RepoOptions) {
    this.did = options.did;
    this.keypair = new Keypair(options.curve ?? 'k256', options.seed);
    this.#clockId = createHash('sha256').update(options.seed).digest().readUInt16BE(0) & 1023;
  }

  get dataCid(): string {
    return this.tree.cid;
  }

  get paths(): string[] {
    return leavesOf(this.tree).map((leaf) => leaf.key);
  }

  /** Fills the repo without events, as an import does; a `#sync` announces it. */
  fill(records: Iterable<readonly [path: string, record: Uint8Array]>, epochMs: number): void {
    for (const [path, record] of records) this.tree = putLeaf(this.tree, path, cidOf(record));
    takeNewNodes(this.tree, new Set());
    this.#sign(epochMs);
  }

  /** Applies the writes as one commit. No writes: an empty commit, as after a change of key. */
  commit(writes: readonly RepoWrite[], options: { readonly epochMs: number }): CommitParts {
    const since = this.rev === '' ? null : this.rev;
    const prevData = since === null ? {} : { prevData: this.tree.cid };
    const records = new Map<string, Uint8Array>();
    const ops = writes.map((write) => this.#apply(write, records));
    this.#sign(options.epochMs);
    const nodes = new Set<TreeNode>();
    for (const op of ops) coverKey(this.tree, op.path, nodes);
    takeNewNodes(this.tree, nodes);
    const blocks: Block[] = [{ cid: this.commitCid, bytes: this.#commitBlock }];
    for (const node of nodes) blocks.push({ cid: node.cid, bytes: node.encode() });
    for (const [cid, bytes] of records) blocks.push({ cid, bytes });
    return {
      did: this.did,
      rev: this.rev,
      since,
      commitCid: this.commitCid,
      dataCid: this.tree.cid,
      ...prevData,
      ops,
      blocks: encodeCar([this.commitCid], blocks),
    };
  }

  /** The repo as it stands, as a `#sync` says it. */
  sync(): SyncParts {
    const block = { cid: this.commitCid, bytes: this.#commitBlock };
    return {
      did: this.did,
      rev: this.rev,
      commitCid: this.commitCid,
      dataCid: this.tree.cid,
      blocks: encodeCar([this.commitCid], [block]),
    };
  }

  /** The same account in the same state, with a history of its own from here on. */
  fork(): SignedRepo {
    const fork = new SignedRepo({ did: this.did, seed: '' });
    fork.keypair = this.keypair;
    fork.tree = this.tree;
    fork.rev = this.rev;
    fork.commitCid = this.commitCid;
    fork.#commitBlock = this.#commitBlock;
    fork.#micros = this.#micros;
    return fork;
  }

  /** Another key from now on; the DID document has to follow. */
  rotateKey(seed: string, curve: Curve = this.keypair.curve): void {
    this.keypair = new Keypair(curve, seed);
  }

  #apply(write: RepoWrite, records: Map<string, Uint8Array>): RepoOp {
    const { action, path } = write;
    const old = getLeaf(this.tree, path);
    if ((old === undefined) !== (action === 'create')) throw new Error(`${action} of ${path}`);
    const prev = old === undefined ? {} : { prev: old };
    if (action === 'delete') {
      this.tree = removeLeaf(this.tree, path);
      return { action, path, cid: null, ...prev };
    }
    const cid = cidOf(write.record);
    records.set(cid, write.record);
    this.tree = putLeaf(this.tree, path, cid);
    return { action, path, cid, ...prev };
  }

  #sign(epochMs: number): void {
    this.#micros = Math.max(epochMs * 1000, this.#micros + 1);
    this.rev = encodeTid(this.#micros, this.#clockId);
    const fields = { did: this.did, rev: this.rev, data: this.tree.cid };
    this.#commitBlock = encodeCommit(fields, this.keypair.sign(encodeCommit(fields)));
    this.commitCid = cidOf(this.#commitBlock);
  }
}

/** A commit object: signed, or without a signature what is to be signed. */
export function encodeCommit(fields: CommitFields, sig?: Uint8Array): Buffer {
  const out = new DrislWriter().map(sig === undefined ? 5 : 6);
  out.text('did').text(fields.did).text('rev').text(fields.rev);
  if (sig !== undefined) out.text('sig').bytes(sig);
  out.text('data').link(fields.data);
  out.text('prev').link(fields.prev ?? null);
  return out
    .text('version')
    .integer(fields.version ?? 3)
    .done();
}

/** A CARv1 with these roots and blocks, in this order. */
export function encodeCar(roots: readonly string[], blocks: readonly Block[]): Buffer {
  const header = new DrislWriter().map(2).text('roots').array(roots.length);
  for (const root of roots) header.link(root);
  header.text('version').integer(1);
  const headerBytes = header.done();
  const out = new DrislWriter().raw(varint(headerBytes.length)).raw(headerBytes);
  for (const { cid, bytes } of blocks) {
    out
      .raw(varint(cid.length + bytes.length))
      .raw(Buffer.from(cid, 'latin1'))
      .raw(bytes);
  }
  return out.done();
}

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 128);
  }
}

/** 53 bits of microseconds and 10 of clock id, as 13 characters. */
export function encodeTid(micros: number, clockId: number): string {
  let text = TID_CHARS.charAt(clockId >> 5) + TID_CHARS.charAt(clockId & 31);
  for (let rest = micros; text.length < 13; rest = Math.floor(rest / 32)) {
    text = TID_CHARS.charAt(rest % 32) + text;
  }
  return text;
}

/** A record block as a client would write it; the text makes it different from others. */
export function encodePost(text: string, createdAt: string): Buffer {
  const out = new DrislWriter().map(3).text('text').text(text);
  out.text('$type').text('app.bsky.feed.post');
  return out.text('createdAt').text(createdAt).done();
}
