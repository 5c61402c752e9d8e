/**
 * Brings the schema up to date: migrations/*.sql, forward only, in the order of their numbers, all
 * pending ones in one transaction. Runs at every start. A database that knows a migration which we
 * do not was used by a newer relay and is refused, before anything is touched.
 * @thread main
 */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import pg from 'pg';
import type { Clock } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import { awaitWithin } from './await-within.ts';
import { isTransient, rethrowStoreFault } from './store-fault.ts';

export type MigrateOptions = {
  readonly connection: pg.PoolConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For the connect and for each lock; a migration itself may take as long as it needs. */
  readonly timeoutMs: number;
  /** Where the SQL files are; by default those of this package. */
  readonly directory?: string;
  /** Called before each migration: its name, its place from 1, how many there are. */
  readonly onStep?: (name: string, step: number, stepCount: number) => void;
};

export type SchemaStatus = {
  readonly applied: readonly string[];
  /** Ours, not in the database yet. */
  readonly pending: readonly string[];
  /** In the database, not ours: of a newer relay. */
  readonly unknown: readonly string[];
};

const TABLE = 'schema_migrations';
/** As the runner prints it before each migration. */
const STEP_LINE = /^### MIGRATION (\S+) \(UP\)/;

/**
 * Applies what is pending and returns the names. A RelayFault `schema_newer` refuses a database
 * of a newer relay, `schema_failed` says which migration failed and why; a database that is away,
 * or another process that migrates, gives a retryable fault.
 */
export async function migrate(options: MigrateOptions): Promise<readonly string[]> {
  const directory = options.directory ?? packageMigrations();
  return withClient(options, async (client) => {
    const { pending, unknown } = await compare(client, directory);
    if (unknown.length > 0) throw newerFault(unknown);
    if (pending.length === 0) return [];
    await requireCreate(client);
    let step = 0;
    const onLine = (line: string): void => {
      const name = STEP_LINE.exec(line)?.[1];
      if (name === undefined) return;
      step++;
      options.onStep?.(name, step, pending.length);
      options.logger.info({ migration: name, step, stepCount: pending.length }, 'migrating');
    };
    try {
      const done = await runMigrations(client, directory, onLine);
      return done.map((migration) => migration.name);
    } catch (error) {
      throw migrationFault(error, pending[Math.max(step - 1, 0)] ?? '');
    }
  });
}

/** Compares without changing anything; works on a database that was never migrated. */
export async function readSchemaStatus(options: MigrateOptions): Promise<SchemaStatus> {
  const directory = options.directory ?? packageMigrations();
  return withClient(options, (client) => compare(client, directory));
}

function runMigrations(client: pg.Client, dir: string, onLine: (line: string) => void) {
  const drop = (): void => {};
  return runner({
    dbClient: client,
    dir,
    direction: 'up',
    migrationsTable: TABLE,
    singleTransaction: true,
    // A second relay that starts now waits for this one, as long as a lock may take.
    advisoryLockMode: 'wait',
    checkOrder: true,
    logger: { debug: drop, info: onLine, warn: drop, error: drop },
  });
}

async function compare(client: pg.Client, directory: string): Promise<SchemaStatus> {
  const ours = readdirSync(directory)
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.slice(0, -'.sql'.length))
    .sort();
  const applied = await appliedMigrations(client);
  return {
    applied,
    pending: ours.filter((name) => !applied.includes(name)),
    unknown: applied.filter((name) => !ours.includes(name)),
  };
}

async function appliedMigrations(client: pg.Client): Promise<string[]> {
  const exists = await client.query<{ oid: string | null }>(
    'SELECT to_regclass($1) AS oid LIMIT 1',
    [`public.${TABLE}`],
  );
  if (exists.rows[0]?.oid == null) return [];
  const { rows } = await client.query<{ name: string }>(
    'SELECT name FROM public.schema_migrations ORDER BY id LIMIT 10000',
  );
  return rows.map((row) => row.name);
}

async function withClient<Value>(
  options: MigrateOptions,
  body: (client: pg.Client) => Promise<Value>,
): Promise<Value> {
  const client = new pg.Client({
    ...options.connection,
    connectionTimeoutMillis: options.timeoutMs,
    lock_timeout: options.timeoutMs,
    application_name: 'skyrelay migrate',
    keepAlive: true,
  });
  // The call in hand reports what breaks.
  client.on('error', () => {});
  try {
    await client.connect();
    // A migration may need longer than the role's usual limit, and creates in one schema only.
    await client.query(
      `SELECT set_config('statement_timeout', '0', false),
         set_config('search_path', 'public', false)`,
    );
    return await body(client);
  } catch (error) {
    rethrowStoreFault(error, 'schema');
  } finally {
    await awaitWithin(options.clock, SECOND_MS, client.end());
  }
}

function newerFault(unknown: readonly string[]): RelayFault {
  const message =
    `the database was used by a newer relay: it has migration ${unknown.join(', ')}, which this ` +
    `one does not know. Start that relay, or restore a backup from before`;
  return new RelayFault('schema_newer', message, { isRetryable: false });
}

/** Asked before the start: the runner would hide the reason in a stack trace. */
async function requireCreate(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ may_create: boolean }>(
    `SELECT has_schema_privilege('public', 'CREATE') AS may_create LIMIT 1`,
  );
  if (rows[0]?.may_create === true) return;
  const message =
    'the database user may not create tables: as the owner of the database run ' +
    'GRANT CREATE ON SCHEMA public TO that user';
  throw new RelayFault('schema_failed', message, { isRetryable: false });
}

function migrationFault(cause: unknown, name: string): RelayFault {
  const [line] = errorText(cause).split('\n');
  const message = `migration ${name} failed: ${line}`;
  return new RelayFault('schema_failed', message, { isRetryable: isTransient(cause), cause });
}

/** Beside `lib` in the sources, beside `dist` in the built package. */
function packageMigrations(): string {
  const places = ['../../migrations/', '../../../migrations/'];
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  const message = `no migrations beside the program: ${paths.join(', ')}`;
  throw new RelayFault('schema_failed', message, { isRetryable: false });
}
