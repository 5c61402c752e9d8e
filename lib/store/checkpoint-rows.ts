/**
 * The checkpoint: cursors of hosts and the log seq they belong to, written together or not at all.
 * It is the last thing written of everything (log, then account rows, then this), so what it says
 * is always true. One statement for all changed hosts, because the cursors of 2,800 hosts move
 * every few seconds (C12).
 *
 * A plain set, since a host that renumbers gets a lower cursor. What must not happen is that a
 * write of a killed process, or one that a frozen server lets through late, puts older cursors
 * over newer ones: a write carries the number of its process and of itself, and the row refuses
 * what is behind.
 * @thread main
 */
import { RelayFault } from '../base/fault.ts';
import type { HostCursor } from './host-rows.ts';
import type { Database } from './pool.ts';
import { statement } from './statement.ts';

export type CheckpointRow = {
  /** Every event up to this log seq is in the account rows; 0 = none yet. */
  readonly seq: number;
  readonly writtenMs: number;
};

const READ = statement('checkpoint_read')`
  SELECT seq, (extract(epoch FROM written_at) * 1000)::float8 AS written_ms
  FROM checkpoint
  LIMIT 1`;

const CLAIM = statement('checkpoint_claim')`
  UPDATE checkpoint SET writer = writer + 1, revision = 0
  RETURNING seq, writer`;

const SAVE = statement('checkpoint_save')`
  WITH moved AS (
    UPDATE checkpoint SET seq = $1, revision = $3, written_at = now()
    WHERE writer = $2 AND revision <= $3
    RETURNING true
  ), changed AS (
    UPDATE hosts AS h SET
      cursor = c.host_seq,
      replay_from = CASE WHEN c.is_replaying THEN h.replay_from END
    FROM moved, unnest($4::integer[], $5::bigint[], $6::boolean[])
      AS c (id, host_seq, is_replaying)
    WHERE h.id = c.id AND (h.cursor IS DISTINCT FROM c.host_seq
      OR (h.replay_from IS NOT NULL AND NOT c.is_replaying))
    RETURNING h.id
  )
  SELECT (SELECT count(*) FROM moved) AS moved_count,
    (SELECT count(*) FROM changed) AS changed_count
  LIMIT 1`;

/** Reads without taking over; for tools. */
export async function readCheckpoint(database: Database): Promise<CheckpointRow> {
  type Columns = { seq: number; written_ms: number };
  const { rows } = await database.query<Columns>(READ);
  return { seq: rows[0]?.seq ?? 0, writtenMs: rows[0]?.written_ms ?? 0 };
}

/** The one writer of the checkpoint in this process. */
export class CheckpointWriter {
  /** The checkpoint as it was found: where recovery starts to read the log. */
  readonly startSeq: number;
  readonly #database: Database;
  readonly #writer: number;
  #revision = 0;

  private constructor(database: Database, startSeq: number, writer: number) {
    this.#database = database;
    this.startSeq = startSeq;
    this.#writer = writer;
  }

  /**
   * Takes the checkpoint over from whatever process wrote it before, whose writes are refused
   * from now on. Call it before `loadHosts`, once per process.
   */
  static async claim(database: Database): Promise<CheckpointWriter> {
    const { rows } = await database.query<{ seq: number; writer: number }>(CLAIM);
    const [row] = rows;
    if (row === undefined) {
      const message = 'the checkpoint row is missing: the database was changed by hand';
      throw new RelayFault('store_error', message, { isRetryable: false });
    }
    return new CheckpointWriter(database, row.seq, row.writer);
  }

  /**
   * Writes `seq` and the cursors that changed. Returns how many cursors moved. After a fault the
   * outcome is unknown: call it again with the same cursors or newer ones. A RelayFault
   * `checkpoint_fenced` means that another process has claimed the checkpoint.
   */
  async save(seq: number, cursors: readonly HostCursor[]): Promise<number> {
    this.#revision++;
    type Columns = { moved_count: number; changed_count: number };
    const { rows } = await this.#database.query<Columns>(SAVE, [
      seq,
      this.#writer,
      this.#revision,
      cursors.map((cursor) => cursor.hostId),
      cursors.map((cursor) => cursor.hostSeq),
      cursors.map((cursor) => cursor.isReplaying === true),
    ]);
    if (rows[0]?.moved_count !== 1) {
      const message = 'another relay has taken over the checkpoint of this database';
      throw new RelayFault('checkpoint_fenced', message, { isRetryable: false });
    }
    return rows[0].changed_count;
  }
}
