/**
 * A real PostgreSQL for one test file: the built-in one, in a directory of its own, with a
 * migrated template from which each test takes a fresh database in about 50 ms.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { SystemClock } from '../../lib/base/clock.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import {
  type EmbeddedOptions,
  type EmbeddedPostgres,
  startEmbedded,
} from '../../lib/store/embedded.ts';
import { migrate } from '../../lib/store/migrate.ts';
import { createPool, type DatabasePool, type PoolOptions } from '../../lib/store/pool.ts';

/** What is needed of a tap test, so that a helper need not know its plugins. */
type Teardown = { teardown(callback: () => unknown): unknown };

export const clock = new SystemClock();

/** A fresh directory that goes away with the test. */
export function tempDir(t: Teardown, prefix = 'skyrelay-test-'): string {
  const path = mkdtempSync(join(tmpdir(), prefix));
  t.teardown(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }));
  return path;
}

export function embeddedOptions(
  dataDir: string,
  options: Partial<EmbeddedOptions> = {},
): EmbeddedOptions {
  const metrics = new MetricWriter();
  return { dataDir, clock, logger: silentLogger, metrics, isSyncing: false, ...options };
}

/** A server of its own for tests that stop, freeze or kill it. */
export async function startServer(
  t: Teardown,
  options: Partial<EmbeddedOptions> = {},
): Promise<EmbeddedPostgres> {
  const server = await startEmbedded(embeddedOptions(tempDir(t), options));
  t.teardown(() => server.stop());
  return server;
}

export type TestPostgres = {
  readonly server: EmbeddedPostgres;
  /** A database of its own with the newest schema. */
  createDatabase(): Promise<pg.PoolConfig>;
  /** An empty database, never migrated. */
  createEmptyDatabase(): Promise<pg.PoolConfig>;
  /** A pool on a fresh, migrated database; closed with the test. */
  createPool(t: Teardown, options?: Partial<PoolOptions>): Promise<DatabasePool>;
};

/** Starts the server and makes the template; call once per file, at its top. */
export async function startTestPostgres(t: Teardown): Promise<TestPostgres> {
  const server = await startServer(t);
  const template = 'template_skyrelay';
  await run(server.connection, `CREATE DATABASE ${template}`);
  const connection = { ...server.connection, database: template };
  await migrate({ connection, clock, logger: silentLogger, timeoutMs: 5000 });
  let count = 0;
  const create = async (from: string): Promise<pg.PoolConfig> => {
    const database = `test_${++count}`;
    await run(server.connection, `CREATE DATABASE ${database} TEMPLATE ${from}`);
    return { ...server.connection, database };
  };
  return {
    server,
    createDatabase: () => create(template),
    createEmptyDatabase: () => create('template0'),
    createPool: async (test, options = {}) => {
      const pool = createPool(poolOptions(await create(template), options));
      test.teardown(() => pool.close());
      return pool;
    },
  };
}

export function poolOptions(
  connection: pg.PoolConfig,
  options: Partial<PoolOptions> = {},
): PoolOptions {
  return {
    connection,
    connectionsMax: 4,
    timeoutMs: 5000,
    applicationName: 'skyrelay test',
    clock,
    logger: silentLogger,
    metrics: new MetricWriter(),
    ...options,
  };
}

/** One statement on a connection of its own, past all wrappers. */
export async function run<Row extends object>(
  connection: pg.PoolConfig,
  sql: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client(connection);
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** Whether a server takes a connection and a statement now. */
export function answers(connection: pg.PoolConfig): Promise<boolean> {
  const isAnswered = (): boolean => true;
  return run({ ...connection, connectionTimeoutMillis: 2000 }, 'SELECT 1').then(
    isAnswered,
    () => false,
  );
}

/** Polls until `isDone`; false when that took longer than `waitMs`. */
export async function until(
  isDone: () => boolean | Promise<boolean>,
  waitMs = 8000,
): Promise<boolean> {
  const endMs = clock.monoMs() + waitMs;
  while (!(await isDone())) {
    if (clock.monoMs() > endMs) return false;
    await clock.sleep(20);
  }
  return true;
}

/** Signals every process of a cluster, as SIGSTOP to freeze it; gives those that it reached. */
export function signalAll(pids: readonly number[], signal: NodeJS.Signals): number[] {
  return pids.filter((pid) => {
    try {
      return process.kill(pid, signal);
    } catch {
      // A short-lived child ended in between.
      return false;
    }
  });
}
