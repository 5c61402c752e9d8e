/**
 * Judges one frame: accept it, reject it for one reason, or hold it until something is known.
 * All branching of ingest is here; the checks themselves are in wire, repo and verify. It changes
 * the account's `live` state on acceptance and nothing else.
 *
 *   decode → DID → account row (hold) → identity (hold) → authority → status → proof → accept
 * @thread verify
 */

import { effectiveStatus, isLocallyActive } from '../accounts/account.ts';
import { statusCodeOf } from '../accounts/status-code.ts';
import { isoTime } from '../base/clock.ts';
import { SECOND_MS } from '../base/units.ts';
import type { IdentityRecord } from '../identity/cache.ts';
import type { RejectCode } from '../reject/codes.ts';
import { didVerdict } from '../repo/did.ts';
import { type Control, decodeControl } from '../ring/control-record.ts';
import type { IngestRecord } from '../ring/ingest-record.ts';
import { verifyCommit } from '../verify/commit.ts';
import { RepoResult, type VerifyContext } from '../verify/signed.ts';
import { verifySync } from '../verify/sync.ts';
import { decodeEvent, EventView } from '../wire/event.ts';
import { KIND_ACCOUNT, KIND_COMMIT, KIND_IDENTITY, KIND_SYNC, type Kind } from '../wire/kinds.ts';
import { NormalFrame, normalizeFrame, type Overrides } from '../wire/normalize.ts';
import type { Account } from './account.ts';
import type { HostMarks } from './host-costs.ts';
import { IdentityGate, type IdentityGateOptions } from './identity-gate.ts';
import { OwnEvent } from './own-event.ts';
import type { StatusVerdict } from './status-checks.ts';

/** `decided`: an operator's decision was carried out, or held already. */
export type Outcome = 'accepted' | 'rejected' | 'hold_state' | 'hold_identity' | 'decided';

export type JudgeOptions = IdentityGateOptions & {
  isInsecureAllowed: boolean;
  isStrict: boolean;
  /** How far a rev may be ahead of our clock, ms (CH-2). */
  revAheadMsMax: number;
  findAccount: (did: string) => Account | undefined;
  /** Whether the host says, when asked, that an inactive account is active after all. */
  checkStatus: (account: Account, record: IngestRecord, mayWait: boolean) => StatusVerdict;
};

export class Judge {
  readonly view = new EventView();
  readonly normal = new NormalFrame();
  /** Set when the outcome is `rejected`. */
  code: RejectCode = 'verify_failed';
  /** The account of the last frame, where it came so far. */
  account: Account | undefined;
  /** What ring and log keep with an accepted #account; 0 for every other event. */
  statusCode = 0;
  /** Goes out before the frame, or instead of it; final unless the outcome is a hold. */
  readonly own = new OwnEvent();
  /** What the frame says of its host; set when the outcome is `accepted`. */
  readonly marks: HostMarks = { isDiscontinuous: false, isWaived: false, isNewAccount: false };
  readonly #options: JudgeOptions;
  readonly #gate: IdentityGate;
  readonly #result = new RepoResult();
  #control: Control = { did: '', localStatus: null };

  constructor(options: JudgeOptions) {
    this.#options = options;
    this.#gate = new IdentityGate(options);
  }

  /** Decodes and names the DID. The first half of a verdict: no state is looked at. */
  decode(frame: Buffer, kind: Kind): RejectCode | undefined {
    this.account = undefined;
    this.own.clear();
    this.statusCode = 0;
    this.#clearMarks();
    const bad = decodeEvent(frame, kind, this.view);
    if (bad !== undefined) return bad;
    return didVerdict(this.view.did, { isInsecure: this.#options.isInsecureAllowed });
  }

  /**
   * The second half, for the frame that `decode` has just read. With `isLastChance` a frame is not
   * held for its identity any more: an old document stays in force, without one it is rejected.
   */
  judge(frame: Buffer, record: IngestRecord, isLastChance: boolean): Outcome {
    const account = this.#options.findAccount(this.view.did);
    if (account === undefined) return 'hold_state';
    this.account = account;
    const outcome = this.#decide(frame, record, account, isLastChance);
    if (outcome === 'accepted' || outcome === 'rejected') this.#noteTombstone(account);
    return outcome;
  }

  #decide(frame: Buffer, record: IngestRecord, account: Account, isLastChance: boolean): Outcome {
    // Before anything is looked up for it: a host makes no work with DIDs beyond its limit (H150).
    if (record.isHostFull && isUnclaimed(account)) return this.#reject('account_host_throttled');
    if (record.kind === KIND_IDENTITY && this.#gate.isFlooding(account)) {
      return this.#reject('identity_rate_limited');
    }
    const identity = this.#gate.identityFor(account, record, isLastChance);
    if (identity === 'hold') return 'hold_identity';
    if (identity === 'unresolved') return this.#reject('identity_unresolved');
    if (identity === 'host_limited') return this.#reject('identity_host_limited');
    switch (record.kind) {
      case KIND_IDENTITY:
        return this.#judgeIdentity(frame, record, account, identity);
      case KIND_ACCOUNT:
        return this.#judgeAccount(frame, record, account, identity, isLastChance);
      default:
        return this.#judgeRepo(frame, record, account, identity, isLastChance);
    }
  }

  /** Reads a decision and names its DID, as `decode` does for a frame. */
  decodeControl(payload: Buffer): void {
    this.account = undefined;
    this.own.clear();
    this.statusCode = 0;
    this.#clearMarks();
    this.#control = decodeControl(payload);
    this.view.did = this.#control.did;
  }

  /**
   * Carries out the decision that `decodeControl` has just read: our status of the account, told
   * to the network by an #account of ours with what then holds (AC-6). Not for an account that was
   * never shown, and nothing where it holds already.
   */
  decide(): Outcome {
    const { did, localStatus } = this.#control;
    const account = this.#options.findAccount(did);
    if (account === undefined) return 'hold_state';
    this.account = account;
    const { live } = account;
    if (isUnclaimed(account) || live.localStatus === localStatus) return 'decided';
    live.localStatus = localStatus;
    this.own.set(account, live, 'decided', this.#nowText());
    return 'decided';
  }

  /** AC-8, H147: a DID that is gone means `deleted`; said once, of an account that was shown. */
  #noteTombstone(account: Account): void {
    const { live, identity } = account;
    if (identity.record?.state !== 'tombstoned' || isUnclaimed(account)) return;
    if (!live.isUpstreamActive && live.upstreamStatus === 'deleted') return;
    live.isUpstreamActive = false;
    live.upstreamStatus = 'deleted';
    this.own.set(account, live, 'tombstoned', this.#nowText());
  }

  #clearMarks(): void {
    this.marks.isDiscontinuous = false;
    this.marks.isWaived = false;
    this.marks.isNewAccount = false;
  }

  #reject(code: RejectCode): 'rejected' {
    this.code = code;
    return 'rejected';
  }

  /** Where a host's own `time` is none (#identity and #account only, H51). */
  #nowText(): string {
    return isoTime(this.#options.clock.epochMs());
  }

  #judgeIdentity(
    frame: Buffer,
    record: IngestRecord,
    account: Account,
    known: IdentityRecord,
  ): Outcome {
    if (known.state === 'not_found') return this.#reject('identity_not_found');
    if (known.state === 'document_bad') return this.#reject('identity_document_bad');
    // A handle is passed on only from the account's own host (ID-4, H151).
    const isForeign = known.identity?.pdsHost !== record.hostname;
    account.identityTokens -= 1;
    return this.#accept(frame, isForeign ? { dropHandle: true } : {});
  }

  #judgeAccount(
    frame: Buffer,
    record: IngestRecord,
    account: Account,
    known: IdentityRecord,
    isLastChance: boolean,
  ): Outcome {
    const authority = this.#checkAuthority(record, account, known, isLastChance);
    if (authority !== undefined) return authority;
    const { active, hasStatus, status } = this.view;
    const upstreamStatus = hasStatus ? status : null;
    const shown = effectiveStatus({
      localStatus: account.live.localStatus,
      isUpstreamActive: active,
      upstreamStatus,
    });
    const isChanged = shown.isActive !== active || shown.status !== upstreamStatus;
    const overrides = isChanged ? { active: shown.isActive, status: shown.status } : {};
    const outcome = this.#accept(frame, overrides);
    if (outcome === 'accepted') {
      this.marks.isNewAccount = isUnclaimed(account);
      account.live.hostId = record.hostId;
      account.live.isUpstreamActive = active;
      account.live.upstreamStatus = upstreamStatus;
      this.statusCode = statusCodeOf(account.live);
      const { statusCheck } = account;
      // What the host answered before it said this is of no use any more.
      const isOutdated = statusCheck !== null && statusCheck.askedEpochMs < record.arrivalMs;
      if (isOutdated) account.statusCheck = { ...statusCheck, isActive: false };
    }
    return outcome;
  }

  /** The event must come from the host that the document names (HO-1, AC-9). */
  #checkAuthority(
    record: IngestRecord,
    account: Account,
    known: IdentityRecord,
    isLastChance: boolean,
  ): 'hold_identity' | 'rejected' | undefined {
    if (known.identity?.pdsHost === record.hostname) return undefined;
    if (this.#gate.mayForceForHost(account, record, isLastChance)) return 'hold_identity';
    if (known.state === 'not_found') return this.#reject('identity_not_found');
    if (known.state === 'tombstoned') return this.#reject('identity_tombstoned');
    if (known.state === 'document_bad') return this.#reject('identity_document_bad');
    if (known.identity?.pdsHost == null) return this.#reject('identity_pds_missing');
    return this.#reject('host_not_authority');
  }

  #judgeRepo(
    frame: Buffer,
    record: IngestRecord,
    account: Account,
    known: IdentityRecord,
    isLastChance: boolean,
  ): Outcome {
    const authority = this.#checkAuthority(record, account, known, isLastChance);
    if (authority !== undefined) return authority;
    if (!isLocallyActive(account.live.localStatus)) return this.#reject('account_takendown');
    const isRevived = !account.live.isUpstreamActive;
    if (isRevived) {
      const verdict = this.#options.checkStatus(account, record, !isLastChance);
      if (verdict === 'wait') return 'hold_identity';
      if (verdict === 'no') return this.#reject('account_inactive');
    }
    const key = known.identity?.key ?? null;
    if (key === null) {
      if (this.#gate.mayForce(account, record, isLastChance)) return 'hold_identity';
      return this.#reject('identity_key_missing');
    }
    const { live } = account;
    const context = {
      key,
      known: live.rev === '' ? null : live,
      epochMs: this.#options.clock.epochMs(),
      revAheadMsMax: this.#options.revAheadMsMax,
      isStrict: this.#options.isStrict && !record.isLenient,
    };
    const code = this.#verify(frame, record, context);
    if (code !== undefined) {
      const isKeyDoubtful = code === 'commit_signature_bad';
      if (isKeyDoubtful && this.#gate.mayForce(account, record, isLastChance))
        return 'hold_identity';
      return this.#reject(code);
    }
    const outcome = this.#accept(frame, {});
    if (outcome !== 'accepted') return outcome;
    if (isRevived) this.#revive(record, account);
    this.#applyRepo(record, account);
    return outcome;
  }

  /** AC-12, H155: the #account that switched it on was missed, so we say it before the commit. */
  #revive(record: IngestRecord, account: Account): void {
    const { live } = account;
    live.hostId = record.hostId;
    live.isUpstreamActive = true;
    live.upstreamStatus = null;
    this.own.set(account, live, 'reactivated', this.#nowText());
  }

  #verify(frame: Buffer, record: IngestRecord, context: VerifyContext): RejectCode | undefined {
    if (record.kind === KIND_SYNC) return verifySync(frame, this.view, context, this.#result);
    const { clock, metrics } = this.#options;
    const startMs = clock.monoMs();
    const code = verifyCommit(frame, this.view, context, this.#result);
    metrics.observe('relay_verify_commit_seconds', (clock.monoMs() - startMs) / SECOND_MS);
    return code;
  }

  #applyRepo(record: IngestRecord, account: Account): void {
    const { live } = account;
    const result = this.#result;
    this.marks.isNewAccount = isUnclaimed(account);
    this.marks.isDiscontinuous = record.kind === KIND_COMMIT && result.isDiscontinuous;
    this.marks.isWaived = record.kind === KIND_COMMIT && result.isWaived;
    live.hostId = record.hostId;
    live.rev = result.rev;
    live.commitCid = result.commitCid;
    live.dataCid = result.dataCid;
    const { metrics } = this.#options;
    if (this.marks.isDiscontinuous) metrics.add('relay_verify_discontinuous_commits_total');
    if (this.marks.isWaived) metrics.add('relay_verify_waived_commits_total');
    if (result.isNoChange) metrics.add('relay_verify_no_change_commits_total');
    if (result.unlinkedBlocks > 0) {
      metrics.add('relay_verify_unlinked_blocks_total', result.unlinkedBlocks);
    }
  }

  #accept(frame: Buffer, overrides: Overrides): Outcome {
    const isTimeOurs = !this.view.isTimeValid;
    const changes = isTimeOurs ? { ...overrides, time: this.#nowText() } : overrides;
    const bad = normalizeFrame(frame, this.view, changes, this.normal);
    if (bad !== undefined) return this.#reject(bad);
    if (!this.view.isSorted) this.#options.metrics.add('relay_verify_unsorted_events_total');
    return 'accepted';
  }
}

/** No host has spoken for the account with authority yet. */
function isUnclaimed(account: Account): boolean {
  return account.live.hostId === 0;
}
