/**
 * One look at a PostgreSQL server on a connection of its own: does it answer, and as what? Used
 * while a server starts and before a running one is adopted. Waits for nothing but its own time.
 * @thread main
 */
import pg from 'pg';
import { errorCode, errorText } from '../base/fault.ts';

export type ProbeResult =
  | { readonly state: 'ready'; readonly tag: string }
  /** It answers that it starts, recovers or stops. */
  | { readonly state: 'busy'; readonly reason: string }
  /** Nobody listens. */
  | { readonly state: 'absent'; readonly reason: string }
  /** It took the connection or the query and does not answer. */
  | { readonly state: 'silent'; readonly reason: string }
  /** It answers with an error. */
  | { readonly state: 'refused'; readonly reason: string };

/** Setting under which our starter leaves the fingerprint of its command line. */
export const TAG_SETTING = 'skyrelay.settings';

/** Connects, asks for the tag, disconnects; at most about twice `waitMs`. Never throws. */
export async function probeServer(connection: pg.PoolConfig, waitMs: number): Promise<ProbeResult> {
  const client = new pg.Client({
    ...connection,
    connectionTimeoutMillis: waitMs,
    query_timeout: waitMs,
    application_name: 'skyrelay-probe',
  });
  // A server that goes away between two steps reports here, too; the step itself says it.
  client.on('error', () => {});
  try {
    await client.connect();
    const sql = 'SELECT current_setting($1, true) AS tag';
    const { rows } = await client.query<{ tag: string | null }>(sql, [TAG_SETTING]);
    return { state: 'ready', tag: rows[0]?.tag ?? '' };
  } catch (error) {
    return judge(error);
  } finally {
    hangUp(client);
  }
}

function judge(error: unknown): ProbeResult {
  const reason = errorText(error);
  const code = errorCode(error);
  // "cannot connect now" and the two shutdowns.
  if (code === '57P03' || code === '57P01' || code === '57P02') return { state: 'busy', reason };
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return { state: 'absent', reason };
  if (code === '') return { state: /time/i.test(reason) ? 'silent' : 'busy', reason };
  return { state: 'refused', reason };
}

/** Ends the connection without waiting: a frozen server would never close its side. */
function hangUp(client: pg.Client): void {
  client.end().catch(() => {});
}
