import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import t from 'tap';
import { silentLogger } from '../../lib/logging/logger.ts';
import { type MigrateOptions, migrate, readSchemaStatus } from '../../lib/store/migrate.ts';
import { clock, run, startTestPostgres, tempDir } from '../helpers/postgres.ts';
import { dumpSchema } from './schema-dump.ts';

const postgres = await startTestPostgres(t);
const SNAPSHOT = join(import.meta.dirname, '..', 'schema.sql');
const MIGRATIONS = join(import.meta.dirname, '..', '..', 'migrations');
const names = readdirSync(MIGRATIONS)
  .map((file) => file.replace(/\.sql$/, ''))
  .sort();

function options(connection: pg.PoolConfig, more: Partial<MigrateOptions> = {}): MigrateOptions {
  return { connection, clock, logger: silentLogger, timeoutMs: 2000, ...more };
}

function copyMigrations(t: Parameters<typeof tempDir>[0], count = names.length): string {
  const directory = join(tempDir(t), 'migrations');
  mkdirSync(directory);
  for (const name of names.slice(0, count)) {
    copyFileSync(join(MIGRATIONS, `${name}.sql`), join(directory, `${name}.sql`));
  }
  return directory;
}

t.test('C16: a fresh database gets every migration once, with progress', async (t) => {
  const connection = await postgres.createEmptyDatabase();
  t.same(await readSchemaStatus(options(connection)), {
    applied: [],
    pending: names,
    unknown: [],
  });
  const steps: string[] = [];
  const onStep = (name: string, step: number, stepCount: number): void => {
    steps.push(`${step}/${stepCount} ${name}`);
  };
  t.same(await migrate(options(connection, { onStep })), names);
  t.same(
    steps,
    names.map((name, index) => `${index + 1}/${names.length} ${name}`),
  );
  t.same(await migrate(options(connection)), [], 'the second time nothing is to do');
  const status = await readSchemaStatus(options(connection));
  t.same(status, { applied: names, pending: [], unknown: [] });
});

t.test('the schema is the one in test/schema.sql', async (t) => {
  const schema = await dumpSchema(await postgres.createDatabase());
  // UPDATE_SCHEMA=1 writes it after a new migration; the diff goes into the review.
  if (process.env['UPDATE_SCHEMA'] === '1') writeFileSync(SNAPSHOT, schema);
  t.equal(schema, readFileSync(SNAPSHOT, 'utf8'));
});

t.test('C12: no index on a column that changes with every event or checkpoint', async (t) => {
  const schema = readFileSync(SNAPSHOT, 'utf8');
  for (const column of [
    'cursor',
    'replay_from',
    'failures',
    'last_connected_at',
    'seq',
    'rev',
    'commit_cid',
  ]) {
    t.notMatch(schema, new RegExp(`(CREATE [A-Z ]*INDEX|KEY|UNIQUE).*\\b${column}\\b`), column);
  }
});

t.test('C16: a database of a newer relay is refused and left alone', async (t) => {
  const connection = await postgres.createDatabase();
  const newer = copyMigrations(t);
  writeFileSync(join(newer, '000099_future.sql'), 'CREATE TABLE future (x integer);');
  t.same(await migrate(options(connection, { directory: newer })), ['000099_future']);
  const before = await dumpSchema(connection);
  const refused = { code: 'schema_newer', isRetryable: false, message: /000099_future/ };
  await t.rejects(migrate(options(connection)), refused);
  t.equal(await dumpSchema(connection), before);
  t.match(await readSchemaStatus(options(connection)), { unknown: ['000099_future'] });
});

t.test('an older database moves forward', async (t) => {
  const connection = await postgres.createEmptyDatabase();
  const old = copyMigrations(t, 2);
  t.same(await migrate(options(connection, { directory: old })), names.slice(0, 2));
  t.same(await migrate(options(connection)), names.slice(2));
});

t.test('a migration that fails leaves nothing of its run', async (t) => {
  const connection = await postgres.createEmptyDatabase();
  const directory = copyMigrations(t);
  writeFileSync(join(directory, '000099_broken.sql'), 'CREATE TABLE half (x int); SELECT 1 / 0;');
  const failed = { code: 'schema_failed', isRetryable: false, message: /000099_broken.*division/ };
  await t.rejects(migrate(options(connection, { directory })), failed);
  t.same((await readSchemaStatus(options(connection))).applied, []);
  t.notMatch(await dumpSchema(connection), /half|hosts/);
});

t.test('a user without rights is told what is missing', async (t) => {
  const connection = await postgres.createEmptyDatabase();
  await run(connection, 'DROP ROLE IF EXISTS reader');
  await run(connection, 'CREATE ROLE reader LOGIN');
  const message = /GRANT CREATE ON SCHEMA public/;
  const failed = { code: 'schema_failed', isRetryable: false, message };
  await t.rejects(migrate(options({ ...connection, user: 'reader' })), failed);
});

t.test('two relays that start at once migrate once', async (t) => {
  const connection = await postgres.createEmptyDatabase();
  const done = await Promise.all([migrate(options(connection)), migrate(options(connection))]);
  t.equal(done.flat().length, names.length);
});

t.test('D26: a database that is away is a fault that may heal', async (t) => {
  const away = options({ host: '127.0.0.1', port: 1, user: 'x', database: 'x' });
  await t.rejects(migrate(away), { code: 'store_unreachable', isRetryable: true });
});

t.test('npm run migrate: status, progress, exit codes', async (t) => {
  const { host, port, user, database } = await postgres.createEmptyDatabase();
  const url = `postgres://${user}@localhost/${database}?host=${encodeURIComponent(host ?? '')}&port=${port}`;
  const script = join(import.meta.dirname, '..', '..', 'scripts', 'migrate.ts');
  const call = (...args: string[]) => {
    const env = { PATH: process.env['PATH'], DATABASE_URL: url };
    return spawnSync(process.execPath, [script, ...args], { env, encoding: 'utf8' });
  };
  t.match(call('--help'), { status: 0, stdout: /--status/ });
  t.match(call('--nonsense'), { status: 2, stderr: /Usage/ });
  t.match(call('--status'), { status: 3, stdout: /pending {2}000001_hosts/ });
  t.match(call(), { status: 0, stdout: /applied 6/, stderr: /6\/6 000006_takedowns/ });
  t.match(call('--status'), { status: 0, stdout: /applied {2}000006_takedowns/ });
});
