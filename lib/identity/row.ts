/**
 * An answer of the directory as a plain row and back. Pure; the SQL is in store/identity-rows.ts.
 * @thread any
 */
import { type EpochMs, toEpochMs } from '../base/units.ts';
import type { IdentityRecord, IdentityState } from './cache.ts';
import { keyFromText, keyToText } from './key.ts';

export type IdentityRow = {
  readonly did: string;
  readonly state: string;
  readonly pds_host: string | null;
  /** `k256:` or `p256:` and 33 bytes as base64url. */
  readonly signing_key: string | null;
  readonly handle: string | null;
  /** Wall-clock milliseconds since 1970. */
  readonly resolved_ms: number;
};

const STATES: ReadonlySet<string> = new Set<IdentityState>([
  'found',
  'not_found',
  'tombstoned',
  'document_bad',
]);

export function identityToRow(record: IdentityRecord): IdentityRow {
  const { identity } = record;
  return {
    did: record.did,
    state: record.state,
    pds_host: identity?.pdsHost ?? null,
    signing_key: identity?.key == null ? null : keyToText(identity.key),
    handle: identity?.handle ?? null,
    resolved_ms: record.resolvedMs,
  };
}

/** undefined for a row that is not ours to read: the DID is then looked up again. */
export function identityFromRow(row: IdentityRow): IdentityRecord | undefined {
  if (!isState(row.state) || !Number.isFinite(row.resolved_ms)) return undefined;
  const resolvedMs: EpochMs = toEpochMs(row.resolved_ms);
  if (row.state !== 'found') return { did: row.did, state: row.state, identity: null, resolvedMs };
  const key = row.signing_key === null ? null : keyFromText(row.signing_key);
  if (key === undefined) return undefined;
  const identity = { did: row.did, pdsHost: row.pds_host, key, handle: row.handle };
  return { did: row.did, state: row.state, identity, resolvedMs };
}

function isState(text: string): text is IdentityState {
  return STATES.has(text);
}
