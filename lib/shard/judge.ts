/**
 * Judges one frame: accept it, reject it for one reason, or hold it until something is known.
 * All branching of ingest is here; the checks themselves are in wire, repo and verify. It changes
 * the account's `live` state on acceptance and nothing else.
 *
 *   decode → DID → account row (hold) → identity (hold) → authority → status → proof → accept
 * @thread verify
 */

import { effectiveStatus, isLocallyActive } from '../accounts/account.ts';
import { type Clock, isoTime } from '../base/clock.ts';
import { SECOND_MS } from '../base/units.ts';
import {
  type CachePolicy,
  decideRefresh,
  type IdentityRecord,
  markChanged,
} from '../identity/cache.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { RejectCode } from '../reject/codes.ts';
import { didVerdict } from '../repo/did.ts';
import type { IngestRecord } from '../ring/ingest-record.ts';
import { verifyCommit } from '../verify/commit.ts';
import { RepoResult, type VerifyContext } from '../verify/signed.ts';
import { verifySync } from '../verify/sync.ts';
import { decodeEvent, EventView } from '../wire/event.ts';
import { KIND_ACCOUNT, KIND_COMMIT, KIND_IDENTITY, KIND_SYNC, type Kind } from '../wire/kinds.ts';
import { NormalFrame, normalizeFrame, type Overrides } from '../wire/normalize.ts';
import { type Account, IDENTITY_EVENTS_BURST, MOVE_LOOKUPS_BURST } from './account.ts';
import type { HostMarks } from './host-costs.ts';

const IDENTITY_TOKEN_MS = 10_000;

export type Outcome = 'accepted' | 'rejected' | 'hold_state' | 'hold_identity';

export type JudgeOptions = {
  clock: Clock;
  metrics: MetricWriter;
  identityPolicy: CachePolicy;
  isInsecureAllowed: boolean;
  isStrict: boolean;
  /** How far a rev may be ahead of our clock, ms (CH-2). */
  revAheadMsMax: number;
  findAccount: (did: string) => Account | undefined;
  /** Look the identity up; the frame waits for it only on `hold_identity`. */
  refresh: (account: Account, isForced: boolean) => void;
  /** The same, when the directory may be asked again after its last failure. */
  refreshLater: (account: Account) => void;
};

export class Judge {
  readonly view = new EventView();
  readonly normal = new NormalFrame();
  /** Set when the outcome is `rejected`. */
  code: RejectCode = 'verify_failed';
  /** The account of the last frame, where it came so far. */
  account: Account | undefined;
  /** What the frame says of its host; set when the outcome is `accepted`. */
  readonly marks: HostMarks = { isDiscontinuous: false, isWaived: false, isNewAccount: false };
  readonly #options: JudgeOptions;
  readonly #movePolicy: CachePolicy;
  readonly #result = new RepoResult();

  constructor(options: JudgeOptions) {
    this.#options = options;
    this.#movePolicy = { ...options.identityPolicy, forcedMsMin: 0 };
  }

  /** Decodes and names the DID. The first half of a verdict: no state is looked at. */
  decode(frame: Buffer, kind: Kind): RejectCode | undefined {
    this.account = undefined;
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
    // Before anything is looked up for it: a host makes no work with DIDs beyond its limit (H150).
    if (record.isHostFull && isUnclaimed(account)) return this.#reject('account_host_throttled');
    if (record.kind === KIND_IDENTITY && this.#isFlooding(account)) {
      return this.#reject('identity_rate_limited');
    }
    const identity = this.#identityFor(account, record, isLastChance);
    if (identity === 'hold_identity' || identity === 'rejected') return identity;
    switch (record.kind) {
      case KIND_IDENTITY:
        return this.#judgeIdentity(frame, record, account, identity);
      case KIND_ACCOUNT:
        return this.#judgeAccount(frame, record, account, identity, isLastChance);
      default:
        return this.#judgeRepo(frame, record, account, identity, isLastChance);
    }
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

  /** #identity needs a document newer than itself; other events any that is in force. */
  #identityFor(
    account: Account,
    record: IngestRecord,
    isLastChance: boolean,
  ): IdentityRecord | 'hold_identity' | 'rejected' {
    if (record.kind === KIND_IDENTITY && !this.#isNewerThan(account, record)) {
      account.identity = markChanged(account.identity, this.#options.clock.monoMs());
    }
    const decision = decideRefresh(account.identity, 'normal', this.#now(), this.#policy());
    if (decision.action === 'use_and_refresh') this.#options.refresh(account, false);
    if (decision.action === 'wait' && !isLastChance) {
      this.#options.refresh(account, decision.isForced);
      return 'hold_identity';
    }
    if (decision.action === 'refuse' && !isLastChance) {
      this.#options.refreshLater(account);
      return 'hold_identity';
    }
    const known = account.identity.record;
    const isMoveHint =
      record.kind === KIND_IDENTITY && known?.identity?.pdsHost !== record.hostname;
    if (isMoveHint && this.#mayForceMove(account, record, isLastChance)) return 'hold_identity';
    if (known === null) return this.#reject('identity_unresolved');
    if (decision.action === 'wait') this.#options.metrics.add('relay_identity_stale_uses_total');
    return known;
  }

  /** The answer of the directory came after the frame: asking again for it would tell nothing. */
  #isNewerThan(account: Account, record: IngestRecord): boolean {
    const known = account.identity.record;
    return known !== null && known.resolvedMs >= record.arrivalMs;
  }

  /** One forced look-up for a frame that does not fit what is known (SG-7, HO-4). */
  #mayForce(account: Account, record: IngestRecord, isLastChance: boolean): boolean {
    if (isLastChance || this.#isNewerThan(account, record)) return false;
    if (!this.#isForceDue(account, this.#policy())) return false;
    this.#force(account);
    return true;
  }

  /**
   * The same for a host that the document does not name, now and then even if the last look-up was
   * a moment ago: an account that moves soon after some #identity must not lose the events of its
   * new host, its `active` least of all, nor keep those of the old one (H138, H140). The budget is
   * small, as any host may cause this.
   */
  #mayForceMove(account: Account, record: IngestRecord, isLastChance: boolean): boolean {
    if (isLastChance || this.#isNewerThan(account, record)) return false;
    if (!this.#isForceDue(account, this.#movePolicy)) return false;
    const nowMs = this.#options.clock.monoMs();
    const gained = Math.floor((nowMs - account.moveTokensMs) / this.#policy().forcedMsMin);
    if (gained > 0) {
      account.moveTokens = Math.min(MOVE_LOOKUPS_BURST, account.moveTokens + gained);
      account.moveTokensMs = nowMs;
    }
    if (account.moveTokens <= 0) return false;
    account.moveTokens -= 1;
    this.#force(account);
    return true;
  }

  #isForceDue(account: Account, policy: CachePolicy): boolean {
    return decideRefresh(account.identity, 'forced', this.#now(), policy).action === 'wait';
  }

  #force(account: Account): void {
    this.#options.metrics.add('relay_identity_forced_refreshes_total');
    this.#options.refresh(account, true);
  }

  /** Where a host's own `time` is none (#identity and #account only, H51). */
  #nowText(): string {
    return isoTime(this.#options.clock.epochMs());
  }

  #now() {
    return { epochMs: this.#options.clock.epochMs(), monoMs: this.#options.clock.monoMs() };
  }

  #policy(): CachePolicy {
    return this.#options.identityPolicy;
  }

  /** H152: so many #identity events of one DID, then one every ten seconds. */
  #isFlooding(account: Account): boolean {
    const nowMs = this.#options.clock.monoMs();
    const gained = Math.floor((nowMs - account.identityTokensMs) / IDENTITY_TOKEN_MS);
    if (gained > 0) {
      account.identityTokens = Math.min(IDENTITY_EVENTS_BURST, account.identityTokens + gained);
      account.identityTokensMs = nowMs;
    }
    return account.identityTokens <= 0;
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
      localStatus: account.localStatus,
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
    const mayForce =
      this.#mayForce(account, record, isLastChance) ||
      this.#mayForceMove(account, record, isLastChance);
    if (mayForce) return 'hold_identity';
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
    if (!isLocallyActive(account.localStatus)) return this.#reject('account_takendown');
    if (!account.live.isUpstreamActive) return this.#reject('account_inactive');
    const key = known.identity?.key ?? null;
    if (key === null) {
      if (this.#mayForce(account, record, isLastChance)) return 'hold_identity';
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
      if (isKeyDoubtful && this.#mayForce(account, record, isLastChance)) return 'hold_identity';
      return this.#reject(code);
    }
    const outcome = this.#accept(frame, {});
    if (outcome === 'accepted') this.#applyRepo(record, account);
    return outcome;
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
  }

  #accept(frame: Buffer, overrides: Overrides): Outcome {
    const isTimeOurs = !this.view.isTimeValid;
    const changes = isTimeOurs ? { ...overrides, time: this.#nowText() } : overrides;
    const bad = normalizeFrame(frame, this.view, changes, this.normal);
    return bad === undefined ? 'accepted' : this.#reject(bad);
  }
}

/** No host has spoken for the account with authority yet. */
function isUnclaimed(account: Account): boolean {
  return account.live.hostId === 0;
}
