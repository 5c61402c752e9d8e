/**
 * Rows of `takedowns`: the side index by which stored events are hidden when they are read (G28).
 * @thread main|verify
 */
import { assert } from '../base/assert.ts';
import { BATCH_ROWS_MAX, cleanText } from './columns.ts';
import type { Database } from './pool.ts';
import { statement } from './statement.ts';

export type TakedownRow = {
  /** Place in the list: the cursor of the next page. */
  readonly id: number;
  readonly did: string;
  readonly reason: string | null;
  readonly createdMs: number;
};

const ADD = statement('takedowns_add')`
  INSERT INTO takedowns (did, reason) VALUES ($1, $2) ON CONFLICT (did) DO NOTHING`;

const REMOVE = statement('takedowns_remove')`
  DELETE FROM takedowns WHERE did = $1`;

const PAGE = statement('takedowns_page')`
  SELECT id, did, reason, (extract(epoch FROM created_at) * 1000)::float8 AS created_ms
  FROM takedowns
  WHERE id > $1
  ORDER BY id
  LIMIT $2`;

type TakedownColumns = { id: number; did: string; reason: string | null; created_ms: number };

/** False where the DID is taken down already; the first reason stays. */
export async function addTakedown(
  database: Database,
  did: string,
  reason: string | null,
): Promise<boolean> {
  return (await database.query(ADD, [did, cleanText(reason)])).rowCount > 0;
}

/** False where the DID is not taken down. */
export async function removeTakedown(database: Database, did: string): Promise<boolean> {
  return (await database.query(REMOVE, [did])).rowCount > 0;
}

/** Up to `limit` (1 … 1,000) takedowns after `afterId`, oldest first. */
export async function pageTakedowns(
  database: Database,
  afterId: number,
  limit: number,
): Promise<TakedownRow[]> {
  assert(limit >= 1 && limit <= BATCH_ROWS_MAX, 'page size out of range');
  const { rows } = await database.query<TakedownColumns>(PAGE, [afterId, limit]);
  return rows.map((row) => ({
    id: row.id,
    did: row.did,
    reason: row.reason,
    createdMs: row.created_ms,
  }));
}

/** Every DID that is taken down, in pages; for start-up. */
export async function loadTakedowns(database: Database): Promise<string[]> {
  const dids: string[] = [];
  let afterId = 0;
  for (;;) {
    const page = await pageTakedowns(database, afterId, BATCH_ROWS_MAX);
    for (const row of page) dids.push(row.did);
    afterId = page.at(-1)?.id ?? afterId;
    if (page.length < BATCH_ROWS_MAX) return dids;
  }
}
