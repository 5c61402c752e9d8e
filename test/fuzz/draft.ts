/**
 * A commit or a sync taken apart, to be changed in any place and put together again with every
 * hash and the signature right: what is wrong in it is wrong in one way only, and a verifier has
 * to look there. Patches take hold of what exists only while it is put together.
 */
import type { KnownRepo } from '../../lib/verify/order.ts';
import type { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { type Block, varint } from '../../scripts/fleet/signed-repo.ts';
import {
  byteString,
  type Entry,
  encodeMap,
  entriesOf,
  entry,
  head,
  link,
  MAJOR,
  parseItem,
  text,
} from './cbor-items.ts';
import { allNodes, type DraftNode } from './draft-node.ts';

export type DraftOp = {
  action: string;
  path: string;
  cid: string | null | undefined;
  prev: string | null | undefined;
};

type Patch<Value> = ((value: Value) => Value) | undefined;

/** What the signers of this process made: an oracle may believe these without looking again. */
export type SignatureNote = (message: Uint8Array, signature: Uint8Array, key: Buffer) => void;

export class Draft {
  readonly kind: 'commit' | 'sync';
  did: string;
  rev: string;
  /** The tree, or its root's CID where no node of it comes along. */
  root: DraftNode | string;
  /** Nodes that nothing links to. */
  spares: DraftNode[] = [];
  records: Block[];
  ops: DraftOp[];
  since: string | null | undefined;
  prevData: string | null | undefined;
  seq: number;
  time: string;
  known: KnownRepo | null;
  /** Signs; the account's key is `key`. */
  signer: Keypair;
  readonly key: Keypair;

  /** Entries of the commit object, without `sig`. */
  onCommit: Patch<Entry[]>;
  /** The same as bytes, and what is signed. */
  onUnsigned: Patch<Buffer>;
  onSignature: Patch<Buffer>;
  /** The signed block. */
  onSigned: Patch<Buffer>;
  /** CID of the commit block, where it is not its own. */
  onCommitCid: Patch<string>;
  onBlocks: Patch<Block[]>;
  onRoots: Patch<string[]>;
  onCarHeader: Patch<Buffer>;
  /** The length before the header and before each block. */
  onVarint: ((value: number, index: number) => Buffer) | undefined;
  onCar: Patch<Buffer>;
  onOps: Patch<Buffer[]>;
  onPayload: Patch<Entry[]>;
  /** The payload as bytes. */
  onPayloadBytes: Patch<Buffer>;
  onHeader: Patch<Buffer>;
  onFrame: Patch<Buffer>;

  constructor(fields: {
    readonly kind: 'commit' | 'sync';
    readonly did: string;
    readonly rev: string;
    readonly root: DraftNode | string;
    readonly records: readonly Block[];
    readonly ops: readonly DraftOp[];
    readonly since: string | null;
    readonly prevData: string | undefined;
    readonly seq: number;
    readonly time: string;
    readonly known: KnownRepo | null;
    readonly key: Keypair;
  }) {
    this.kind = fields.kind;
    this.did = fields.did;
    this.rev = fields.rev;
    this.root = fields.root;
    this.records = [...fields.records];
    this.ops = fields.ops.map((op) => ({ ...op }));
    this.since = fields.since;
    this.prevData = fields.prevData;
    this.seq = fields.seq;
    this.time = fields.time;
    this.known = fields.known;
    this.key = fields.key;
    this.signer = fields.key;
  }

  /** The nodes that come along, from the top. */
  get nodes(): DraftNode[] {
    const roots = typeof this.root === 'string' ? this.spares : [this.root, ...this.spares];
    return [...new Set(roots.flatMap((root) => [...allNodes(root)]))];
  }

  get dataCid(): string {
    return typeof this.root === 'string' ? this.root : this.root.block.cid;
  }

  /** The frame. Once: nodes are encoded only once. */
  seal(note: SignatureNote): Buffer {
    const commit = this.#commitBlock(note);
    const blocks = [commit, ...this.nodes.map(({ block }) => block), ...this.records];
    const car = this.#car(commit.cid, applied(this.onBlocks, blocks));
    const payload = encodeMap(applied(this.onPayload, this.#payload(commit.cid, car)));
    const type = entry('t', text(`#${this.kind}`));
    const header = encodeMap([type, entry('op', head(MAJOR.uint, 1))]);
    const parts = [applied(this.onHeader, header), applied(this.onPayloadBytes, payload)];
    return applied(this.onFrame, Buffer.concat(parts));
  }

  #commitBlock(note: SignatureNote): Block {
    const fields = [
      entry('did', text(this.did)),
      entry('rev', text(this.rev)),
      entry('data', link(this.dataCid)),
      entry('prev', link(null)),
      entry('version', head(MAJOR.uint, 3)),
    ];
    const unsigned = applied(this.onUnsigned, encodeMap(applied(this.onCommit, fields)));
    const signature = signedBy(this.signer, unsigned);
    note(unsigned, signature, this.signer.bytes);
    const signed = withSignature(unsigned, applied(this.onSignature, signature));
    const bytes = applied(this.onSigned, signed);
    return { cid: applied(this.onCommitCid, cidOf(bytes)), bytes };
  }

  #car(commitCid: string, blocks: readonly Block[]): Buffer {
    const roots = applied(this.onRoots, [commitCid]);
    const list = Buffer.concat([head(MAJOR.array, roots.length), ...roots.map(link)]);
    const header = encodeMap([entry('roots', list), entry('version', head(MAJOR.uint, 1))]);
    const parts = [applied(this.onCarHeader, header)];
    for (const { cid, bytes } of blocks) {
      parts.push(Buffer.concat([Buffer.from(cid, 'latin1'), bytes]));
    }
    const toVarint = this.onVarint ?? varint;
    const sections = parts.flatMap((part, index) => [toVarint(part.length, index), part]);
    return applied(this.onCar, Buffer.concat(sections));
  }

  #payload(commitCid: string, car: Buffer): Entry[] {
    const rev = entry('rev', text(this.rev));
    const seq = entry('seq', head(MAJOR.uint, this.seq));
    const time = entry('time', text(this.time));
    const blocks = entry('blocks', byteString(car));
    if (this.kind === 'sync') return [entry('did', text(this.did)), rev, seq, time, blocks];
    const ops = applied(this.onOps, this.ops.map(encodeOp));
    const entries = [
      entry('ops', Buffer.concat([head(MAJOR.array, ops.length), ...ops])),
      rev,
      seq,
      entry('repo', text(this.did)),
      time,
      entry('blobs', head(MAJOR.array, 0)),
    ];
    const { since, prevData } = this;
    if (since !== undefined)
      entries.push(entry('since', since === null ? link(null) : text(since)));
    entries.push(blocks, entry('commit', link(commitCid)));
    entries.push(entry('rebase', Buffer.from([0xf4])), entry('tooBig', Buffer.from([0xf4])));
    if (prevData !== undefined) entries.push(entry('prevData', link(prevData)));
    return entries;
  }
}

const SIGNATURES_MAX = 1000;
const signatures = new Map<string, Buffer>();

/** Signatures are deterministic: half of all inputs need one that was made before. */
function signedBy(key: Keypair, message: Buffer): Buffer {
  const name = `${key.bytes.toString('latin1')}${message.toString('latin1')}`;
  const known = signatures.get(name);
  if (known !== undefined) return known;
  const signature = key.sign(message);
  if (signatures.size === SIGNATURES_MAX) signatures.clear();
  signatures.set(name, signature);
  return signature;
}

function applied<Value>(patch: Patch<Value>, value: Value): Value {
  return patch === undefined ? value : patch(value);
}

function encodeOp({ action, path, cid, prev }: DraftOp): Buffer {
  return encodeMap([
    ...(cid === undefined ? [] : [entry('cid', link(cid))]),
    entry('path', text(path)),
    ...(prev === undefined ? [] : [entry('prev', link(prev))]),
    entry('action', text(action)),
  ]);
}

/** The commit object with `sig` where canonical order wants it; behind all where that is unclear. */
function withSignature(unsigned: Buffer, signature: Buffer): Buffer {
  const sig = entry('sig', byteString(signature));
  const entries = entriesOf(unsigned, parseItem(unsigned));
  if (entries === undefined) return Buffer.concat([unsigned, sig.key, sig.value]);
  const after = entries.findIndex(({ key }) => Buffer.compare(key, sig.key) > 0);
  return encodeMap(entries.toSpliced(after < 0 ? entries.length : after, 0, sig));
}
