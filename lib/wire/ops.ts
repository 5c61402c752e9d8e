/**
 * The operations of a commit: one scan that checks encoding and shape and fills pooled views.
 * A broken encoding ends the scan; a wrong shape is remembered and the scan goes on, so that the
 * verdict does not depend on what stands behind it. Does not know paths, records or the tree.
 * @thread any
 */
import { latin1 } from '../base/bytes.ts';
import type { RejectCode } from '../reject/codes.ts';
import {
  BAD,
  CID_BYTES,
  compareKeys,
  encodeText,
  headArgument,
  headBytes,
  keyEnd,
  LINK_BYTES,
  linkEnd,
  MAJOR_ARRAY,
  MAJOR_MAP,
  MAJOR_TEXT,
  NULL_BYTE,
  RULES_FRAME,
  scanItem,
} from './cbor.ts';
import { startsWith } from './fields.ts';
import { byteAt, textOf } from './utf8.ts';

/** Most operations of one commit (LM-5). */
export const OPS_MAX = 200;
/** NSID of 317, a slash, record key of 512 (LM-7). */
export const PATH_BYTES_MAX = 830;
const OP_ENTRIES_MAX = 16;

export type OpAction = 'create' | 'update' | 'delete';

/** One operation. Reused from frame to frame; every field is set anew for each operation. */
export class OpView {
  action: OpAction = 'create';
  path = '';
  /** The new record's CID, 36 characters; '' where it is null (delete). */
  cid = '';
  /** The previous record's CID, 36 characters; '' where it is absent or null. */
  prev = '';
  /** The operation's map in the frame. */
  start = 0;
  end = 0;
  /** False when the map must be written anew: key order, a `prev` of null, a missing `cid`. */
  isCanonical = true;
}

/** Where `scanOps` puts what it finds; an EventView is one. */
export type OpSink = {
  kind: number;
  ops: OpView[];
  opCount: number;
  opReject: RejectCode | undefined;
  /** Some update or delete has no `prev`: legal only in a commit of the old protocol. */
  isOpPrevMissing: boolean;
  isSorted: boolean;
  isFixNeeded: boolean;
  unknownBytes: number;
};

export const OP_CID = 1;
const OP_PATH = 2;
export const OP_PREV = 3;
const OP_ACTION = 4;
/** Encoded keys by field number - 1, in canonical order. */
const OP_KEYS: readonly Buffer[] = ['cid', 'path', 'prev', 'action'].map((name) =>
  encodeText(name),
);
export const OP_CID_KEY = OP_KEYS[OP_CID - 1] as Buffer;

/** Which field of an operation the key at `keyAt` names; 0 for an unknown one. */
export function opFieldOf(buf: Uint8Array, keyAt: number): number {
  for (let i = 0; i < OP_KEYS.length; i++) {
    if (startsWith(buf, keyAt, OP_KEYS[i] as Buffer)) return i + 1;
  }
  return 0;
}

const SHAPE_REQUIRED = (1 << OP_PATH) | (1 << OP_ACTION);
const ACTIONS = ['create', 'update', 'delete'] as const;
const ACTION_TEXTS: Readonly<Record<OpAction, Buffer>> = {
  create: encodeText('create'),
  update: encodeText('update'),
  delete: encodeText('delete'),
};

// Scratch of one operation: where its keys start, for duplicates where keys are out of order.
const keysAt = new Int32Array(OP_ENTRIES_MAX);

/**
 * Scans the value of `ops` at `at` (`at` < `end`) into `sink`; returns its end, or BAD when the
 * encoding is broken. A wrong shape goes to `sink.opReject` (H42, H52, H59, H60, H61).
 */
export function scanOps(buf: Buffer, at: number, end: number, sink: OpSink): number {
  const first = byteAt(buf, at);
  const count = headArgument(buf, at, end);
  if (first >> 5 !== MAJOR_ARRAY || count > OPS_MAX) {
    sink.opReject ??= first >> 5 === MAJOR_ARRAY ? 'commit_ops_too_many' : 'wire_field_bad';
    return scanItem(buf, at, end, RULES_FRAME);
  }
  if (count < 0) return BAD;
  let next = at + headBytes(first);
  for (let index = 0; index < count; index++) {
    let op = sink.ops[index];
    if (op === undefined) {
      op = new OpView();
      sink.ops.push(op);
    }
    next = scanOp(buf, next, end, op, sink);
    if (next < 0) return BAD;
  }
  sink.opCount = count;
  if (sink.opReject === undefined && hasPathTwice(sink)) sink.opReject = 'commit_op_duplicate';
  return next;
}

function scanOp(buf: Buffer, start: number, end: number, op: OpView, sink: OpSink): number {
  op.path = '';
  op.cid = '';
  op.prev = '';
  op.isCanonical = true;
  if (start >= end) return BAD;
  if (byteAt(buf, start) >> 5 !== MAJOR_MAP) {
    sink.opReject ??= 'commit_op_bad';
    return scanItem(buf, start, end, RULES_FRAME);
  }
  const count = headArgument(buf, start, end);
  if (count < 0 || count > OP_ENTRIES_MAX) return BAD;
  let at = start + headBytes(byteAt(buf, start));
  let fieldsSeen = 0;
  for (let index = 0; index < count; index++) {
    const valueAt = keyEnd(buf, at, end);
    if (valueAt < 0 || valueAt >= end || isKeyTwice(buf, at, valueAt, index, op)) return BAD;
    const valueEnd = scanItem(buf, valueAt, end, RULES_FRAME);
    if (valueEnd < 0) return BAD;
    const field = opFieldOf(buf, at);
    fieldsSeen |= 1 << field;
    if (field === 0) sink.unknownBytes += valueEnd - at;
    else sink.opReject ??= setOpField(buf, field, valueAt, valueEnd, op);
    at = valueEnd;
  }
  op.start = start;
  op.end = at;
  if (!op.isCanonical) sink.isSorted = false;
  sink.opReject ??= checkShape(fieldsSeen, op, sink);
  return at;
}

/** Notes the key for its successors and whether it stands in order; true when it is a repeat. */
function isKeyTwice(buf: Buffer, at: number, keyEndAt: number, index: number, op: OpView): boolean {
  keysAt[index] = at;
  if (index === 0) return false;
  if (op.isCanonical) {
    const order = compareKeys(buf, keysAt[index - 1] as number, at, keyEndAt);
    if (order < 0) return false;
    op.isCanonical = false;
  }
  for (let i = 0; i < index; i++) {
    if (compareKeys(buf, keysAt[i] as number, at, keyEndAt) === 0) return true;
  }
  return false;
}

/** Takes one known value over into `op`; a reject when its type is wrong. */
function setOpField(
  buf: Buffer,
  field: number,
  valueAt: number,
  valueEnd: number,
  op: OpView,
): RejectCode | undefined {
  if (field === OP_PATH) return setPath(buf, valueAt, valueEnd, op);
  if (field === OP_ACTION) {
    return setAction(buf, valueAt, op);
  }
  const isNull = byteAt(buf, valueAt) === NULL_BYTE;
  if (!isNull && linkEnd(buf, valueAt, valueEnd) < 0) return 'commit_op_bad';
  const cid = isNull ? '' : latin1(buf, valueAt + LINK_BYTES - CID_BYTES, valueEnd);
  if (field === OP_CID) op.cid = cid;
  else op.prev = cid;
  return undefined;
}

function setAction(buf: Buffer, valueAt: number, op: OpView): RejectCode | undefined {
  for (const action of ACTIONS) {
    if (startsWith(buf, valueAt, ACTION_TEXTS[action])) {
      op.action = action;
      return undefined;
    }
  }
  return 'commit_op_bad';
}

function setPath(
  buf: Buffer,
  valueAt: number,
  valueEnd: number,
  op: OpView,
): RejectCode | undefined {
  const first = byteAt(buf, valueAt);
  if (first >> 5 !== MAJOR_TEXT) return 'commit_op_bad';
  const textAt = valueAt + headBytes(first);
  if (textAt === valueEnd || valueEnd - textAt > PATH_BYTES_MAX) return 'commit_path_bad';
  op.path = textOf(buf, textAt, valueEnd);
  return undefined;
}

/** H60; what the lexicon says in another form (null for absent, absent for null) is mended. */
function checkShape(fieldsSeen: number, op: OpView, sink: OpSink): RejectCode | undefined {
  if ((fieldsSeen & SHAPE_REQUIRED) !== SHAPE_REQUIRED) return 'commit_op_bad';
  if ((op.action === 'delete') !== (op.cid === '')) return 'commit_op_bad';
  if (op.action === 'create' && op.prev !== '') return 'commit_op_bad';
  const isPrevNull = op.prev === '' && (fieldsSeen & (1 << OP_PREV)) !== 0;
  const isCidMissing = (fieldsSeen & (1 << OP_CID)) === 0;
  if (isPrevNull || isCidMissing) {
    op.isCanonical = false;
    sink.isFixNeeded = true;
  }
  if (op.action !== 'create' && op.prev === '') sink.isOpPrevMissing = true;
  return undefined;
}

// Scratch of hasPathTwice: open addressing, operation index + 1 by hash of the path.
const SLOTS = 512;
const slots = new Int16Array(SLOTS);
const PAIRWISE_MAX = 8;

/** Whether two operations have the same path (H61), in linear time for many operations. */
function hasPathTwice(sink: OpSink): boolean {
  if (sink.opCount <= PAIRWISE_MAX) return hasEqualPair(sink);
  slots.fill(0);
  for (let index = 0; index < sink.opCount; index++) {
    const path = pathOf(sink, index);
    let slot = hashOf(path) & (SLOTS - 1);
    for (let taken = slots[slot] as number; taken !== 0; taken = slots[slot] as number) {
      if (pathOf(sink, taken - 1) === path) return true;
      slot = (slot + 1) & (SLOTS - 1);
    }
    slots[slot] = index + 1;
  }
  return false;
}

function hasEqualPair(sink: OpSink): boolean {
  for (let i = 1; i < sink.opCount; i++) {
    for (let j = 0; j < i; j++) if (pathOf(sink, i) === pathOf(sink, j)) return true;
  }
  return false;
}

function pathOf(sink: OpSink, index: number): string {
  return (sink.ops[index] as OpView).path;
}

function hashOf(path: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}
