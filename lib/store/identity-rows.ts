/**
 * Rows of `identities`: what the directory said of a DID, so that a restart does not ask it about
 * the whole network. One shard writes a DID, so writes are plain sets; one that a frozen server
 * lets through late brings back an older key, which the next bad signature refreshes.
 * @thread main|verify
 */
import { assert } from '../base/assert.ts';
import type { IdentityRow as DirectoryRow } from '../identity/row.ts';
import { BATCH_ROWS_MAX, cleanText } from './columns.ts';
import type { Database } from './pool.ts';
import { statement } from './statement.ts';

/** `is_stale`: must be looked up again before the next event is judged by it; absent = false. */
export type IdentityRow = DirectoryRow & { readonly is_stale?: boolean };

const UPSERT = statement('identities_upsert')`
  INSERT INTO identities AS i
    (did, state, pds_host, signing_key, handle, resolved_ms, is_stale)
  SELECT DISTINCT ON (did) did, state, pds_host, signing_key, handle, resolved_ms, is_stale
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
    $7::boolean[]) WITH ORDINALITY
    AS r (did, state, pds_host, signing_key, handle, resolved_ms, is_stale, line)
  ORDER BY did, line DESC
  ON CONFLICT (did) DO UPDATE SET
    state = excluded.state,
    pds_host = excluded.pds_host,
    signing_key = excluded.signing_key,
    handle = excluded.handle,
    resolved_ms = excluded.resolved_ms,
    is_stale = excluded.is_stale`;

const MARK_STALE = statement('identities_mark_stale')`
  UPDATE identities SET is_stale = true
  WHERE did = ANY ($1::text[]) AND NOT is_stale`;

/** Writes up to 1,000 rows in one statement; of two with the same DID the later one. */
export async function upsertIdentities(
  database: Database,
  rows: readonly IdentityRow[],
): Promise<void> {
  assert(rows.length <= BATCH_ROWS_MAX, 'too many rows for one statement');
  if (rows.length === 0) return;
  await database.query(UPSERT, [
    rows.map((row) => row.did),
    rows.map((row) => row.state),
    rows.map((row) => cleanText(row.pds_host)),
    rows.map((row) => row.signing_key),
    rows.map((row) => cleanText(row.handle)),
    rows.map((row) => Math.round(row.resolved_ms)),
    rows.map((row) => row.is_stale === true),
  ]);
}

/** Marks the rows of up to 1,000 DIDs; returns how many were not marked yet. */
export async function markIdentitiesStale(
  database: Database,
  dids: readonly string[],
): Promise<number> {
  assert(dids.length <= BATCH_ROWS_MAX, 'too many rows for one statement');
  if (dids.length === 0) return 0;
  return (await database.query(MARK_STALE, [dids])).rowCount;
}
