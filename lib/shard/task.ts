/**
 * What a verify thread is told when it starts.
 * @thread any
 */
import type { LogLevel } from '../logging/logger.ts';
import type { Regions } from '../ring/regions.ts';
import type { SharedMemory } from '../shared/memory.ts';
import type { PoolOptions } from '../store/pool.ts';

/** Everything a verify thread is told. Plain data: it crosses the thread border as a copy. */
export type VerifyTask = {
  readonly regions: Regions;
  readonly shard: number;
  readonly generation: number;
  readonly logLevel: LogLevel;
  readonly logDirectory: string;
  readonly quarantineDirectory: string;
  readonly connection: PoolOptions['connection'];
  readonly connectionsMax: number;
  readonly databaseTimeoutMs: number;
  readonly plcUrl: string;
  readonly userAgent: string;
  readonly isInsecureAllowed: boolean;
  readonly isStrict: boolean;
  readonly trustedDomains: readonly string[];
  readonly revAheadMsMax: number;
  readonly accountCountMax: number;
  readonly dirtyCountMax: number;
  readonly identityHoldMs: number;
  /** Bytes of this shard's arena that frames waiting for keys may fill. */
  readonly identityHoldBytesMax: number;
  readonly identityTtlMs: number;
  readonly identityRefreshMsMin: number;
  /** These three are the share of this thread. */
  readonly identityConcurrencyMax: number;
  readonly identityTimeoutMs: number;
  readonly plcRequestsPerSecondMax: number;
  /** Per second, and of this thread. */
  readonly lookupsPerHostMax: number;
  readonly statusCheckMsMin: number;
  /** Per minute, and of this thread, as is the next one; 0: none. */
  readonly statusChecksPerHostMax: number;
  readonly statusCheckConcurrencyMax: number;
  readonly flushPeriodMs: number;
  /** Test seams; null in production. */
  readonly chaos: SharedMemory | null;
  /** Test seam: a frame with these bytes hangs the thread; '' in production. */
  readonly poisonMarker: string;
};
