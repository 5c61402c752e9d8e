/**
 * The entries of an envelope map (header or payload) as offsets. Envelope keys may stand out of
 * order, because they are not signed and real hosts do it (spec A25): that is noted and mended
 * later. A key twice is refused in any order; everything inside a value is strict.
 * @thread any
 */
import {
  ALLOW_INT64,
  BAD,
  compareKeys,
  headArgument,
  headBytes,
  keyEnd,
  MAJOR_MAP,
  RULES_FRAME,
  scanItem,
} from './cbor.ts';
import { FIELD_OPS, FIELD_SEQ, fieldOf } from './fields.ts';
import { KIND_COMMIT } from './kinds.ts';
import { type OpSink, scanOps } from './ops.ts';
import { byteAt } from './utf8.ts';

/** More entries than this are no event of any version we can imagine. */
export const ENTRIES_MAX = 64;

export class EntryTable {
  /** Entry i: its key's head, its value (= the key's end), its value's end. */
  readonly keyAt = new Int32Array(ENTRIES_MAX);
  readonly valueAt = new Int32Array(ENTRIES_MAX);
  readonly valueEnd = new Int32Array(ENTRIES_MAX);
  /** Its field number in a payload. */
  readonly field = new Uint8Array(ENTRIES_MAX);
  count = 0;
  isSorted = true;

  reset(): void {
    this.count = 0;
    this.isSorted = true;
  }
}

/**
 * Scans the map at `at` (`at` < `end`) into `table`; returns its end, or BAD. The sink is given
 * for the payload of an event: `ops` of a commit goes to `scanOps`, which tolerates disorder in
 * the maps of the operations, and `seq` may be any 64-bit integer.
 */
export function scanEntries(
  buf: Buffer,
  at: number,
  end: number,
  table: EntryTable,
  sink: OpSink | undefined,
): number {
  table.reset();
  const first = byteAt(buf, at);
  const count = headArgument(buf, at, end);
  if (first >> 5 !== MAJOR_MAP || count < 0 || count > ENTRIES_MAX) return BAD;
  let next = at + headBytes(first);
  for (let index = 0; index < count; index++) {
    next = scanEntry(buf, next, end, table, sink);
    if (next < 0) return BAD;
  }
  return !table.isSorted && hasDuplicate(buf, table) ? BAD : next;
}

function scanEntry(
  buf: Buffer,
  at: number,
  end: number,
  table: EntryTable,
  sink: OpSink | undefined,
): number {
  const valueAt = keyEnd(buf, at, end);
  if (valueAt < 0 || valueAt >= end) return BAD;
  const index = table.count;
  if (index > 0) {
    const order = compareKeys(buf, table.keyAt[index - 1] as number, at, valueAt);
    if (order === 0) return BAD;
    if (order > 0) table.isSorted = false;
  }
  const field = fieldOf(buf, at);
  const valueEnd = scanValue(buf, field, valueAt, end, sink);
  table.keyAt[index] = at;
  table.valueAt[index] = valueAt;
  table.valueEnd[index] = valueEnd;
  table.field[index] = field;
  table.count = index + 1;
  return valueEnd;
}

function scanValue(
  buf: Buffer,
  field: number,
  valueAt: number,
  end: number,
  sink: OpSink | undefined,
): number {
  if (sink === undefined) return scanItem(buf, valueAt, end, RULES_FRAME);
  if (field === FIELD_OPS && sink.kind === KIND_COMMIT) return scanOps(buf, valueAt, end, sink);
  // A host's seq beyond 2^53 is a bad number of its own kind (H35), not a broken encoding.
  return scanItem(buf, valueAt, end, field === FIELD_SEQ ? ALLOW_INT64 : RULES_FRAME);
}

/** Sorted neighbours were compared on the way; without order every pair has to be. */
function hasDuplicate(buf: Buffer, table: EntryTable): boolean {
  for (let i = 1; i < table.count; i++) {
    const at = table.keyAt[i] as number;
    const end = table.valueAt[i] as number;
    for (let j = 0; j < i; j++) {
      if (compareKeys(buf, table.keyAt[j] as number, at, end) === 0) return true;
    }
  }
  return false;
}
