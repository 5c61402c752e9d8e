/** The rules of frame and message (spec §1.1, §1.3, §1.4, §5.1…§5.3) on decoded values. */
import type { Library, Value } from './library.ts';
import { asked, Refusal, refuseUnless } from './refusal.ts';

type Fields = Readonly<Record<string, Value>>;

export type Message = {
  readonly kind: '#commit' | '#sync' | '#identity' | '#account';
  readonly fields: Fields;
  readonly did: string;
  /** '' where the kind has none. */
  readonly rev: string;
  /** The CAR; empty where the kind has none. */
  readonly blocks: Uint8Array;
};

export type Op = {
  readonly action: 'create' | 'update' | 'delete';
  readonly path: string;
  /** '' for null or absent. */
  readonly cid: string;
  readonly prev: string;
};

export type CommitMessage = {
  readonly ops: readonly Op[];
  readonly commitCid: string;
  /** '' where it is absent. */
  readonly prevData: string;
};

const DRISL_CID = '\x01\x71\x12\x20';
const RAW_CID = '\x01\x55\x12\x20';
const CID_CHARS = 36;
const OPS_MAX = 200;
const COMMIT_BLOCKS_BYTES_MAX = 2_000_000;
const SYNC_BLOCKS_BYTES_MAX = 10_000;
const ACTIONS = ['create', 'update', 'delete'] as const;
const TLDS_REFUSED = /\.(alt|arpa|example|internal|invalid|local|localhost|onion|test)$/;

export function isDrislCid(cid: string | undefined): cid is string {
  return cid?.length === CID_CHARS && cid.startsWith(DRISL_CID);
}

export function isRecordCid(cid: string | undefined): cid is string {
  if (cid?.length !== CID_CHARS) return false;
  return cid.startsWith(DRISL_CID) || cid.startsWith(RAW_CID);
}

function isObject(library: Library, value: Value): value is Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return library.linkOf(value) === undefined && library.bytesOf(value) === undefined;
}

/**
 * The one item that is all of `bytes`, right by every rule of CB and CD: the library decodes it
 * and, asked to write it, writes the same bytes.
 */
export function strictItem(library: Library, bytes: Uint8Array, rule: string): Value {
  const value = asked(rule, () => library.decode(bytes));
  checkValue(library, value);
  const again = asked(rule, () => library.encode(value));
  refuseUnless(Buffer.compare(again, bytes) === 0, rule, 'not canonical');
  return value;
}

/** What the data model wants beyond a canonical encoding. */
function checkValue(library: Library, value: Value): void {
  if (typeof value === 'bigint') throw new Refusal('CB-7', 'integer beyond 53 bits');
  if (typeof value === 'number') {
    refuseUnless(Number.isSafeInteger(value), 'CB-6', 'a float, or beyond 53 bits');
  }
  if (typeof value !== 'object' || value === null) return;
  const cid = library.linkOf(value);
  refuseUnless(cid === undefined || isRecordCid(cid), 'CD-1', 'a link of another form');
  if (cid !== undefined || library.bytesOf(value) !== undefined) return;
  if (Array.isArray(value)) {
    for (const item of value) checkValue(library, item);
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    refuseUnless(key !== '', 'CB-4', 'an empty key');
    checkValue(library, item);
  }
}

/** Header and payload, and what every kind of event has (FR-4…FR-10, SQ-1). */
export function messageOf(library: Library, frame: Buffer): Message {
  const { bytesRead } = asked('FR-4', () => library.decodeFirst(frame));
  const header = strictItem(library, frame.subarray(0, bytesRead), 'FR-7');
  refuseUnless(isObject(library, header), 'FR-5', 'header is no map');
  const kind = header['t'];
  refuseUnless(header['op'] === 1, 'FR-5', 'op');
  const isKnown = kind === '#commit' || kind === '#sync' || kind === '#identity';
  refuseUnless(isKnown || kind === '#account', 'FR-6', 't');
  const fields = strictItem(library, frame.subarray(bytesRead), 'FR-7');
  refuseUnless(isObject(library, fields), 'FR-10', 'payload is no map');
  const seq = fields['seq'];
  refuseUnless(typeof seq === 'number' && seq > 0, 'SQ-1', 'seq');
  const did = fields[kind === '#commit' ? 'repo' : 'did'];
  refuseUnless(typeof did === 'string', 'CM-5', 'no DID');
  const time = fields['time'];
  refuseUnless(typeof time === 'string', 'A38', 'no time');
  if (kind === '#account') checkAccount(fields);
  if (kind === '#identity') refuseUnless(isTextOrNone(fields['handle']), 'ID-3', 'handle');
  if (kind !== '#commit' && kind !== '#sync') {
    return { kind, fields, did, rev: '', blocks: new Uint8Array() };
  }
  refuseUnless(library.syntax.isDatetime(time), 'A38', 'time');
  const rev = fields['rev'];
  refuseUnless(typeof rev === 'string' && library.syntax.isTid(rev), 'CM-6', 'rev');
  return { kind, fields, did, rev, blocks: blocksOf(library, fields, kind) };
}

function blocksOf(library: Library, fields: Fields, kind: string): Uint8Array {
  const blocks = library.bytesOf(fields['blocks']);
  refuseUnless(blocks !== undefined && blocks.length > 0, 'CA-1', 'no blocks');
  const isCommit = kind === '#commit';
  const bytesMax = isCommit ? COMMIT_BLOCKS_BYTES_MAX : SYNC_BLOCKS_BYTES_MAX;
  refuseUnless(blocks.length <= bytesMax, isCommit ? 'LM-2' : 'LM-3', 'blocks too large');
  return blocks;
}

function isTextOrNone(value: Value): boolean {
  return value === undefined || value === null || typeof value === 'string';
}

function checkAccount(fields: Fields): void {
  refuseUnless(typeof fields['active'] === 'boolean', 'AC-1', 'active');
  refuseUnless(isTextOrNone(fields['status']), 'AC-1', 'status');
}

/** DD-1 … DD-5. */
export function checkDid(library: Library, did: string): void {
  refuseUnless(library.syntax.isDid(did), 'DD-1', 'syntax');
  const [, method, ...rest] = did.split(':');
  refuseUnless(method === 'plc' || method === 'web', 'DD-2', 'method');
  refuseUnless(method !== 'plc' || /^did:plc:[a-z2-7]{24}$/.test(did), 'DD-3', 'plc');
  if (method === 'plc') return;
  const [host = ''] = rest;
  const labels = host.split('.');
  const isHost = rest.length === 1 && host.length <= 253 && labels.length > 1;
  const areLabels = labels.every((label) => /^(?!-)[a-z0-9-]{1,63}(?<!-)$/.test(label));
  refuseUnless(isHost && areLabels, 'DD-4', 'host name');
  const isTldRight = !/^[0-9]/.test(labels.at(-1) ?? '') && !TLDS_REFUSED.test(host);
  refuseUnless(isTldRight, 'DD-4', 'top-level domain');
}

/** The fields of a commit (H42…H44, H57…H61); lenient hosts may leave `prev` out (A12). */
export function commitMessage(
  library: Library,
  { fields }: Message,
  isStrict: boolean,
): CommitMessage {
  const { since, blobs, prevData, ops } = fields;
  const isSinceRight =
    since === undefined || since === null || (typeof since === 'string' && isTid(library, since));
  refuseUnless(isSinceRight, 'A15', 'since');
  refuseUnless(blobs === undefined || blobs === null || Array.isArray(blobs), 'CH-7', 'blobs');
  for (const flag of ['rebase', 'tooBig']) {
    const value = fields[flag];
    const isFlag = value === undefined || value === null || typeof value === 'boolean';
    refuseUnless(isFlag, 'CH-7', flag);
  }
  const commitCid = library.linkOf(fields['commit']);
  refuseUnless(isDrislCid(commitCid), 'CD-4', 'commit');
  const isPrevDataLeftOut = prevData === undefined || prevData === null;
  const prevDataCid = library.linkOf(prevData);
  refuseUnless(isPrevDataLeftOut || isDrislCid(prevDataCid), 'CD-4', 'prevData');
  refuseUnless(Array.isArray(ops), 'LM-5', 'ops');
  refuseUnless(ops.length <= OPS_MAX, 'LM-5', 'too many ops');
  const isPrevNeeded = isStrict || !isPrevDataLeftOut;
  const read = ops.map((op: Value) => opOf(library, op, isPrevNeeded));
  refuseUnless(new Set(read.map(({ path }) => path)).size === read.length, 'A9', 'path twice');
  return { ops: read, commitCid, prevData: prevDataCid ?? '' };
}

function isTid(library: Library, value: string): boolean {
  return library.syntax.isTid(value);
}

function opOf(library: Library, op: Value, isPrevNeeded: boolean): Op {
  refuseUnless(isObject(library, op), 'H59', 'op is no map');
  const path = op['path'];
  refuseUnless(typeof path === 'string', 'MS-8', 'path');
  const [collection = '', recordKey = '', ...more] = path.split('/');
  const isPath = more.length === 0 && library.syntax.isNsid(collection);
  refuseUnless(isPath && library.syntax.isRecordKey(recordKey), 'MS-8', 'path');
  const action = ACTIONS.find((each) => each === op['action']);
  refuseUnless(action !== undefined, 'H59', 'action');
  const cid = cidOrNone(library, op['cid']);
  const prev = cidOrNone(library, op['prev']);
  refuseUnless((action === 'delete') === (cid === ''), 'H60', 'cid');
  if (action === 'create') refuseUnless(prev === '', 'A35', 'prev of a create');
  else refuseUnless(prev !== '' || !isPrevNeeded, 'H60', 'no prev');
  return { action, path, cid, prev };
}

function cidOrNone(library: Library, value: Value): string {
  if (value === undefined || value === null) return '';
  const cid = library.linkOf(value);
  refuseUnless(isRecordCid(cid), 'CD-5', 'no link of the two forms');
  return cid;
}
