/**
 * Series of what is done to frames in the verify threads: the verdicts, and the look-ups of who may
 * speak for an account. A part of the table in catalog.ts, which says how to read a row.
 * @thread any
 */
import { counter, counterBy, gauge, gaugeBy, histogram, type MetricRow } from './row.ts';

const VERIFY = ['verify'] as const;
const MAIN_VERIFY = ['main', 'verify'] as const;
/** Kinds of events. */
export const KINDS = ['commit', 'sync', 'identity', 'account'] as const;

const SECONDS_TINY = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 1] as const;
const SECONDS_SLOW = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

export const VERIFY_SERIES = {
  // verify
  relay_verify_events_total: counterBy(
    VERIFY,
    'kind',
    KINDS,
    'Events that passed verification, by kind.',
  ),
  relay_verify_own_events_total: counterBy(
    VERIFY,
    'cause',
    ['reactivated', 'tombstoned', 'decided'],
    'Events (#account) of our own, by why: not said by the host, a DID gone, decided here.',
  ),
  relay_verify_bytes_total: counter(VERIFY, 'Bytes of frames that were judged.'),
  relay_verify_discontinuous_commits_total: counter(
    VERIFY,
    'Commits accepted whose prevData or since is not the last state known.',
  ),
  relay_verify_waived_commits_total: counter(
    VERIFY,
    'Commits accepted from lenient hosts that a strict verdict would have refused (A12, A14).',
  ),
  relay_verify_no_change_commits_total: counter(
    VERIFY,
    'Commits accepted that change nothing in the tree.',
  ),
  relay_verify_unsorted_events_total: counter(
    VERIFY,
    'Events accepted whose envelope had keys out of order; they go out in order (A25).',
  ),
  relay_verify_unlinked_blocks_total: counter(
    VERIFY,
    'Blocks of accepted events to which nothing in the event leads (CA-3).',
  ),
  relay_verify_commit_seconds: histogram(VERIFY, SECONDS_TINY, 'Time to verify one commit.'),
  relay_verify_held_frames: gauge(VERIFY, 'Frames held until a key or an account row arrives.'),
  relay_verify_held_bytes: gauge(VERIFY, 'Bytes of held frames.'),
  relay_verify_holds_total: counterBy(
    VERIFY,
    'cause',
    ['identity', 'state', 'behind'],
    'Frames held, by cause.',
  ),
  relay_verify_arena_full_total: counter(VERIFY, 'Times the held arena was full.'),
  relay_verify_reports_dropped_total: counter(
    VERIFY,
    'Reports of rejected frames that main did not take in time (the rejects are counted).',
  ),
  relay_verify_quarantined_frames_total: counter(
    VERIFY,
    'Frames written to the quarantine folder (G12).',
  ),
  relay_verify_signature_backend: gaugeBy(
    VERIFY,
    'backend',
    ['native', 'wasm', 'openssl'],
    'Verify threads using each secp256k1 implementation.',
  ),

  // identity
  relay_identity_resolves_total: counterBy(
    VERIFY,
    'outcome',
    [
      'ok',
      'not_found',
      'tombstoned',
      'bad_document',
      'blocked',
      'timeout',
      'throttled',
      'http',
      'network',
      'answer_bad',
      'overloaded',
      'paused',
      'closed',
      'internal',
    ],
    'Look-ups of DID documents, by outcome.',
  ),
  relay_identity_resolve_seconds: histogram(
    VERIFY,
    SECONDS_SLOW,
    'Time of one look-up of a DID document.',
  ),
  relay_identity_in_flight_count: gauge(VERIFY, 'Look-ups of DID documents under way.'),
  relay_identity_wait_seconds: histogram(
    VERIFY,
    SECONDS_SLOW,
    'Time a look-up of a DID document waited for its turn.',
  ),
  relay_identity_queued_count: gauge(VERIFY, 'Look-ups of DID documents that wait for a turn.'),
  relay_identity_coalesced_total: counter(
    VERIFY,
    'Look-ups of DID documents that joined one under way.',
  ),
  relay_identity_retries_total: counter(VERIFY, 'Requests for DID documents that were repeated.'),
  relay_identity_pauses_total: counter(
    VERIFY,
    'Times the directory or a did:web host was left alone after failures or as it asked.',
  ),
  relay_identity_dns_queries_total: counterBy(
    MAIN_VERIFY,
    'outcome',
    ['ok', 'not_found', 'timeout', 'failed', 'blocked', 'overloaded', 'closed'],
    'Look-ups of host names, by outcome.',
  ),
  relay_identity_dns_hits_total: counter(
    MAIN_VERIFY,
    'Look-ups of host names answered from the cache.',
  ),
  relay_identity_forced_refreshes_total: counter(
    VERIFY,
    'Look-ups forced by a signature that did not verify.',
  ),
  relay_identity_host_limited_total: counter(
    VERIFY,
    'Look-ups not made because frames of one host had caused too many (LM-11).',
  ),
  relay_identity_stale_uses_total: counter(
    VERIFY,
    'Times an old document stayed in force because the directory failed.',
  ),
} as const satisfies Record<string, MetricRow>;
