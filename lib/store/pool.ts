/**
 * Connections to PostgreSQL for one thread. Every wait is bounded: for a free connection, for the
 * connect, for a lock, for the statement at the server and, should that be frozen, at our side
 * (G17, findings D28 and 3.5.5). Errors come out as RelayFault; a broken idle connection is a line
 * in the log and never the end of the process. Does not retry: callers know what may wait.
 * @thread main|verify
 */
import pg from 'pg';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { errorText } from '../base/fault.ts';
import { SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { awaitWithin } from './await-within.ts';
import { type Statement, statement } from './statement.ts';
import { isServerError, isTimeout, isTransient, rethrowStoreFault } from './store-fault.ts';

export type PoolOptions = {
  /** From `startEmbedded` or `connectionFromUrl`. */
  readonly connection: pg.PoolConfig;
  /** At least as many as callers wait at a time; others queue for `timeoutMs` (D28). */
  readonly connectionsMax: number;
  /** Most time for each of: free connection or connect, statement. A lock gets half of it. */
  readonly timeoutMs: number;
  /** Shown in pg_stat_activity, as `skyrelay verify-2`. */
  readonly applicationName: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
};

export type Rows<Row> = { readonly rows: readonly Row[]; readonly rowCount: number };

/** What row modules need: a pool, or a transaction. */
export type Database = {
  query<Row extends object>(sql: Statement, values?: readonly unknown[]): Promise<Rows<Row>>;
};

/** Beyond the server's own limit, so that a server that works ends the statement itself. */
const QUERY_GRACE_MS = SECOND_MS;
const KEEPALIVE_MS = 10 * SECOND_MS;
const IDLE_MS = 60 * SECOND_MS;
const INT8_OID = 20;

const PING = statement('ping')`SELECT 1 AS one`;
const BEGIN = statement('begin')`BEGIN`;
const COMMIT = statement('commit')`COMMIT`;
const ROLLBACK = statement('rollback')`ROLLBACK`;

/** Connection settings of a DATABASE_URL; plain data that may go to other threads. */
export function connectionFromUrl(url: string): pg.PoolConfig {
  return { connectionString: url };
}

/** Opens nothing yet: the first query connects. */
export function createPool(options: PoolOptions): DatabasePool {
  return new DatabasePool(options);
}

/** A client that has an error listener from its first moment to its last. */
class QuietClient extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super(config);
    // The call in hand reports the error; between calls the pool does. Without a listener an
    // `immediate` stop of the server would end the process.
    this.on('error', () => {});
  }
}

export class DatabasePool implements Database {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: MetricWriter;
  #isUp: boolean | undefined;
  #isClosed = false;

  constructor(options: PoolOptions) {
    assert(options.connectionsMax >= 1, 'a pool needs a connection');
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#metrics = options.metrics;
    this.#pool = new pg.Pool({ ...options.connection, ...poolSettings(options) });
    this.#pool.on('error', (error) => {
      this.#logger.debug({ error: errorText(error) }, 'idle database connection lost');
    });
  }

  /** Whether the last statement reached the server; true before the first one. */
  get isUp(): boolean {
    return this.#isUp ?? true;
  }

  /** Callers that wait for a free connection. */
  get waitingCount(): number {
    return this.#pool.waitingCount;
  }

  /** Runs one statement. Rejects with a RelayFault, or with a bug of ours. */
  async query<Row extends object>(
    sql: Statement,
    values: readonly unknown[] = [],
  ): Promise<Rows<Row>> {
    const client = await this.#acquire(sql.name);
    try {
      const result = await this.#run<Row>(client, sql, values);
      client.release();
      return result;
    } catch (error) {
      client.release(!isServerError(error));
      rethrowStoreFault(error, sql.name);
    }
  }

  /**
   * Runs `body` in one READ COMMITTED transaction: committed when it resolves, rolled back when it
   * throws. When the connection breaks at the commit the outcome is unknown: what runs here must
   * be idempotent. No waits for the network in `body` (C18).
   */
  async withTransaction<Value>(body: (database: Database) => Promise<Value>): Promise<Value> {
    const client = await this.#acquire('begin');
    const database: Database = {
      query: <Row extends object>(sql: Statement, values: readonly unknown[] = []) =>
        this.#run<Row>(client, sql, values),
    };
    try {
      await this.#run(client, BEGIN, []);
      const value = await body(database);
      await this.#run(client, COMMIT, []);
      client.release();
      return value;
    } catch (error) {
      const isRolledBack = await this.#rollBack(client, error);
      client.release(!isRolledBack);
      rethrowStoreFault(error, 'transaction');
    }
  }

  /** The readiness probe: does the server answer a statement in time (D10)? Never rejects. */
  async ping(): Promise<boolean> {
    try {
      await this.query(PING);
      return true;
    } catch {
      return false;
    }
  }

  /** Ends all connections; waits at most `waitMs` for statements under way. Idempotent. */
  async close(waitMs: number = SECOND_MS): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // A frozen server never closes its side: do not wait for ever.
    await awaitWithin(this.#clock, waitMs, this.#pool.end());
  }

  async #acquire(what: string): Promise<pg.PoolClient> {
    const startMs = this.#clock.monoMs();
    try {
      const client = await this.#pool.connect();
      this.#metrics.observe('relay_store_wait_seconds', secondsSince(this.#clock, startMs));
      return client;
    } catch (error) {
      this.#count(error);
      rethrowStoreFault(error, what);
    }
  }

  async #run<Row extends object>(
    client: pg.PoolClient,
    sql: Statement,
    values: readonly unknown[],
  ): Promise<Rows<Row>> {
    const startMs = this.#clock.monoMs();
    try {
      const query = { name: sql.name, text: sql.text, values: values as unknown[] };
      const { rows, rowCount } = await client.query<Row>(query);
      this.#metrics.observe('relay_store_query_seconds', secondsSince(this.#clock, startMs));
      this.#metrics.add('relay_store_queries_total:ok');
      this.#setUp(true, '');
      return { rows, rowCount: rowCount ?? 0 };
    } catch (error) {
      this.#count(error);
      throw error;
    }
  }

  async #rollBack(client: pg.PoolClient, cause: unknown): Promise<boolean> {
    // An assertion in `body` leaves the connection in order, too.
    if (!isServerError(cause) && isTransient(cause)) return false;
    try {
      await this.#run(client, ROLLBACK, []);
      return true;
    } catch {
      return false;
    }
  }

  #count(error: unknown): void {
    this.#metrics.add(`relay_store_queries_total:${isTimeout(error) ? 'timeout' : 'error'}`);
    if (!isServerError(error) && isTransient(error)) this.#setUp(false, errorText(error));
  }

  /** Logs the change, not every error: an outage is two lines (C13). */
  #setUp(isUp: boolean, reason: string): void {
    if (isUp === this.#isUp) return;
    const isFirst = this.#isUp === undefined;
    this.#isUp = isUp;
    this.#metrics.set('relay_store_up', isUp ? 1 : 0);
    if (!isUp) this.#logger.warn({ reason }, 'PostgreSQL does not answer');
    else if (!isFirst) this.#logger.info({}, 'PostgreSQL answers again');
  }
}

function secondsSince(clock: Clock, startMs: number): number {
  return (clock.monoMs() - startMs) / SECOND_MS;
}

function poolSettings(options: PoolOptions): pg.PoolConfig {
  const { timeoutMs } = options;
  return {
    Client: QuietClient,
    max: options.connectionsMax,
    connectionTimeoutMillis: timeoutMs,
    statement_timeout: timeoutMs,
    query_timeout: timeoutMs + QUERY_GRACE_MS,
    lock_timeout: Math.ceil(timeoutMs / 2),
    idle_in_transaction_session_timeout: 2 * timeoutMs,
    idleTimeoutMillis: IDLE_MS,
    application_name: options.applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_MS,
    types: { getTypeParser: typeParser },
  };
}

/** bigint columns hold our seqs, host seqs and row ids: all of them are safe integers. */
function typeParser(oid: number, format?: 'text' | 'binary') {
  return oid === INT8_OID ? parseSafeInteger : pg.types.getTypeParser(oid, format);
}

function parseSafeInteger(text: string): number {
  const value = Number(text);
  assert(Number.isSafeInteger(value), 'a bigint column holds an unsafe integer');
  return value;
}
