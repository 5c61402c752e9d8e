/**
 * Rows of `domain_bans`. A ban is a literal domain, never a pattern (S23), and covers itself and
 * every name below it; which names are above a host is hosts/crawl-limits.ts.
 * @thread main|verify
 */
import { assert } from '../base/assert.ts';
import { BATCH_ROWS_MAX } from './columns.ts';
import type { Database } from './pool.ts';
import { statement } from './statement.ts';

/** Labels of a name of 253 characters, at most. */
const NAMES_MAX = 127;

const FIND = statement('domain_bans_find')`
  SELECT domain FROM domain_bans WHERE domain = ANY ($1::text[])
  ORDER BY length(domain) DESC
  LIMIT 1`;

const ADD = statement('domain_bans_add')`
  INSERT INTO domain_bans (domain) VALUES ($1) ON CONFLICT (domain) DO NOTHING`;

const REMOVE = statement('domain_bans_remove')`
  DELETE FROM domain_bans WHERE domain = $1`;

const PAGE = statement('domain_bans_page')`
  SELECT domain FROM domain_bans WHERE domain > $1 ORDER BY domain LIMIT $2`;

/** The longest of `names` (a host and the domains above it) that is banned, in one query. */
export async function findDomainBan(
  database: Database,
  names: readonly string[],
): Promise<string | undefined> {
  assert(names.length <= NAMES_MAX, 'more labels than a name can have');
  const { rows } = await database.query<{ domain: string }>(FIND, [names]);
  return rows[0]?.domain;
}

/** False where the domain is banned already. */
export async function addDomainBan(database: Database, domain: string): Promise<boolean> {
  return (await database.query(ADD, [domain])).rowCount > 0;
}

/** False where the domain is not banned. */
export async function removeDomainBan(database: Database, domain: string): Promise<boolean> {
  return (await database.query(REMOVE, [domain])).rowCount > 0;
}

/** Up to `limit` (1 … 1,000) banned domains after `afterDomain`, by name. Start at ''. */
export async function pageDomainBans(
  database: Database,
  afterDomain: string,
  limit: number,
): Promise<string[]> {
  assert(limit >= 1 && limit <= BATCH_ROWS_MAX, 'page size out of range');
  const { rows } = await database.query<{ domain: string }>(PAGE, [afterDomain, limit]);
  return rows.map((row) => row.domain);
}
