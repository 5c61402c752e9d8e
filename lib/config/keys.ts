/**
 * THE table of settings: property, environment variable, default, range, doc line. From it come
 * the type of the config, its parser, `--help` and docs/CONFIG.md. A new setting is one row here,
 * and its use in lib/relay.ts. Names of the reference relay are kept or accepted as aliases.
 * @thread any
 */
import { availableParallelism } from 'node:os';
import { DAY_MS, GiB, HOUR_MS, KiB, MINUTE_MS, MiB, SECOND_MS } from '../base/units.ts';
import {
  bytes,
  choice,
  count,
  databaseUrl,
  duration,
  flag,
  list,
  listen,
  origin,
  type Row,
  secrets,
  text,
} from './row.ts';

/** Most verify threads: the size of the shared words is fixed for it. */
const VERIFY_THREADS_MAX = 16;
const TIB = 1024 * GiB;
const YEAR_MS = 365 * DAY_MS;

const SERVICE_KEYS = {
  apiListen: listen('RELAY_API_BIND', ':2470', 'Where XRPC, admin and websockets are served.', {
    aliases: ['RELAY_API_LISTEN'],
  }),
  metricsListen: listen(
    'RELAY_METRICS_LISTEN',
    ':2471',
    'Where /metrics, /_healthz and /_readyz are served, by a thread of their own.',
  ),
  adminPasswords: secrets(
    'RELAY_ADMIN_PASSWORD',
    16,
    'Passwords for the admin routes, comma-separated for rotation. Without one they are off.',
    { aliases: ['RELAY_ADMIN_KEY'] },
  ),
  trustedProxies: list(
    'RELAY_TRUSTED_PROXIES',
    '',
    'Addresses or CIDR blocks whose X-Forwarded-For is believed.',
  ),
  httpConnectionsMax: count(
    'RELAY_HTTP_CONNECTIONS_MAX',
    '10000',
    [1, 1_000_000],
    'Most open connections to the API, websockets included.',
  ),
  logLevel: choice(
    'RELAY_LOG_LEVEL',
    'info',
    ['debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'Least level of a log line that is written.',
    { aliases: ['GO_LOG_LEVEL', 'LOG_LEVEL'] },
  ),
  shutdownMsMax: duration(
    'RELAY_SHUTDOWN_TIMEOUT',
    '45s',
    [SECOND_MS, 10 * MINUTE_MS],
    'Most time from SIGTERM to the exit (G25).',
  ),
};

const LOG_KEYS = {
  dataDir: text(
    'RELAY_DATA_DIR',
    './data',
    'Folder for the log, the embedded PostgreSQL and quarantined frames.',
  ),
  persistDir: text('RELAY_PERSIST_DIR', '', 'Folder for the log.', {
    aliases: ['RELAY_PERSISTER_DIR'],
    defaultText: '<data dir>/log',
  }),
  replayWindowMs: duration(
    'RELAY_REPLAY_WINDOW',
    '72h',
    [SECOND_MS, 10 * YEAR_MS],
    'How long events can be replayed. Whole segments are removed, so a little longer.',
    { aliases: ['RELAY_EVENT_PLAYBACK_TTL'] },
  ),
  retentionBytesMax: bytes(
    'RELAY_RETENTION_BYTES',
    '0',
    [0, 1024 * TIB],
    'Most bytes of the log; older segments go even inside the window. 0: the window alone.',
  ),
  segmentBytesMax: bytes(
    'RELAY_SEGMENT_BYTES',
    '256MiB',
    [64 * KiB, GiB],
    'A segment is sealed at this size …',
  ),
  segmentAgeMsMax: duration(
    'RELAY_SEGMENT_AGE',
    '1h',
    [SECOND_MS, 30 * DAY_MS],
    '… or at this age, whichever is first (G7).',
  ),
  ballastBytes: bytes(
    'RELAY_BALLAST_BYTES',
    '256MiB',
    [0, TIB],
    'File beside the log that is given back when the disk is full, for PostgreSQL (G16). 0: none.',
  ),
  isEmergencyRetention: flag(
    'RELAY_EMERGENCY_RETENTION',
    false,
    'When the disk is full and the ballast gone, gives up segments inside the replay window.',
  ),
  initialSeq: count(
    'RELAY_INITIAL_SEQ_NUMBER',
    '1',
    [1, Number.MAX_SAFE_INTEGER],
    'Least seq of the next event: a floor, never a step back.',
  ),
};

const THREAD_KEYS = {
  verifyThreadCount: autoThreads(),
  ingestRingBytes: bytes(
    'RELAY_INGEST_RING_BYTES',
    '32MiB',
    [16 * MiB, GiB],
    'Ring from main to each verify thread, a power of two.',
  ),
  verifiedRingBytes: bytes(
    'RELAY_VERIFIED_RING_BYTES',
    '16MiB',
    [16 * MiB, GiB],
    'Ring from each verify thread to the log writer, a power of two.',
  ),
  heldBytes: bytes(
    'RELAY_HELD_BYTES',
    '32MiB',
    [16 * MiB, GiB],
    'Frames each verify thread can set aside for a key or an account row, a power of two.',
  ),
  tailRingBytes: bytes(
    'RELAY_TAIL_RING_BYTES',
    '64MiB',
    [16 * MiB, GiB],
    'Newest frames kept in memory for consumers, a power of two.',
  ),
  verifyHangMs: duration(
    'RELAY_VERIFY_HANG',
    '5s',
    [100, 5 * MINUTE_MS],
    'A verify thread that stands still this long with work to do is replaced (G18).',
  ),
};

const HOST_KEYS = {
  startupWindowMs: duration(
    'RELAY_STARTUP_WINDOW',
    '30s',
    [0, HOUR_MS],
    'First connections to all hosts are spread over this time.',
  ),
  dialConcurrencyMax: count(
    'RELAY_DIAL_CONCURRENCY',
    '512',
    [1, 10_000],
    'Hosts in DNS look-up or TCP connect at a time.',
  ),
  tlsConcurrencyMax: count(
    'RELAY_TLS_CONCURRENCY',
    '32',
    [1, 10_000],
    'Hosts in TLS handshake at a time.',
  ),
  dialTimeoutMs: duration(
    'RELAY_DIAL_TIMEOUT',
    '5s',
    [100, MINUTE_MS],
    'Most time for each of: name look-up with connect, handshake.',
  ),
  reconnectDelayMsMax: duration(
    'RELAY_RECONNECT_MAX',
    '30m',
    [SECOND_MS, DAY_MS],
    'Longest wait before a host is tried again; it is tried for ever (D4).',
  ),
  upstreamPingMs: duration(
    'RELAY_UPSTREAM_PING',
    '30s',
    [100, HOUR_MS],
    'A ping goes to a host that was silent this long …',
  ),
  upstreamIdleMs: duration(
    'RELAY_UPSTREAM_IDLE',
    '75s',
    [200, DAY_MS],
    '… and its connection ends when it said nothing at all for this long.',
  ),
  unfinishedBytesMax: bytes(
    'RELAY_UNFINISHED_BYTES',
    '256MiB',
    [16 * MiB, 64 * GiB],
    'Bytes of messages of all hosts that have not arrived whole or are parked (G26).',
  ),
  trustedDomains: list(
    'RELAY_TRUSTED_DOMAINS',
    '*.host.bsky.network',
    'Hosts with the high limits; a leading * stands for any prefix.',
  ),
  newHostsPerDayMax: count(
    'RELAY_NEW_HOSTS_PER_DAY_LIMIT',
    '50',
    [0, 1_000_000],
    'Hosts that requestCrawl may add in 24 hours.',
  ),
  accountsPerHostMax: count(
    'RELAY_DEFAULT_ACCOUNT_LIMIT',
    '100',
    [0, 1_000_000_000],
    'Accounts of a new host that is not trusted.',
    { aliases: ['RELAY_DEFAULT_REPO_LIMIT'] },
  ),
  discontinuousPerHourMax: count(
    'RELAY_DISCONTINUOUS_LIMIT',
    '500',
    [0, 1_000_000_000],
    'Commits of one host per hour that do not chain on its last ones, and one more per account, ' +
      'before the host is throttled: read at a tenth of its rates (CH-4).',
  ),
  discontinuousSlowMs: duration(
    'RELAY_DISCONTINUOUS_THROTTLE',
    '10m',
    [SECOND_MS, DAY_MS],
    'For how long it is, counted from the last such commit beyond the limit.',
  ),
  isRequestCrawlDisabled: flag(
    'RELAY_DISABLE_REQUEST_CRAWL',
    false,
    'Refuses requestCrawl, except by an admin.',
  ),
  areInsecureHostsAllowed: flag(
    'RELAY_ALLOW_INSECURE_HOSTS',
    false,
    'Allows hosts without TLS and on localhost. For development.',
  ),
};

const VERIFY_KEYS = {
  plcOrigin: origin('RELAY_PLC_HOST', 'https://plc.directory', 'The did:plc directory.', {
    aliases: ['ATP_PLC_HOST'],
  }),
  isSyncLenient: flag(
    'RELAY_LENIENT_SYNC_VALIDATION',
    false,
    'Accepts commits without prevData, as hosts before sync v1.1 sent them.',
  ),
  revFutureMsMax: duration(
    'RELAY_REV_FUTURE',
    '5m',
    [SECOND_MS, DAY_MS],
    'How far a rev may be in the future (CH-2).',
  ),
  accountCacheCount: count(
    'RELAY_IDENT_CACHE_SIZE',
    '500000',
    [1000, 100_000_000],
    'Accounts with their keys kept in memory, all threads together.',
    { aliases: ['RELAY_DID_CACHE_SIZE'] },
  ),
  identityTtlMs: duration(
    'RELAY_IDENTITY_TTL',
    '24h',
    [MINUTE_MS, YEAR_MS],
    'Age at which a DID document is fetched again.',
  ),
  identityRefreshMsMin: duration(
    'RELAY_IDENTITY_REFRESH',
    '1m',
    [SECOND_MS, HOUR_MS],
    'Least time between two look-ups of one DID that events ask for (see docs/adr/0009).',
  ),
  identityHoldMsMax: duration(
    'RELAY_IDENTITY_HOLD',
    '30s',
    [100, 10 * MINUTE_MS],
    'How long frames wait for the key of their account before they are rejected.',
  ),
  identityHoldBytesMax: bytes(
    'RELAY_IDENTITY_HOLD_BYTES',
    '16MiB',
    [5 * MiB, GiB],
    'Bytes of such frames in each verify thread.',
  ),
  identityConcurrencyMax: count(
    'RELAY_IDENTITY_CONCURRENCY',
    '64',
    [1, 10_000],
    'Look-ups of DID documents at a time, all threads together.',
  ),
  identityTimeoutMs: duration(
    'RELAY_IDENTITY_TIMEOUT',
    '5s',
    [100, MINUTE_MS],
    'Most time for one look-up.',
  ),
  plcRequestsPerSecondMax: count(
    'RELAY_PLC_RATE',
    '500',
    [1, 100_000],
    'Requests to the did:plc directory per second, all threads together (S8).',
  ),
  lookupsPerHostMax: count(
    'RELAY_IDENTITY_RATE_PER_HOST',
    '100',
    [1, 1_000_000],
    'Look-ups per second that frames of one host may cause, and ten times that at once; ' +
      'all threads together. A host that is trusted has no such limit.',
  ),
  statusCheckMsMin: duration(
    'RELAY_STATUS_CHECK',
    '10m',
    [SECOND_MS, DAY_MS],
    'Least time between two questions to a host whether an inactive account that writes ' +
      'is active.',
  ),
  statusChecksPerHostMax: count(
    'RELAY_STATUS_CHECKS_PER_HOST',
    '16',
    [0, 100_000],
    'Such questions to one host per minute, all threads together; 0: none are asked.',
  ),
  statusCheckConcurrencyMax: count(
    'RELAY_STATUS_CHECK_CONCURRENCY',
    '16',
    [1, 10_000],
    'Such questions at a time, all threads together. Each takes RELAY_IDENTITY_TIMEOUT at most.',
  ),
};

const STORE_KEYS = {
  databaseUrl: databaseUrl(
    'DATABASE_URL',
    'PostgreSQL to use. Where it is not set we start one of our own in the data folder.',
  ),
  databaseConnectionsMax: count(
    'MAX_DB_CONNECTIONS',
    '40',
    [4, 1000],
    'Connections to PostgreSQL, all threads together.',
    { aliases: ['MAX_METADB_CONNECTIONS'] },
  ),
  databaseTimeoutMs: duration(
    'RELAY_DATABASE_TIMEOUT',
    '5s',
    [100, MINUTE_MS],
    'Most time for a connect, a lock and a statement each (G17).',
  ),
  checkpointPeriodMs: duration(
    'RELAY_CHECKPOINT_PERIOD',
    '5s',
    [50, HOUR_MS],
    'Time between two writes of the cursors of hosts.',
  ),
  dirtyAccountsMax: count(
    'RELAY_DIRTY_ACCOUNTS_MAX',
    '50000',
    [100, 10_000_000],
    'Accounts per verify thread that may wait for PostgreSQL before it stops reading (G17).',
  ),
};

const CONSUMER_KEYS = {
  consumersMax: count(
    'RELAY_CONSUMERS_MAX',
    '2000',
    [1, 100_000],
    'Consumers connected at a time.',
  ),
  consumersPerAddressMax: count(
    'RELAY_CONSUMERS_PER_ADDRESS_MAX',
    '100',
    [1, 100_000],
    'Consumers connected from one address (IPv6: one /64).',
  ),
  consumerStallMsMax: duration(
    'RELAY_CONSUMER_STALL',
    '10m',
    [SECOND_MS, DAY_MS],
    'A consumer that takes no byte for this long is ended (G20).',
  ),
  consumerPingMs: duration(
    'RELAY_CONSUMER_PING',
    '30s',
    [100, HOUR_MS],
    'A ping goes to a consumer that was sent nothing for this long.',
  ),
};

/** One thread per core, but main has one to itself. */
function autoThreads(): Row<number> {
  const doc = 'Threads that verify. Nothing stored depends on their number.';
  const env = 'RELAY_VERIFY_THREADS';
  const row = count(env, '1', [1, VERIFY_THREADS_MAX], doc, { defaultText: 'cores - 1' });
  const fallback = (): number =>
    Math.min(VERIFY_THREADS_MAX, Math.max(1, availableParallelism() - 1));
  return { ...row, fallback };
}

/** In the order of the documentation. */
export const SECTIONS = [
  { title: 'Service', keys: SERVICE_KEYS },
  { title: 'Log', keys: LOG_KEYS },
  { title: 'Consumers', keys: CONSUMER_KEYS },
  { title: 'Hosts', keys: HOST_KEYS },
  { title: 'Verification and identity', keys: VERIFY_KEYS },
  { title: 'Threads and memory', keys: THREAD_KEYS },
  { title: 'PostgreSQL', keys: STORE_KEYS },
] as const;

export const KEYS = {
  ...SERVICE_KEYS,
  ...LOG_KEYS,
  ...CONSUMER_KEYS,
  ...HOST_KEYS,
  ...VERIFY_KEYS,
  ...THREAD_KEYS,
  ...STORE_KEYS,
};

export type ConfigKey = keyof typeof KEYS;
type ValueOf<R> = R extends Row<infer T> ? T : never;
/** Validated, deep-frozen, passed as an argument, never imported. */
export type Config = { readonly [K in ConfigKey]: ValueOf<(typeof KEYS)[K]> };

/** Settings of the reference relay that have no meaning here: accepted with a warning. */
export const IGNORED_NAMES: ReadonlyMap<string, string> = new Map([
  ['RELAY_HOST_CONCURRENCY', 'accounts are spread over RELAY_VERIFY_THREADS'],
  ['RELAY_CONCURRENCY_PER_PDS', 'accounts are spread over RELAY_VERIFY_THREADS'],
  ['RELAY_SIBLING_RELAYS', 'admin requests are not forwarded'],
  ['RELAY_ACCOUNT_LIMIT_ALERT_THRESHOLD', 'alerts come from /metrics'],
  ['RELAY_ACCOUNT_LIMIT_ALERT_INTERVAL', 'alerts come from /metrics'],
  ['RELAY_ACCOUNT_LIMIT_ALERT_REPEAT_INTERVAL', 'alerts come from /metrics'],
  ['RELAY_ACCOUNT_LIMIT_ALERT_DASHBOARD_URL', 'alerts come from /metrics'],
  ['RELAY_SLACK_ALERT_CHANNEL', 'alerts come from /metrics'],
  ['RELAY_SLACK_ALERT_TOKEN', 'alerts come from /metrics'],
]);
