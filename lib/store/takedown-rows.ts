/**
 * Accounts that are taken down here, by their rows: for the admin interface, and at the start for
 * the side index by which stored events are hidden (G28). Few, and found by an index of their own.
 * @thread main
 */
import { assert } from '../base/assert.ts';
import { BATCH_ROWS_MAX } from './columns.ts';
import type { Database } from './pool.ts';
import { statement } from './statement.ts';

export type TakedownRow = {
  /** Place in the list: the cursor of the next page. */
  readonly id: number;
  readonly did: string;
};

const PAGE = statement('takedowns_page')`
  SELECT id, did FROM accounts WHERE local_status = 'takendown' AND id > $1 ORDER BY id LIMIT $2`;

/** Up to `limit` (1 … 1,000) of them after `afterId`, in the order of first sight. */
export async function pageTakedowns(
  database: Database,
  afterId: number,
  limit: number,
): Promise<readonly TakedownRow[]> {
  assert(limit >= 1 && limit <= BATCH_ROWS_MAX, 'page size out of range');
  return (await database.query<TakedownRow>(PAGE, [afterId, limit])).rows;
}

/** All of them, in pages; for the start. */
export async function loadTakedowns(database: Database): Promise<Set<string>> {
  const dids = new Set<string>();
  let afterId = 0;
  for (;;) {
    const page = await pageTakedowns(database, afterId, BATCH_ROWS_MAX);
    for (const { did } of page) dids.add(did);
    afterId = page.at(-1)?.id ?? afterId;
    if (page.length < BATCH_ROWS_MAX) return dids;
  }
}
