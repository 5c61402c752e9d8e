/**
 * Accounts as rows of PostgreSQL and back. Pure.
 * @thread verify
 */
import type { MonoMs } from '../base/units.ts';
import { EMPTY_ENTRY, entryOfRecord, markChanged } from '../identity/cache.ts';
import { identityFromRow, identityToRow } from '../identity/row.ts';
import type { AccountRow, AccountState } from '../store/account-rows.ts';
import type { IdentityRow } from '../store/identity-rows.ts';
import { type Account, copyState, emptyState, type RepoState } from './account.ts';
import { applyDelta, type Delta } from './replay.ts';

/** The durable state of an account as its row. */
export function accountToRow(account: Account): AccountState {
  return stateToRow(account.did, account.durable, account.seq);
}

function stateToRow(did: string, state: RepoState, seq: number): AccountState {
  return {
    did,
    hostId: state.hostId,
    isUpstreamActive: state.isUpstreamActive,
    upstreamStatus: state.upstreamStatus,
    localStatus: state.localStatus,
    rev: textOrNull(state.rev),
    commitCid: textOrNull(state.commitCid),
    dataCid: textOrNull(state.dataCid),
    seq,
  };
}

/** The stored row (undefined: none yet) with what the log says on top. */
export function rowWithDelta(did: string, row: AccountRow | undefined, delta: Delta): AccountState {
  const state = emptyState();
  if (row !== undefined) readState(row, state);
  applyDelta(delta, state);
  return stateToRow(did, state, delta.seq);
}

/** Fills a fresh account from its row; without one it stays as new. */
export function fillAccount(account: Account, row: AccountRow | undefined, monoMs: MonoMs): void {
  if (row === undefined) return;
  readState(row, account.durable);
  copyState(account.durable, account.live);
  account.seq = row.seq;
  const record = row.identity === null ? undefined : identityFromRow(row.identity);
  const entry = record === undefined ? EMPTY_ENTRY : entryOfRecord(record);
  account.identity = row.identity?.is_stale === true ? markChanged(entry, monoMs) : entry;
}

function readState(row: AccountRow, state: RepoState): void {
  state.hostId = row.hostId;
  state.isUpstreamActive = row.isUpstreamActive;
  state.upstreamStatus = row.upstreamStatus;
  state.localStatus = row.localStatus;
  state.rev = row.rev ?? '';
  state.commitCid = row.commitCid ?? '';
  state.dataCid = row.dataCid ?? '';
}

/** The identity as its row; undefined while the directory has not answered yet. */
export function identityRowOf(account: Account): IdentityRow | undefined {
  const { record, markedMs } = account.identity;
  if (record === null) return undefined;
  return { ...identityToRow(record), is_stale: markedMs !== null };
}

function textOrNull(text: string): string | null {
  return text === '' ? null : text;
}
