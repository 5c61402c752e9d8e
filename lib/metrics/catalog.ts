/**
 * THE table of metric series: name, type, help, closed label, the threads that write it. The
 * unit is the end of the name.
 * From a row come the TypeScript name, the slot in a thread's page, the series on /metrics and the
 * line in docs/METRICS.md. A new series is one row here, or in verify-series.ts.
 *
 * In code a series without a label is its family name; with a label it is `family:value`, as in
 * `relay_verify_events_total:commit`. Reject counters are made from lib/reject/codes.ts.
 * Seconds and bytes only; no host or account in a label (2,800 hosts × codes would be too many).
 * @thread any
 */
import { counter, counterBy, gauge, gaugeBy, histogram, type MetricRow } from './row.ts';
import { KINDS, VERIFY_SERIES } from './verify-series.ts';

const MAIN = ['main'] as const;
const VERIFY = ['verify'] as const;
const PERSIST = ['persist'] as const;
const LIVENESS = ['liveness'] as const;
const MAIN_VERIFY = ['main', 'verify'] as const;
const MAIN_PERSIST = ['main', 'persist'] as const;
const ALL = ['main', 'verify', 'persist', 'liveness'] as const;

const OUTCOMES = ['ok', 'error', 'timeout'] as const;
/** Background loops; a name given to supervise() that has a metric stands here. */
export const LOOP_NAMES = [
  'checkpoint',
  'retention',
  'ballast',
  'reconcile',
  'store_probe',
  'host_flush',
  'account_flush',
  'account_load',
] as const;

const SECONDS_FAST = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5] as const;

export const CATALOG = {
  // upstream: frames from hosts
  relay_upstream_frames_total: counter(MAIN, 'Websocket messages received from hosts.'),
  relay_upstream_bytes_total: counter(MAIN, 'Bytes of websocket messages received from hosts.'),
  relay_upstream_info_frames_total: counter(MAIN, '#info messages received from hosts.'),
  relay_upstream_connections_count: gauge(MAIN, 'Open connections to hosts.'),
  relay_upstream_dialing_count: gauge(MAIN, 'Connections to hosts being opened.'),
  relay_upstream_connects_total: counter(MAIN, 'Connections to hosts that were opened.'),
  relay_upstream_reconnects_total: counter(
    MAIN,
    'Connections opened to a host that had been connected before in this process.',
  ),
  relay_upstream_connect_failures_total: counterBy(
    MAIN,
    'cause',
    [
      'dns',
      'blocked',
      'refused',
      'timeout',
      'tls',
      'http',
      'redirect',
      'throttled',
      'relay',
      'other',
    ],
    'Attempts to connect to a host that failed, by cause.',
  ),
  relay_upstream_disconnects_total: counterBy(
    MAIN,
    'cause',
    [
      'closed',
      'abnormal',
      'reset',
      'protocol',
      'too_large',
      'error_frame',
      'idle',
      'strikes',
      'reject',
      'ping_flood',
      'unfinished',
      'stopped',
    ],
    'Connections to hosts that ended, by cause.',
  ),
  relay_upstream_strikes_total: counter(MAIN, 'Strikes given to hosts for malformed frames.'),
  relay_upstream_pauses_total: counterBy(
    MAIN,
    'cause',
    ['ring_full', 'rate', 'first_cursor', 'operator'],
    'Times a socket to a host was paused, by cause.',
  ),
  relay_upstream_paused_count: gauge(MAIN, 'Sockets to hosts that are paused.'),
  relay_upstream_parked_bytes: gauge(
    MAIN,
    'Bytes of frames parked in memory because their socket is paused.',
  ),
  relay_upstream_unfinished_bytes: gauge(
    MAIN,
    'Bytes of messages whose end has not arrived, over all hosts.',
  ),
  relay_upstream_skipped_frames_total: counter(
    MAIN,
    'Replayed frames skipped because the log has them already (G9).',
  ),
  relay_upstream_replay_entries_count: gauge(
    MAIN,
    'Events of the log kept to tell what hosts replay after an unclean stop.',
  ),
  relay_upstream_renumbered_total: counter(
    MAIN,
    'Times a host came back with lower seqs: it renumbered or ignores cursors (H39, H40).',
  ),
  relay_upstream_poison_frames_total: counter(
    MAIN,
    'Bad frames stepped over when they came again after a reconnect (A42).',
  ),
  relay_upstream_slots_exhausted_total: counter(
    MAIN,
    'Hosts that could not be subscribed to because all host slots are taken (D19).',
  ),

  // ring: main to verify to persist
  relay_ring_routed_frames_total: counter(MAIN, 'Frames handed to verify threads.'),
  relay_ring_routed_bytes_total: counter(MAIN, 'Bytes of frames handed to verify threads.'),
  relay_ring_ingest_full_total: counter(MAIN, 'Frames that found their ingest ring full.'),
  relay_ring_ingest_used_bytes: gauge(MAIN, 'Bytes that wait in the ingest rings.'),
  relay_ring_verified_full_total: counter(VERIFY, 'Events that found their verified ring full.'),
  relay_ring_verified_used_bytes: gauge(VERIFY, 'Bytes that wait in the verified rings.'),

  // verify, identity
  ...VERIFY_SERIES,

  // sequence and log
  relay_sequence_events_total: counterBy(
    PERSIST,
    'kind',
    KINDS,
    'Events that were given a seq, by kind.',
  ),
  relay_log_assigned_seq: gauge(
    PERSIST,
    'Last seq given (I0: assigned ≥ written ≥ durable ≥ published).',
  ),
  relay_log_written_seq: gauge(PERSIST, 'Last seq written to a segment.'),
  relay_log_durable_seq: gauge(PERSIST, 'Last seq whose batch survived fdatasync.'),
  relay_log_published_seq: gauge(
    MAIN,
    'Last seq handed to any consumer socket, or durable where there is no consumer.',
  ),
  relay_log_oldest_seq: gauge(PERSIST, 'Oldest seq in the log.'),
  relay_log_oldest_age_seconds: gauge(PERSIST, 'Age of the oldest segment.'),
  relay_log_fsync_seconds: histogram(PERSIST, SECONDS_FAST, 'Time of fdatasync per batch.'),
  relay_log_batches_total: counter(PERSIST, 'Batches appended.'),
  relay_log_batch_events_total: counter(PERSIST, 'Events in appended batches.'),
  relay_log_bytes_total: counter(PERSIST, 'Bytes appended to segments.'),
  relay_log_retained_bytes: gauge(PERSIST, 'Bytes of all segments.'),
  relay_log_active_bytes: gauge(PERSIST, 'Bytes of the active segment.'),
  relay_log_segments_count: gauge(PERSIST, 'Segments, with the active one.'),
  relay_log_segments_removed_total: counter(MAIN, 'Segments removed by retention.'),
  relay_log_removed_bytes_total: counter(MAIN, 'Bytes removed by retention.'),
  relay_log_append_failures_total: counterBy(
    PERSIST,
    'cause',
    ['no_space', 'quota', 'read_only', 'files', 'other'],
    'Appends that failed, by cause.',
  ),
  relay_log_paused: gauge(
    PERSIST,
    '1 while nothing can be appended, for want of space as a rule (G16).',
  ),
  relay_log_hidden_dids_count: gauge(MAIN, 'Accounts whose content readers do not get (G28).'),
  relay_log_free_bytes: gauge(MAIN, 'Room left on the disk of the log.'),
  relay_log_ballast_bytes: gauge(
    MAIN,
    'Bytes of the ballast file; 0 where there is none, or it was given back (G16).',
  ),
  relay_log_ballast_releases_total: counter(
    MAIN,
    'Times the ballast file was given back because the disk was full (G16).',
  ),
  relay_log_emergency_segments_total: counter(
    PERSIST,
    'Segments inside the replay window given up because the disk was full.',
  ),
  relay_log_corrupt_batches_total: counter(
    MAIN_PERSIST,
    'Batches whose checksum did not match when they were read (G24).',
  ),

  // broadcast
  relay_broadcast_consumers_count: gauge(MAIN, 'Connected consumers.'),
  relay_broadcast_frames_total: counter(MAIN, 'Frames handed to consumer sockets.'),
  relay_broadcast_bytes_total: counter(MAIN, 'Bytes handed to consumer sockets.'),
  relay_broadcast_writes_total: counter(
    MAIN,
    'Writes to consumer sockets; frames per write shows how well sends are gathered.',
  ),
  relay_broadcast_reads_total: counterBy(
    MAIN,
    'source',
    ['tail', 'segment'],
    'Pieces read for consumers, by where they came from.',
  ),
  relay_broadcast_buffered_bytes: gauge(MAIN, 'Bytes that wait in consumer sockets.'),
  relay_broadcast_lag_seq_max: gauge(
    MAIN,
    'How far the slowest consumer is behind the durable end.',
  ),
  relay_broadcast_lag_seconds_max: gauge(
    MAIN,
    'For how long the next event of the slowest consumer has been in the log.',
  ),
  relay_broadcast_delivery_seconds: histogram(
    MAIN,
    SECONDS_FAST,
    'From arrival of a frame to its first write to a consumer, sampled.',
  ),
  relay_broadcast_consumer_ends_total: counterBy(
    MAIN,
    'cause',
    [
      'closed',
      'abnormal',
      'future_cursor',
      'too_slow',
      'retention',
      'corrupt',
      'protocol',
      'ping',
      'admin',
      'stopped',
      'other',
    ],
    'Consumer connections that ended, by cause.',
  ),
  relay_broadcast_outdated_cursors_total: counter(
    MAIN,
    'Consumers that asked for a cursor older than the log.',
  ),
  relay_broadcast_refused_total: counterBy(
    MAIN,
    'cause',
    ['cursor', 'capacity', 'rate', 'not_ready'],
    'Consumer connections refused, by cause.',
  ),

  // hosts and accounts
  relay_hosts_state_count: gaugeBy(
    MAIN,
    'state',
    ['active', 'idle', 'offline', 'throttled', 'banned'],
    'Hosts by state.',
  ),
  relay_hosts_verify_seconds_total: counter(
    MAIN,
    'Time that verify threads spent on frames of hosts, as charged to their limits.',
  ),
  relay_hosts_limits_reached_total: counterBy(
    MAIN,
    'limit',
    [
      'eventsPerSecond',
      'eventsPerHour',
      'eventsPerDay',
      'bytesPerSecond',
      'bytesPerHour',
      'verifyMsPerMinute',
      'discontinuousPerHour',
    ],
    'Times a host reached a limit and is read later or slower, by limit (G19, CH-4).',
  ),
  relay_hosts_crawl_requests_total: counterBy(
    MAIN,
    'outcome',
    ['added', 'known', 'refused', 'banned', 'limited', 'unreachable'],
    'Calls of requestCrawl, by outcome.',
  ),
  relay_accounts_cached_count: gauge(VERIFY, 'Accounts whose state is in memory.'),
  relay_accounts_dirty_count: gauge(
    VERIFY,
    'Accounts whose newest state is not yet in PostgreSQL.',
  ),
  relay_accounts_loads_total: counter(
    VERIFY,
    'Account rows asked for because they were not in memory.',
  ),
  relay_accounts_status_checks_total: counterBy(
    VERIFY,
    'outcome',
    ['active', 'inactive', 'unknown', 'failed', 'skipped'],
    'Inactive accounts that write: what their host said, or that it was not asked (its budget).',
  ),
  relay_accounts_flushed_total: counter(VERIFY, 'Account rows written.'),

  // store
  relay_store_up: gauge(MAIN, '1 while PostgreSQL answers.'),
  relay_store_queries_total: counterBy(
    MAIN_VERIFY,
    'outcome',
    OUTCOMES,
    'Statements sent to PostgreSQL, by outcome.',
  ),
  relay_store_query_seconds: histogram(MAIN_VERIFY, SECONDS_FAST, 'Time of one statement.'),
  relay_store_wait_seconds: histogram(
    MAIN_VERIFY,
    SECONDS_FAST,
    'Time a statement waited for a free connection (D28).',
  ),
  relay_store_restarts_total: counter(
    MAIN,
    'Times the built-in PostgreSQL was started again after it died.',
  ),
  relay_store_checkpoint_seq: gauge(
    MAIN,
    'Log seq up to which state and cursors are in PostgreSQL.',
  ),
  relay_store_checkpoints_total: counterBy(MAIN, 'outcome', OUTCOMES, 'Checkpoints, by outcome.'),

  // http
  relay_http_requests_total: counterBy(
    MAIN,
    'status',
    ['2xx', '3xx', '4xx', '5xx'],
    'HTTP answers, by class of status.',
  ),
  relay_http_request_seconds: histogram(MAIN, SECONDS_FAST, 'Time to answer one HTTP request.'),

  // the process
  relay_thread_restarts_total: counterBy(
    MAIN,
    'role',
    ['verify', 'liveness'],
    'Threads replaced after they died or hung, by role.',
  ),
  relay_thread_heartbeat_age_seconds: gaugeBy(
    LIVENESS,
    'role',
    ['main', 'verify', 'persist'],
    'Time since the heartbeat of a thread last moved; the oldest of its role.',
  ),
  relay_thread_stall_seconds_total: counterBy(
    LIVENESS,
    'role',
    ['main', 'persist'],
    'Time a thread stood still for more than a second.',
  ),
  relay_thread_stalls_total: counterBy(
    LIVENESS,
    'role',
    ['main', 'persist'],
    'Times a thread stood still for more than a second.',
  ),
  relay_process_live: gauge(LIVENESS, 'What /_healthz answers: 1 is live.'),
  relay_process_ready: gauge(LIVENESS, 'What /_readyz answers: 1 is ready.'),
  relay_process_start_timestamp_seconds: gauge(MAIN, 'Unix time of the start.'),
  relay_loop_success_timestamp_seconds: {
    ...gaugeBy(
      MAIN_VERIFY,
      'loop',
      LOOP_NAMES,
      'Unix time a background loop last ended a pass well; the oldest of its threads (C1).',
    ),
    merge: 'least',
  },
  relay_loop_failures_total: counterBy(
    MAIN_VERIFY,
    'loop',
    LOOP_NAMES,
    'Passes of a background loop that failed.',
  ),
  relay_logging_dropped_lines_total: counter(
    ALL,
    'Log lines dropped because the reader of the output stalled.',
  ),
} as const satisfies Record<string, MetricRow>;

export type MetricFamily = keyof typeof CATALOG;
type Rows = typeof CATALOG;

/** `family`, or `family:value` for each value of its label. */
type SeriesOf<Family extends MetricFamily> = Rows[Family] extends {
  readonly label: { readonly values: readonly (infer Value extends string)[] };
}
  ? `${Family}:${Value}`
  : Family;

type FamiliesOf<Type extends MetricRow['type']> = {
  [Family in MetricFamily]: Rows[Family]['type'] extends Type ? Family : never;
}[MetricFamily];

/** Every counter and gauge. */
export type MetricName = {
  [Family in FamiliesOf<'counter' | 'gauge'>]: SeriesOf<Family>;
}[FamiliesOf<'counter' | 'gauge'>];

export type HistogramName = FamiliesOf<'histogram'>;

/** The reject counter's family; its rows come from the table of reject codes. */
export const REJECT_FAMILY = 'relay_reject_events_total';
/** G11: rejects of hosts on the trusted list are counted apart, those should be none. */
export const HOST_CLASSES = ['normal', 'trusted'] as const;
export type HostClass = (typeof HOST_CLASSES)[number];
