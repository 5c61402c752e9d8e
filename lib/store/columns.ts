/**
 * Between our values and column values: CIDs, and text from outside.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import { latin1 } from '../base/bytes.ts';
import type { Cid } from '../repo/cid.ts';

/** Most rows of one statement and of one page. */
export const BATCH_ROWS_MAX = 1000;
const CID_BYTES = 36;

/** The 36 bytes for a bytea column; '' and null are NULL. */
export function cidToColumn(cid: Cid | null): Buffer | null {
  if (cid === null || cid === '') return null;
  assert(cid.length === CID_BYTES, 'a CID has 36 bytes');
  return Buffer.from(cid, 'latin1');
}

export function cidFromColumn(bytes: Buffer | null): Cid | null {
  return bytes === null ? null : latin1(bytes, 0, bytes.length);
}

/**
 * Text that a host or a document chose: PostgreSQL refuses the NUL character, and one row that it
 * refuses would hold up its batch for ever.
 */
export function cleanText(text: string | null): string | null {
  return text?.includes('\0') ? text.replaceAll('\0', '\uFFFD') : text;
}
