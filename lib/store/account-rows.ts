/**
 * Rows of `accounts`, read together with `identities`. Written behind the log: a row carries the
 * log seq of the last event it contains, and that seq alone guards the update (G10), so replayed,
 * repeated and delayed writes change nothing. Rows of a batch are written in DID order: two
 * batches that overlap wait for each other and never deadlock.
 * @thread main|verify
 */
import { assert } from '../base/assert.ts';
import type { Cid } from '../repo/cid.ts';
import { BATCH_ROWS_MAX, cidFromColumn, cidToColumn, cleanText } from './columns.ts';
import type { IdentityRow } from './identity-rows.ts';
import type { Database } from './pool.ts';
import { statement } from './statement.ts';

export type AccountState = {
  readonly did: string;
  /** Host that last spoke for the account with authority; 0 = none. */
  readonly hostId: number;
  readonly isUpstreamActive: boolean;
  readonly upstreamStatus: string | null;
  /** Status set here, which overrides the host's; null = none. */
  readonly localStatus: string | null;
  readonly rev: string | null;
  readonly commitCid: Cid | null;
  readonly dataCid: Cid | null;
  /** Log seq of the last event in this row; 0 = there is no row, only an identity. */
  readonly seq: number;
};

export type AccountRow = AccountState & { readonly identity: IdentityRow | null };

/** One line of listRepos. */
export type RepoRow = {
  /** Place in the list: the cursor of the next page. */
  readonly id: number;
  readonly did: string;
  readonly rev: string;
  readonly commitCid: Cid;
  readonly isUpstreamActive: boolean;
  readonly upstreamStatus: string | null;
  readonly localStatus: string | null;
};

/** One line of a host's accounts. */
export type HostAccountRow = {
  readonly id: number;
  readonly did: string;
  readonly localStatus: string | null;
};

export type AccountCount = { readonly hostId: number; readonly accountCount: number };

const LOAD = statement('accounts_load')`
  SELECT w.did, a.host_id, a.is_upstream_active, a.upstream_status, a.local_status, a.rev,
    a.commit_cid, a.data_cid, a.seq,
    i.state, i.pds_host, i.signing_key, i.handle, i.resolved_ms, i.is_stale
  FROM unnest($1::text[]) AS w (did)
  LEFT JOIN accounts a ON a.did = w.did
  LEFT JOIN identities i ON i.did = w.did
  WHERE a.did IS NOT NULL OR i.did IS NOT NULL
  LIMIT 1000`;

const UPSERT = statement('accounts_upsert')`
  INSERT INTO accounts AS a (did, host_id, is_upstream_active, upstream_status, local_status,
    rev, commit_cid, data_cid, seq)
  SELECT DISTINCT ON (did) did, host_id, is_upstream_active, upstream_status, local_status,
    rev, commit_cid, data_cid, seq
  FROM unnest($1::text[], $2::integer[], $3::boolean[], $4::text[], $5::text[], $6::text[],
    $7::bytea[], $8::bytea[], $9::bigint[])
    AS r (did, host_id, is_upstream_active, upstream_status, local_status, rev, commit_cid,
      data_cid, seq)
  ORDER BY did, seq DESC
  ON CONFLICT (did) DO UPDATE SET
    host_id = excluded.host_id,
    is_upstream_active = excluded.is_upstream_active,
    upstream_status = excluded.upstream_status,
    local_status = excluded.local_status,
    rev = excluded.rev,
    commit_cid = excluded.commit_cid,
    data_cid = excluded.data_cid,
    seq = excluded.seq
  WHERE excluded.seq > a.seq`;

const PAGE_REPOS = statement('accounts_page_repos')`
  SELECT id, did, rev, commit_cid, is_upstream_active, upstream_status, local_status
  FROM accounts
  WHERE id > $1 AND rev IS NOT NULL AND commit_cid IS NOT NULL
  ORDER BY id
  LIMIT $2`;

const PAGE_OF_HOST = statement('accounts_page_of_host')`
  SELECT id, did, local_status
  FROM accounts
  WHERE host_id = $1 AND id > $2 AND upstream_status IS DISTINCT FROM 'deleted'
  ORDER BY id
  LIMIT $3`;

const COUNT_OF_HOSTS = statement('accounts_count_of_hosts')`
  SELECT host_id, count(*) AS account_count
  FROM accounts
  WHERE host_id = ANY ($1::integer[]) AND upstream_status IS DISTINCT FROM 'deleted'
  GROUP BY host_id
  LIMIT 1000`;

type LoadedColumns = {
  did: string;
  host_id: number | null;
  is_upstream_active: boolean;
  upstream_status: string | null;
  local_status: string | null;
  rev: string | null;
  commit_cid: Buffer | null;
  data_cid: Buffer | null;
  seq: number;
  state: string | null;
  pds_host: string | null;
  signing_key: string | null;
  handle: string | null;
  resolved_ms: number;
  is_stale: boolean;
};

/**
 * What is known of up to 1,000 different DIDs, in one query and in no order. A DID with an
 * identity and no account gives a row with `seq` 0; one with neither gives none.
 */
export async function loadAccounts(
  database: Database,
  dids: readonly string[],
): Promise<AccountRow[]> {
  assert(dids.length <= BATCH_ROWS_MAX, 'too many rows for one statement');
  if (dids.length === 0) return [];
  const { rows } = await database.query<LoadedColumns>(LOAD, [dids]);
  return rows.map(toAccountRow);
}

/** One account, or undefined where there is no row. */
export async function findAccount(
  database: Database,
  did: string,
): Promise<AccountRow | undefined> {
  const [row] = await loadAccounts(database, [did]);
  return row === undefined || row.seq === 0 ? undefined : row;
}

/**
 * Writes up to 1,000 rows in one statement; of two with the same DID the one with the higher seq.
 * A row that is not newer than the stored one is skipped. Returns how many were written.
 */
export async function upsertAccounts(
  database: Database,
  rows: readonly AccountState[],
): Promise<number> {
  assert(rows.length <= BATCH_ROWS_MAX, 'too many rows for one statement');
  if (rows.length === 0) return 0;
  const { rowCount } = await database.query(UPSERT, [
    rows.map((row) => row.did),
    rows.map((row) => row.hostId),
    rows.map((row) => row.isUpstreamActive),
    rows.map((row) => cleanText(row.upstreamStatus)),
    rows.map((row) => cleanText(row.localStatus)),
    rows.map((row) => (row.rev === '' ? null : row.rev)),
    rows.map((row) => cidToColumn(row.commitCid)),
    rows.map((row) => cidToColumn(row.dataCid)),
    rows.map((row) => row.seq),
  ]);
  return rowCount;
}

/**
 * Up to `limit` (1 … 1,000) repos after `afterId` in the order of first sight, whatever their
 * status; accounts without a commit are no repos. Start at 0; a short page is the last one.
 */
export async function pageRepos(
  database: Database,
  afterId: number,
  limit: number,
): Promise<RepoRow[]> {
  assert(limit >= 1 && limit <= BATCH_ROWS_MAX, 'page size out of range');
  type Columns = LoadedColumns & { id: number; rev: string };
  const { rows } = await database.query<Columns>(PAGE_REPOS, [afterId, limit]);
  return rows.map((row) => ({
    id: row.id,
    did: row.did,
    rev: row.rev,
    commitCid: cidFromColumn(row.commit_cid) ?? '',
    isUpstreamActive: row.is_upstream_active,
    upstreamStatus: row.upstream_status,
    localStatus: row.local_status,
  }));
}

/** Up to `limit` accounts of a host after `afterId`, oldest first, without deleted ones. */
export async function pageAccountsOfHost(
  database: Database,
  hostId: number,
  afterId: number,
  limit: number,
): Promise<HostAccountRow[]> {
  assert(limit >= 1 && limit <= BATCH_ROWS_MAX, 'page size out of range');
  type Columns = { id: number; did: string; local_status: string | null };
  const { rows } = await database.query<Columns>(PAGE_OF_HOST, [hostId, afterId, limit]);
  return rows.map((row) => ({ id: row.id, did: row.did, localStatus: row.local_status }));
}

/** Accounts of up to 1,000 hosts without deleted ones; a host without any is left out. */
export async function countAccounts(
  database: Database,
  hostIds: readonly number[],
): Promise<AccountCount[]> {
  assert(hostIds.length <= BATCH_ROWS_MAX, 'too many hosts for one statement');
  if (hostIds.length === 0) return [];
  type Columns = { host_id: number; account_count: number };
  const { rows } = await database.query<Columns>(COUNT_OF_HOSTS, [hostIds]);
  return rows.map((row) => ({ hostId: row.host_id, accountCount: row.account_count }));
}

function toAccountRow(row: LoadedColumns): AccountRow {
  const identity = row.state === null ? null : toIdentityRow(row, row.state);
  if (row.host_id === null) return { ...unknownAccount(row.did), identity };
  return {
    did: row.did,
    hostId: row.host_id,
    isUpstreamActive: row.is_upstream_active,
    upstreamStatus: row.upstream_status,
    localStatus: row.local_status,
    rev: row.rev,
    commitCid: cidFromColumn(row.commit_cid),
    dataCid: cidFromColumn(row.data_cid),
    seq: row.seq,
    identity,
  };
}

function toIdentityRow(row: LoadedColumns, state: string): IdentityRow {
  return {
    did: row.did,
    state,
    pds_host: row.pds_host,
    signing_key: row.signing_key,
    handle: row.handle,
    resolved_ms: row.resolved_ms,
    is_stale: row.is_stale,
  };
}

function unknownAccount(did: string): AccountState {
  return {
    did,
    hostId: 0,
    isUpstreamActive: true,
    upstreamStatus: null,
    localStatus: null,
    rev: null,
    commitCid: null,
    dataCid: null,
    seq: 0,
  };
}
