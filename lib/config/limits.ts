/**
 * Limits that follow from the settings, and the rules that tie settings together: what cannot work
 * stops the start with one line per rule instead of stalling on Tuesday.
 * @thread any
 */
import { join, resolve } from 'node:path';
import { FRAME_BYTES_MAX, KiB } from '../base/units.ts';
import type { Config } from './keys.ts';

/** A record in a ring: the largest frame with its fields and the host's name. */
export const RECORD_BYTES_MAX = FRAME_BYTES_MAX + KiB;

export type Limits = {
  /** Absolute. */
  readonly dataDir: string;
  readonly logDir: string;
  readonly quarantineDir: string;
  /** A segment never outlives the window, or a short window could not be kept. */
  readonly segmentAgeMsMax: number;
  /** Shares of one verify thread. */
  readonly accountCachePerThread: number;
  readonly identityConcurrencyPerThread: number;
  readonly plcRequestsPerSecondPerThread: number;
  readonly lookupsPerHostPerThread: number;
  readonly statusChecksPerHostPerThread: number;
  readonly statusCheckConcurrencyPerThread: number;
  readonly databaseConnectionsPerThread: number;
  readonly databaseConnectionsOfMain: number;
  /** All rings and arenas together. */
  readonly sharedBytes: number;
};

export function deriveLimits(config: Config): Limits {
  const dataDir = resolve(config.dataDir);
  const threads = config.verifyThreadCount;
  const share = (whole: number): number => Math.max(1, Math.floor(whole / threads));
  // Main serves HTTP and checkpoints: half of the connections, two at least.
  const connectionsOfMain = Math.max(2, Math.floor(config.databaseConnectionsMax / 2));
  return {
    dataDir,
    logDir: config.persistDir === '' ? join(dataDir, 'log') : resolve(config.persistDir),
    quarantineDir: join(dataDir, 'quarantine'),
    segmentAgeMsMax: Math.min(config.segmentAgeMsMax, config.replayWindowMs),
    accountCachePerThread: share(config.accountCacheCount),
    identityConcurrencyPerThread: share(config.identityConcurrencyMax),
    plcRequestsPerSecondPerThread: share(config.plcRequestsPerSecondMax),
    lookupsPerHostPerThread: share(config.lookupsPerHostMax),
    statusChecksPerHostPerThread:
      config.statusChecksPerHostMax === 0 ? 0 : share(config.statusChecksPerHostMax),
    statusCheckConcurrencyPerThread: share(config.statusCheckConcurrencyMax),
    databaseConnectionsPerThread: share(config.databaseConnectionsMax - connectionsOfMain),
    databaseConnectionsOfMain: connectionsOfMain,
    sharedBytes:
      threads * (config.ingestRingBytes + config.verifiedRingBytes + config.heldBytes) +
      config.tailRingBytes,
  };
}

const isPowerOfTwo = (value: number): boolean => 2 ** Math.round(Math.log2(value)) === value;

type Rule = readonly [isKept: (config: Config) => boolean, problem: string];

const RULES: readonly Rule[] = [
  [(c) => isPowerOfTwo(c.ingestRingBytes), 'RELAY_INGEST_RING_BYTES must be a power of two'],
  [(c) => isPowerOfTwo(c.verifiedRingBytes), 'RELAY_VERIFIED_RING_BYTES must be a power of two'],
  [(c) => isPowerOfTwo(c.heldBytes), 'RELAY_HELD_BYTES must be a power of two'],
  [(c) => isPowerOfTwo(c.tailRingBytes), 'RELAY_TAIL_RING_BYTES must be a power of two'],
  [
    (c) => Math.min(c.ingestRingBytes, c.verifiedRingBytes) >= 2 * RECORD_BYTES_MAX,
    'a ring must hold two of the largest records',
  ],
  [
    (c) => c.tailRingBytes >= 2 * FRAME_BYTES_MAX,
    'RELAY_TAIL_RING_BYTES must hold two of the largest frames',
  ],
  [
    (c) => c.identityHoldBytesMax <= c.heldBytes / 2,
    'RELAY_IDENTITY_HOLD_BYTES may be half of RELAY_HELD_BYTES at most: the rest is for state',
  ],
  [
    (c) => c.retentionBytesMax === 0 || c.retentionBytesMax >= 2 * c.segmentBytesMax,
    'RELAY_RETENTION_BYTES must be 0 or twice RELAY_SEGMENT_BYTES',
  ],
  [
    (c) => c.databaseConnectionsMax >= c.verifyThreadCount + 3,
    'MAX_DB_CONNECTIONS must be RELAY_VERIFY_THREADS + 3 at least',
  ],
  [
    (c) => c.tlsConcurrencyMax <= c.dialConcurrencyMax,
    'RELAY_TLS_CONCURRENCY must not be above RELAY_DIAL_CONCURRENCY',
  ],
  [
    (c) => c.upstreamIdleMs >= 2 * c.upstreamPingMs,
    'RELAY_UPSTREAM_IDLE must be twice RELAY_UPSTREAM_PING at least',
  ],
  [
    (c) => c.consumersMax < c.httpConnectionsMax,
    'RELAY_CONSUMERS_MAX must be below RELAY_HTTP_CONNECTIONS_MAX',
  ],
];

/** The rules that `config` breaks, as lines for the operator. */
export function limitProblems(config: Config): string[] {
  return RULES.filter(([isKept]) => !isKept(config)).map(([, problem]) => problem);
}
