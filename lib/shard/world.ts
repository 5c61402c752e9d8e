/**
 * What a shard needs of the world outside its memory: account rows, directories of DIDs, the log.
 * The seam at which a test puts a world of its own.
 * @thread verify
 */
import { RepoStatusClient, type RepoStatusSource } from '../accounts/repo-status.ts';
import type { Clock } from '../base/clock.ts';
import { Prng } from '../base/prng.ts';
import { IdentityResolver } from '../identity/resolve.ts';
import { realLogFiles } from '../log/files.ts';
import { LogRecords, type RecordSource } from '../log/records.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { loadAccounts, upsertAccounts } from '../store/account-rows.ts';
import { upsertIdentities } from '../store/identity-rows.ts';
import { createPool } from '../store/pool.ts';
import type { AccountSource } from './account-loader.ts';
import type { Resolver } from './identity-refresher.ts';
import type { VerifyTask } from './task.ts';
import type { AccountSink } from './write-behind.ts';

export type ShardWorld = {
  readonly rows: AccountSource & AccountSink;
  readonly resolver: Resolver;
  readonly repoStatus: RepoStatusSource;
  readonly log: RecordSource;
  close(): Promise<void>;
};

export type ShardWorldParts = {
  readonly task: VerifyTask;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
};

const RATE_BURST_SECONDS = 2;

/** PostgreSQL, the PLC directory and web hosts, the log on disk; connects to nothing yet. */
export function openWorld(parts: ShardWorldParts): ShardWorld {
  const { task, clock, logger, metrics } = parts;
  const database = createPool({
    connection: task.connection,
    connectionsMax: task.connectionsMax,
    timeoutMs: task.databaseTimeoutMs,
    applicationName: `skyrelay verify-${task.shard}`,
    clock,
    logger,
    metrics,
  });
  const resolver = createResolver(parts);
  return {
    rows: {
      loadAccounts: (dids) => loadAccounts(database, dids),
      upsertAccounts: (rows) => upsertAccounts(database, rows),
      upsertIdentities: (rows) => upsertIdentities(database, rows),
    },
    resolver,
    repoStatus: new RepoStatusClient(resolver.guarded, task.identityTimeoutMs),
    log: new LogRecords(task.logDirectory, realLogFiles),
    async close() {
      resolver.close();
      await database.close();
    },
  };
}

function createResolver({ task, clock, logger, metrics }: ShardWorldParts): IdentityResolver {
  const lane = { concurrencyMax: task.identityConcurrencyMax };
  const ratePerSecond = task.plcRequestsPerSecondMax;
  return new IdentityResolver({
    plcUrl: task.plcUrl,
    isInsecureAllowed: task.isInsecureAllowed,
    userAgent: task.userAgent,
    clock,
    prng: new Prng(task.shard + 1),
    logger: logger.child('identity'),
    metrics,
    plcLane: { ...lane, ratePerSecond, burst: RATE_BURST_SECONDS * ratePerSecond },
    webLane: lane,
    limits: { attemptMs: task.identityTimeoutMs },
  });
}
