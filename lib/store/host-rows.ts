/**
 * Rows of `hosts`. They are never deleted. Who writes what is kept apart: the checkpoint moves
 * cursors, the periodic flush moves what the network did to a host, an operator's decision is
 * written at once, and a flush that was on its way cannot undo a ban.
 * @thread main|verify
 */
import { assert } from '../base/assert.ts';
import { type HostStatus, toHostStatus } from '../hosts/host.ts';
import { BATCH_ROWS_MAX } from './columns.ts';
import type { Database } from './pool.ts';
import { statement } from './statement.ts';

export type HostRow = {
  readonly id: number;
  readonly hostname: string;
  readonly status: HostStatus;
  /** Reached over http and ws, which only test set-ups allow. */
  readonly isInsecure: boolean;
  /** Last host seq that is durable in the log or finally rejected; null = none yet. */
  readonly cursor: number | null;
  /** Records above this log seq may be beyond the cursor; null = those above the checkpoint. */
  readonly replayFrom: number | null;
  /** Attempts to connect that failed in a row. */
  readonly failures: number;
  /** Most accounts taken from it; null = the configured default. */
  readonly accountLimit: number | null;
  /** Rates that differ from the formulae, by name. */
  readonly limits: Readonly<Record<string, number>>;
  /** Its commits may come as they were before sync v1.1. */
  readonly isLenient: boolean;
  readonly createdMs: number;
  /** Wall clock; null = never connected. */
  readonly lastConnectedMs: number | null;
};

/** What the flush writes. */
export type HostChange = {
  readonly id: number;
  readonly status: HostStatus;
  readonly failures: number;
  readonly lastConnectedMs: number | null;
};

export type HostCursor = {
  readonly hostId: number;
  readonly hostSeq: number;
  /** The log still holds events of the host beyond this cursor, which it has yet to send again. */
  readonly isReplaying?: boolean;
};

export type HostReplay = { readonly hostId: number; readonly logSeq: number };

const PAGE = statement('hosts_page')`
  SELECT id, hostname, status, is_insecure, cursor, replay_from, failures, account_limit, limits,
    is_lenient,
    (extract(epoch FROM created_at) * 1000)::float8 AS created_ms,
    (extract(epoch FROM last_connected_at) * 1000)::float8 AS last_connected_ms
  FROM hosts
  WHERE id > $1
  ORDER BY id
  LIMIT $2`;

const FIND = statement('hosts_find')`
  SELECT id, hostname, status, is_insecure, cursor, replay_from, failures, account_limit, limits,
    is_lenient,
    (extract(epoch FROM created_at) * 1000)::float8 AS created_ms,
    (extract(epoch FROM last_connected_at) * 1000)::float8 AS last_connected_ms
  FROM hosts
  WHERE hostname = $1
  LIMIT 1`;

// The update changes nothing: it makes a row that somebody else inserted visible to us.
const INSERT = statement('hosts_insert')`
  INSERT INTO hosts AS h (hostname, is_insecure)
  VALUES ($1, $2)
  ON CONFLICT (hostname) DO UPDATE SET hostname = h.hostname
  RETURNING id, hostname, status, is_insecure, cursor, replay_from, failures, account_limit, limits,
    is_lenient,
    (extract(epoch FROM created_at) * 1000)::float8 AS created_ms,
    (extract(epoch FROM last_connected_at) * 1000)::float8 AS last_connected_ms,
    (xmax = 0) AS is_new`;

const COUNT_ADDED = statement('hosts_count_added')`
  SELECT count(*) AS host_count FROM hosts
  WHERE created_at > to_timestamp($1::float8 / 1000)
  LIMIT 1`;

const SAVE_CHANGES = statement('hosts_save_changes')`
  UPDATE hosts AS h SET
    status = c.status,
    failures = c.failures,
    last_connected_at = coalesce(to_timestamp(c.last_connected_ms / 1000), h.last_connected_at)
  FROM unnest($1::integer[], $2::text[], $3::integer[], $4::float8[])
    AS c (id, status, failures, last_connected_ms)
  WHERE h.id = c.id AND h.status <> 'banned'`;

const SET_STATUS = statement('hosts_set_status')`
  UPDATE hosts SET status = $2 WHERE id = $1`;

const SET_LIMITS = statement('hosts_set_limits')`
  UPDATE hosts SET account_limit = $2, limits = $3 WHERE id = $1`;

const SET_LENIENT = statement('hosts_set_lenient')`
  UPDATE hosts SET is_lenient = $2 WHERE id = $1`;

const SAVE_FIRST_CURSORS = statement('hosts_save_first_cursors')`
  UPDATE hosts AS h SET cursor = c.host_seq
  FROM unnest($1::integer[], $2::bigint[]) AS c (id, host_seq)
  WHERE h.id = c.id AND h.cursor IS NULL`;

const SAVE_REPLAYS = statement('hosts_save_replays')`
  UPDATE hosts AS h SET replay_from = r.log_seq
  FROM unnest($1::integer[], $2::bigint[]) AS r (id, log_seq)
  WHERE h.id = r.id AND h.replay_from IS NULL`;

const RESET_CURSOR = statement('hosts_reset_cursor')`
  UPDATE hosts SET cursor = $2 WHERE id = $1`;

type HostColumns = {
  id: number;
  hostname: string;
  status: string;
  is_insecure: boolean;
  cursor: number | null;
  replay_from: number | null;
  failures: number;
  account_limit: number | null;
  limits: Record<string, number> | null;
  is_lenient: boolean;
  created_ms: number;
  last_connected_ms: number | null;
};

/** Rows of one query at start-up: 2,800 hosts are one query, a hundred thousand are ten (D34). */
const LOAD_ROWS = 10_000;

/** Every host, oldest first, in pages; for start-up only. */
export async function loadHosts(database: Database): Promise<HostRow[]> {
  const hosts: HostRow[] = [];
  for (;;) {
    const afterId = hosts.at(-1)?.id ?? 0;
    const { rows } = await database.query<HostColumns>(PAGE, [afterId, LOAD_ROWS]);
    for (const row of rows) hosts.push(toHostRow(row));
    if (rows.length < LOAD_ROWS) return hosts;
  }
}

/** Up to `limit` (1 … 1,000) hosts after `afterId`, oldest first. */
export async function pageHosts(
  database: Database,
  afterId: number,
  limit: number,
): Promise<HostRow[]> {
  assert(limit >= 1 && limit <= BATCH_ROWS_MAX, 'page size out of range');
  const { rows } = await database.query<HostColumns>(PAGE, [afterId, limit]);
  return rows.map(toHostRow);
}

/** The host of exactly this name, in the normal form of identity/address.ts. */
export async function findHost(database: Database, hostname: string): Promise<HostRow | undefined> {
  const { rows } = await database.query<HostColumns>(FIND, [hostname]);
  return rows[0] === undefined ? undefined : toHostRow(rows[0]);
}

/** Adds a host, or gives the row that is there; safe against any number of callers (C5). */
export async function insertHost(
  database: Database,
  host: { readonly hostname: string; readonly isInsecure: boolean },
): Promise<{ readonly host: HostRow; readonly isNew: boolean }> {
  type Columns = HostColumns & { is_new: boolean };
  const { rows } = await database.query<Columns>(INSERT, [host.hostname, host.isInsecure]);
  const [row] = rows;
  assert(row !== undefined, 'an upsert returns its row');
  return { host: toHostRow(row), isNew: row.is_new };
}

/** Hosts added after this wall-clock time. */
export async function countHostsAddedSince(database: Database, epochMs: number): Promise<number> {
  const { rows } = await database.query<{ host_count: number }>(COUNT_ADDED, [epochMs]);
  return rows[0]?.host_count ?? 0;
}

/**
 * Writes what the network did to up to 1,000 different hosts, in one statement. A banned host is
 * left alone, and a null `lastConnectedMs` keeps the stored time.
 */
export async function saveHostChanges(
  database: Database,
  changes: readonly HostChange[],
): Promise<void> {
  assert(changes.length <= BATCH_ROWS_MAX, 'too many rows for one statement');
  if (changes.length === 0) return;
  await database.query(SAVE_CHANGES, [
    changes.map((change) => change.id),
    changes.map((change) => change.status),
    changes.map((change) => change.failures),
    changes.map((change) => change.lastConnectedMs),
  ]);
}

/** An operator's decision, a ban or the end of one; false where there is no such host. */
export async function setHostStatus(
  database: Database,
  hostId: number,
  status: HostStatus,
): Promise<boolean> {
  return (await database.query(SET_STATUS, [hostId, status])).rowCount > 0;
}

/** Sets both kinds of limits; null and {} return to the defaults. */
export async function setHostLimits(
  database: Database,
  hostId: number,
  accountLimit: number | null,
  limits: Readonly<Record<string, number>>,
): Promise<boolean> {
  const json = Object.keys(limits).length === 0 ? null : JSON.stringify(limits);
  return (await database.query(SET_LIMITS, [hostId, accountLimit, json])).rowCount > 0;
}

/** Switches the lenient verdict for one host on or off; false where there is no such host. */
export async function setHostLenient(
  database: Database,
  hostId: number,
  isLenient: boolean,
): Promise<boolean> {
  return (await database.query(SET_LENIENT, [hostId, isLenient])).rowCount > 0;
}

/**
 * Stores the cursor of up to 1,000 hosts that have none: first host seq minus one, before the
 * first frame is routed. A host that has a cursor keeps it, so a delayed write is harmless.
 */
export async function saveFirstCursors(
  database: Database,
  cursors: readonly HostCursor[],
): Promise<void> {
  assert(cursors.length <= BATCH_ROWS_MAX, 'too many rows for one statement');
  if (cursors.length === 0) return;
  const hostIds = cursors.map((cursor) => cursor.hostId);
  await database.query(SAVE_FIRST_CURSORS, [hostIds, cursors.map((cursor) => cursor.hostSeq)]);
}

/**
 * Notes for up to 1,000 hosts from where the log must be read to know what they will send again.
 * The checkpoint that finds a host past all of it takes the note away. An older note stays.
 */
export async function saveReplays(
  database: Database,
  replays: readonly HostReplay[],
): Promise<void> {
  assert(replays.length <= BATCH_ROWS_MAX, 'too many rows for one statement');
  if (replays.length === 0) return;
  const hostIds = replays.map((replay) => replay.hostId);
  await database.query(SAVE_REPLAYS, [hostIds, replays.map((replay) => replay.logSeq)]);
}

/** An operator's reset: null starts the host over at its live end. */
export async function resetHostCursor(
  database: Database,
  hostId: number,
  hostSeq: number | null,
): Promise<boolean> {
  return (await database.query(RESET_CURSOR, [hostId, hostSeq])).rowCount > 0;
}

function toHostRow(row: HostColumns): HostRow {
  return {
    id: row.id,
    hostname: row.hostname,
    // The table's own check allows no other.
    status: toHostStatus(row.status) ?? 'offline',
    isInsecure: row.is_insecure,
    cursor: row.cursor,
    replayFrom: row.replay_from,
    failures: row.failures,
    accountLimit: row.account_limit,
    limits: row.limits ?? {},
    isLenient: row.is_lenient,
    createdMs: row.created_ms,
    lastConnectedMs: row.last_connected_ms,
  };
}
