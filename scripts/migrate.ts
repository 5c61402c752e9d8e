/**
 * npm run migrate: brings the schema of the database up to date, as every start of the relay does.
 * For operators who migrate before a roll-out, or want to look first (--status).
 */
import { parseArgs } from 'node:util';
import { SystemClock } from '../lib/base/clock.ts';
import { RelayFault } from '../lib/base/fault.ts';
import type { Config } from '../lib/config/keys.ts';
import { loadConfig } from '../lib/config/load.ts';
import { createLogger } from '../lib/logging/logger.ts';
import { MetricWriter } from '../lib/metrics/slots.ts';
import { startEmbedded } from '../lib/store/embedded.ts';
import { type MigrateOptions, migrate, readSchemaStatus } from '../lib/store/migrate.ts';
import { connectionFromUrl } from '../lib/store/pool.ts';

const HELP = `Usage: npm run migrate -- [--status] [--help]

Applies pending migrations to the database of the relay, all in one transaction.
The database is DATABASE_URL, or the built-in one below RELAY_DATA_DIR (default ./data),
which is started for this and stopped again unless a relay uses it.

  --status  print what is applied and what is pending; change nothing
  --help    print this

Exit codes: 0 up to date, 1 failed, 2 wrong arguments or settings,
3 (with --status) something is pending, 4 the database is of a newer relay
`;

const BAR_CHARS = 20;
const clock = new SystemClock();
const logger = createLogger({ level: 'warn', destinationFd: 2, name: 'migrate' });

function readArguments(): { isStatus: boolean; isHelp: boolean } | undefined {
  try {
    const options = { status: { type: 'boolean' }, help: { type: 'boolean' } } as const;
    const { values } = parseArgs({ options });
    return { isStatus: values.status === true, isHelp: values.help === true };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
    return undefined;
  }
}

async function openDatabase(config: Config) {
  if (config.databaseUrl !== '') {
    return { connection: connectionFromUrl(config.databaseUrl), close: async () => {} };
  }
  const metrics = new MetricWriter();
  const server = await startEmbedded({ dataDir: config.dataDir, clock, logger, metrics });
  const close = (): Promise<void> => (server.isAdopted ? server.release() : server.stop());
  return { connection: server.connection, close };
}

/** A bar that is drawn over itself on a terminal, one line per migration elsewhere. */
function showStep(name: string, step: number, stepCount: number): void {
  const done = Math.round((BAR_CHARS * step) / stepCount);
  const bar = `[${'#'.repeat(done)}${'.'.repeat(BAR_CHARS - done)}] ${step}/${stepCount} ${name}`;
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${bar}` : `${bar}\n`);
}

async function printStatus(options: MigrateOptions): Promise<number> {
  const status = await readSchemaStatus(options);
  for (const name of status.applied) console.log(`applied  ${name}`);
  for (const name of status.pending) console.log(`pending  ${name}`);
  for (const name of status.unknown) console.log(`unknown  ${name} (of a newer relay)`);
  if (status.unknown.length > 0) return 4;
  return status.pending.length > 0 ? 3 : 0;
}

async function applyPending(options: MigrateOptions): Promise<number> {
  const done = await migrate({ ...options, onStep: showStep });
  if (process.stderr.isTTY && done.length > 0) process.stderr.write('\n');
  console.log(done.length === 0 ? 'up to date' : `applied ${done.length} migrations`);
  return 0;
}

async function main(): Promise<number> {
  const args = readArguments();
  if (args === undefined) return 2;
  if (args.isHelp) {
    console.log(HELP);
    return 0;
  }
  const loaded = loadConfig(process.env);
  if ('problems' in loaded) {
    for (const problem of loaded.problems) console.error(problem);
    return 2;
  }
  const { config } = loaded;
  try {
    const database = await openDatabase(config);
    const { connection } = database;
    const options = { connection, clock, logger, timeoutMs: config.databaseTimeoutMs };
    try {
      return await (args.isStatus ? printStatus(options) : applyPending(options));
    } finally {
      await database.close();
    }
  } catch (error) {
    if (!(error instanceof RelayFault)) throw error;
    console.error(`${error.code}: ${error.message}`);
    return error.code === 'schema_newer' ? 4 : 1;
  }
}

process.exitCode = await main();
logger.close();
