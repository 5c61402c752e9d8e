/**
 * What is known of who may speak for an account when a frame of it comes, and when the directory
 * is asked before the frame is judged: an unknown DID, a document that is too old, `#identity`, or
 * a frame that does not fit what is known (a bad signature, another host). All of these may be
 * caused by strangers, so each has a budget: per account in time, per host in look-ups (LM-11).
 * Gives no verdict and does no I/O.
 * @thread verify
 */
import type { Clock } from '../base/clock.ts';
import {
  type CachePolicy,
  decideRefresh,
  type IdentityRecord,
  markChanged,
} from '../identity/cache.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { IngestRecord } from '../ring/ingest-record.ts';
import { KIND_IDENTITY } from '../wire/kinds.ts';
import { type Account, IDENTITY_EVENTS_BURST, MOVE_LOOKUPS_BURST } from './account.ts';

const IDENTITY_TOKEN_MS = 10_000;

export type IdentityGateOptions = {
  clock: Clock;
  metrics: MetricWriter;
  identityPolicy: CachePolicy;
  /** Whether frames of this host may cause one more look-up. */
  mayLookUp: (hostname: string) => boolean;
  /** Look the identity up; the frame waits for it only on `hold`. */
  refresh: (account: Account, isForced: boolean) => void;
  /** The same, when the directory may be asked again after its last failure. */
  refreshLater: (account: Account) => void;
};

/** What a frame is judged by, or that it waits, or why it cannot be judged. */
export type KnownIdentity = IdentityRecord | 'hold' | 'unresolved' | 'host_limited';

export class IdentityGate {
  readonly #options: IdentityGateOptions;
  readonly #movePolicy: CachePolicy;

  constructor(options: IdentityGateOptions) {
    this.#options = options;
    this.#movePolicy = { ...options.identityPolicy, forcedMsMin: 0 };
  }

  /**
   * #identity needs a document newer than itself; other events any that is in force. At the last
   * chance an old document stays in force.
   */
  identityFor(account: Account, record: IngestRecord, isLastChance: boolean): KnownIdentity {
    const { clock, metrics, refreshLater, identityPolicy } = this.#options;
    if (record.kind === KIND_IDENTITY && !isNewerThan(account, record)) {
      account.identity = markChanged(account.identity, clock.monoMs());
    }
    const known = account.identity.record;
    const decision = decideRefresh(account.identity, 'normal', this.#now(), identityPolicy);
    if (decision.action === 'use_and_refresh') this.#lookUp(account, record, false);
    if (decision.action === 'wait' && !isLastChance) {
      if (this.#lookUp(account, record, decision.isForced)) return 'hold';
      if (known === null) return 'host_limited';
    }
    if (decision.action === 'refuse' && !isLastChance) {
      refreshLater(account);
      return 'hold';
    }
    const isMoveHint =
      record.kind === KIND_IDENTITY && known?.identity?.pdsHost !== record.hostname;
    if (isMoveHint && this.#mayForceMove(account, record, isLastChance)) return 'hold';
    if (known === null) return 'unresolved';
    if (decision.action === 'wait') metrics.add('relay_identity_stale_uses_total');
    return known;
  }

  /**
   * One forced look-up for a frame that does not fit what is known: its signature is bad (SG-7).
   * True when the frame is to wait for it.
   */
  mayForce(account: Account, record: IngestRecord, isLastChance: boolean): boolean {
    if (isLastChance || isNewerThan(account, record)) return false;
    if (!this.#isForceDue(account, this.#options.identityPolicy)) return false;
    return this.#force(account, record);
  }

  /**
   * The same for a host that the document does not name (HO-4), now and then even if the last
   * look-up was a moment ago: an account that moves soon after some #identity must not lose the
   * events of its new host, its `active` least of all, nor keep those of the old one (H138, H140).
   * The budget is small, as any host may cause this.
   */
  mayForceForHost(account: Account, record: IngestRecord, isLastChance: boolean): boolean {
    return (
      this.mayForce(account, record, isLastChance) ||
      this.#mayForceMove(account, record, isLastChance)
    );
  }

  /** H152: so many #identity events of one DID, then one every ten seconds. */
  isFlooding(account: Account): boolean {
    const nowMs = this.#options.clock.monoMs();
    const gained = Math.floor((nowMs - account.identityTokensMs) / IDENTITY_TOKEN_MS);
    if (gained > 0) {
      account.identityTokens = Math.min(IDENTITY_EVENTS_BURST, account.identityTokens + gained);
      account.identityTokensMs = nowMs;
    }
    return account.identityTokens <= 0;
  }

  #mayForceMove(account: Account, record: IngestRecord, isLastChance: boolean): boolean {
    if (isLastChance || isNewerThan(account, record)) return false;
    if (!this.#isForceDue(account, this.#movePolicy)) return false;
    const { clock, identityPolicy } = this.#options;
    const nowMs = clock.monoMs();
    const gained = Math.floor((nowMs - account.moveTokensMs) / identityPolicy.forcedMsMin);
    if (gained > 0) {
      account.moveTokens = Math.min(MOVE_LOOKUPS_BURST, account.moveTokens + gained);
      account.moveTokensMs = nowMs;
    }
    if (account.moveTokens <= 0) return false;
    account.moveTokens -= 1;
    return this.#force(account, record);
  }

  #isForceDue(account: Account, policy: CachePolicy): boolean {
    return decideRefresh(account.identity, 'forced', this.#now(), policy).action === 'wait';
  }

  #force(account: Account, record: IngestRecord): boolean {
    if (!this.#lookUp(account, record, true)) return false;
    this.#options.metrics.add('relay_identity_forced_refreshes_total');
    return true;
  }

  /** Starts a look-up, or joins the one under way; false when the host has caused too many. */
  #lookUp(account: Account, record: IngestRecord, isForced: boolean): boolean {
    const { mayLookUp, metrics, refresh } = this.#options;
    if (!account.isResolving && !mayLookUp(record.hostname)) {
      metrics.add('relay_identity_host_limited_total');
      return false;
    }
    refresh(account, isForced);
    return true;
  }

  #now() {
    return { epochMs: this.#options.clock.epochMs(), monoMs: this.#options.clock.monoMs() };
  }
}

/** The answer of the directory came after the frame: asking again for it would tell nothing. */
function isNewerThan(account: Account, record: IngestRecord): boolean {
  const known = account.identity.record;
  return known !== null && known.resolvedMs >= record.arrivalMs;
}
