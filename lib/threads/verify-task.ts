/**
 * Settings as the task of a verify thread.
 * @thread main
 */
import type { Config } from '../config/keys.ts';
import type { Limits } from '../config/limits.ts';
import type { Regions } from '../ring/regions.ts';
import type { VerifyTask } from '../shard/task.ts';
import type { PoolOptions } from '../store/pool.ts';
import type { Seams } from './seams.ts';

/** Rows are written this often at most, so that a checkpoint finds most of them written. */
const FLUSH_MS_MAX = 250;

export type VerifyTaskParts = {
  readonly config: Config;
  readonly limits: Limits;
  readonly regions: Regions;
  readonly connection: PoolOptions['connection'];
  readonly userAgent: string;
  readonly seams: Seams;
};

export function makeVerifyTask(
  parts: VerifyTaskParts,
  shard: number,
  generation: number,
): VerifyTask {
  const { config, limits, regions, connection, userAgent, seams } = parts;
  return {
    regions,
    shard,
    generation,
    logLevel: config.logLevel,
    logDirectory: limits.logDir,
    quarantineDirectory: limits.quarantineDir,
    connection,
    connectionsMax: limits.databaseConnectionsPerThread,
    databaseTimeoutMs: config.databaseTimeoutMs,
    plcUrl: config.plcOrigin,
    userAgent,
    isInsecureAllowed: config.areInsecureHostsAllowed,
    isStrict: !config.isSyncLenient,
    trustedDomains: config.trustedDomains,
    revAheadMsMax: config.revFutureMsMax,
    accountCountMax: limits.accountCachePerThread,
    dirtyCountMax: Math.max(1, Math.floor(config.dirtyAccountsMax / regions.shardCount)),
    identityHoldMs: config.identityHoldMsMax,
    identityHoldBytesMax: config.identityHoldBytesMax,
    identityTtlMs: config.identityTtlMs,
    identityRefreshMsMin: config.identityRefreshMsMin,
    identityConcurrencyMax: limits.identityConcurrencyPerThread,
    identityTimeoutMs: config.identityTimeoutMs,
    plcRequestsPerSecondMax: limits.plcRequestsPerSecondPerThread,
    lookupsPerHostMax: limits.lookupsPerHostPerThread,
    statusCheckMsMin: config.statusCheckMsMin,
    statusChecksPerHostMax: limits.statusChecksPerHostPerThread,
    statusCheckConcurrencyMax: limits.statusCheckConcurrencyPerThread,
    flushPeriodMs: Math.min(FLUSH_MS_MAX, config.checkpointPeriodMs),
    chaos: seams.chaos,
    poisonMarker: seams.poisonMarker,
  };
}
