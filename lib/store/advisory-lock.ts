/**
 * The second half of "one relay per database" (G23): a session lock, tried at the start only, on a
 * connection of its own whose TCP keep-alives are short, so that a machine that died lets go in
 * half a minute. Losing it later is logged and never ends the process: the log's file lock is the
 * one that protects data.
 * @thread main
 */
import pg from 'pg';
import type { Clock } from '../base/clock.ts';
import { errorText } from '../base/fault.ts';
import { SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import { awaitWithin } from './await-within.ts';
import { rethrowStoreFault } from './store-fault.ts';

export type AdvisoryLock = {
  /** False once the session was lost or released. */
  readonly isHeld: boolean;
  release(): Promise<void>;
};

export type AdvisoryLockOptions = {
  readonly connection: pg.PoolConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly timeoutMs: number;
  /** How long to try while another session holds it: one that was killed needs a moment. */
  readonly waitMs: number;
};

/** One lock per database; the number is ours and means nothing. */
const LOCK_KEY = 0x736b7972;
const RETRY_MS = 250;
const KEEPALIVE_IDLE_S = 10;
const KEEPALIVE_INTERVAL_S = 5;
const KEEPALIVE_COUNT = 3;

/** The lock, or undefined where another relay holds it. Rejects when the database is away. */
export async function tryAdvisoryLock(
  options: AdvisoryLockOptions,
): Promise<AdvisoryLock | undefined> {
  const session = new LockSession(options);
  try {
    await session.open();
    const untilMs = options.clock.monoMs() + options.waitMs;
    while (!(await session.tryLock())) {
      if (options.clock.monoMs() >= untilMs) {
        await session.release();
        return undefined;
      }
      await options.clock.sleep(RETRY_MS);
    }
    return session;
  } catch (error) {
    await session.release();
    rethrowStoreFault(error, 'advisory lock');
  }
}

class LockSession implements AdvisoryLock {
  readonly #client: pg.Client;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #isHeld = false;

  constructor(options: AdvisoryLockOptions) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#client = new pg.Client({
      ...options.connection,
      connectionTimeoutMillis: options.timeoutMs,
      query_timeout: options.timeoutMs,
      application_name: 'skyrelay lock',
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_IDLE_S * SECOND_MS,
    });
    this.#client.on('error', (error) => this.#lose(errorText(error)));
    this.#client.on('end', () => this.#lose('the connection ended'));
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  async open(): Promise<void> {
    await this.#client.connect();
    // The server's side: it must notice that we are gone.
    await this.#client.query(
      `SELECT set_config('tcp_keepalives_idle', $1, false),
         set_config('tcp_keepalives_interval', $2, false),
         set_config('tcp_keepalives_count', $3, false),
         set_config('idle_session_timeout', '0', false)`,
      [`${KEEPALIVE_IDLE_S}`, `${KEEPALIVE_INTERVAL_S}`, `${KEEPALIVE_COUNT}`],
    );
  }

  async tryLock(): Promise<boolean> {
    const sql = 'SELECT pg_try_advisory_lock($1) AS is_locked';
    const { rows } = await this.#client.query<{ is_locked: boolean }>(sql, [LOCK_KEY]);
    this.#isHeld = rows[0]?.is_locked === true;
    return this.#isHeld;
  }

  async release(): Promise<void> {
    this.#isHeld = false;
    // A frozen server never closes its side.
    await awaitWithin(this.#clock, SECOND_MS, this.#client.end());
  }

  #lose(reason: string): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#logger.warn({ reason }, 'lost the advisory lock; the relay goes on');
  }
}
