/**
 * An independent judge of `#commit` frames, put together from the @atcute packages: decoder, CAR
 * reader, signatures, tree editor. Slow and asynchronous; says `pass` or why not.
 */
import { hash } from 'node:crypto';
import { fromUint8Array } from '@atcute/car';
import * as CBOR from '@atcute/cbor';
import { verifySigWithDidKey } from '@atcute/crypto';
import { MemoryBlockStore, NodeStore, NodeWrangler } from '@atcute/mst';

type Link = { readonly $link: string };
type Op = {
  readonly action: string;
  readonly path: string;
  /** Null or left out for a delete. */
  readonly cid?: Link | null;
  readonly prev?: Link;
};
type Payload = {
  readonly repo: string;
  readonly rev: string;
  readonly commit: Link;
  readonly prevData?: Link;
  readonly blocks: CBOR.Bytes;
  readonly ops: readonly Op[];
};
type Commit = {
  readonly did: string;
  readonly rev: string;
  readonly version: number;
  readonly data: Link;
  readonly sig: CBOR.Bytes;
};

const UNDO_ORDER = ['delete', 'update', 'create'];
const OPS_MAX = 200;
const RECORD_BYTES_MAX = 1_000_000;

function copied(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes);
}

class Refused extends Error {}

function refuseUnless(condition: boolean, why: string): asserts condition {
  if (!condition) throw new Refused(why);
}

async function judge(frame: Uint8Array, didKey: string): Promise<void> {
  const [header, rest] = CBOR.decodeFirst(frame);
  refuseUnless(header.op === 1 && header.t === '#commit', 'header');
  const payload: Payload = CBOR.decode(rest);
  refuseUnless(payload.ops.length <= OPS_MAX, 'too many operations');
  const { blocks, commit } = await open(payload, didKey);
  const links = new Map([...blocks].map(([cid, bytes]) => [cid, copied(bytes)]));
  const store = new NodeStore(new MemoryBlockStore(links));
  for (const op of payload.ops) await checkShown(store, commit.data.$link, op, blocks);
  // Nothing is known of the repo: without `prevData` there is nothing to compare with.
  if (payload.prevData === undefined) return;
  const before = await undo(store, commit.data.$link, payload.ops);
  refuseUnless(before === payload.prevData.$link, 'prevData');
}

/** The blocks by CID, each hashed, and the signed commit, which says what the message says. */
async function open(
  payload: Payload,
  didKey: string,
): Promise<{ blocks: Map<string, Uint8Array>; commit: Commit }> {
  const car = fromUint8Array(CBOR.fromBytes(payload.blocks));
  const blocks = new Map<string, Uint8Array>();
  for (const entry of car) {
    const digest = hash('sha256', entry.bytes, 'hex');
    refuseUnless(Buffer.from(entry.cid.digest.contents).toString('hex') === digest, 'hash');
    blocks.set(CBOR.toCidLink(entry.cid).$link, entry.bytes);
  }
  refuseUnless(car.roots[0]?.$link === payload.commit.$link, 'root');
  const block = blocks.get(payload.commit.$link);
  refuseUnless(block !== undefined, 'no commit block');
  const commit: Commit = CBOR.decode(block);
  refuseUnless(commit.version === 3, 'version');
  refuseUnless(commit.did === payload.repo && commit.rev === payload.rev, 'did or rev');
  const { sig, ...unsigned } = commit;
  const signature = copied(CBOR.fromBytes(sig));
  const isSigned = await verifySigWithDidKey(didKey, signature, CBOR.encode(unsigned));
  refuseUnless(isSigned, 'signature');
  return { blocks, commit };
}

async function lookUp(store: NodeStore, root: string, key: string): Promise<string | null> {
  for (let cid: string | null = root; cid !== null; ) {
    const node = await store.get(cid);
    const index = node.lowerBound(key);
    if (node.keys[index] === key) return node.values[index]?.$link ?? null;
    cid = node.subtrees[index]?.$link ?? null;
  }
  return null;
}

async function checkShown(
  store: NodeStore,
  root: string,
  op: Op,
  blocks: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const shown = await lookUp(store, root, op.path);
  refuseUnless(shown === (op.cid?.$link ?? null), `tree does not show ${op.path}`);
  const isGone = (op.cid ?? null) === null;
  refuseUnless((op.action === 'delete') === isGone, 'action');
  refuseUnless((op.action === 'create') === (op.prev === undefined), 'prev');
  if (!op.cid) return;
  const record = blocks.get(op.cid.$link);
  refuseUnless(record !== undefined && record.length <= RECORD_BYTES_MAX, 'record');
  CBOR.decode(record);
}

async function undo(store: NodeStore, root: string, ops: readonly Op[]): Promise<string> {
  const wrangler = new NodeWrangler(store);
  const rank = (op: Op): number => UNDO_ORDER.indexOf(op.action);
  let tree = root;
  // In the same order as ours: where a spare block is left out, another order may need it.
  const byPath = (a: Op, b: Op): number => (a.path < b.path ? -1 : 1);
  for (const op of [...ops].sort((a, b) => rank(a) - rank(b) || byPath(a, b))) {
    const { path, prev } = op;
    if (prev === undefined) tree = await wrangler.deleteRecord(tree, path);
    else tree = await wrangler.putRecord(tree, path, new CBOR.CidLinkWrapper(linkBytes(prev)));
  }
  return tree;
}

function linkBytes(link: Link): Uint8Array {
  return CBOR.fromCidLink(link).bytes;
}

/** `pass`, or why the commit is refused. */
export async function oracleVerdict(frame: Uint8Array, didKey: string): Promise<string> {
  try {
    await judge(frame, didKey);
    return 'pass';
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}
