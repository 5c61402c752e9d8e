/**
 * Looks identities up for the shard, and again until it succeeds or the frames that wait give up.
 * One look-up per account at a time; how many at once in total is the resolver's budget.
 * @thread verify
 */
import type { Clock } from '../base/clock.ts';
import { MINUTE_MS } from '../base/units.ts';
import { applyOutcome, type CachePolicy, noteForced } from '../identity/cache.ts';
import type { ResolveOutcome } from '../identity/outcome.ts';
import type { Logger } from '../logging/logger.ts';
import type { Account } from './account.ts';

/** `isFresh`: not from a cache on the way, nor from a request that is under way already. */
export type Resolver = { resolve(did: string, isFresh: boolean): Promise<ResolveOutcome> };

export class IdentityRefresher {
  readonly #resolver: Resolver;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #policy: CachePolicy;
  readonly #onDone: (account: Account) => void;
  #inFlightCount = 0;

  constructor(options: {
    resolver: Resolver;
    clock: Clock;
    logger: Logger;
    policy: CachePolicy;
    /** The account's identity entry has changed, by success or failure. */
    onDone: (account: Account) => void;
  }) {
    this.#resolver = options.resolver;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#policy = options.policy;
    this.#onDone = options.onDone;
  }

  get inFlightCount(): number {
    return this.#inFlightCount;
  }

  /** Starts a look-up unless one is under way; `onDone` follows. Never throws, never rejects. */
  start(account: Account, isForced: boolean): void {
    if (account.isResolving) return;
    account.isResolving = true;
    if (isForced) account.identity = noteForced(account.identity, this.#clock.monoMs());
    this.#inFlightCount += 1;
    // An error here is our bug: unhandled, it ends the thread.
    void this.#run(account, isForced);
  }

  /** Starts it at the time the last failure allows, at most a minute from now. */
  startLater(account: Account): void {
    const failedUntilMs = account.identity.failedUntilMs ?? 0;
    const delayMs = Math.min(Math.max(failedUntilMs - this.#clock.monoMs(), 100), MINUTE_MS);
    if (account.isRetryDue) return;
    account.isRetryDue = true;
    this.#clock.after(delayMs, () => {
      account.isRetryDue = false;
      if (account.isHeld) this.start(account, false);
    });
  }

  async #run(account: Account, isForced: boolean): Promise<void> {
    const startedMs = this.#clock.monoMs();
    const outcome = await this.#resolver.resolve(account.did, isForced);
    this.#inFlightCount -= 1;
    account.isResolving = false;
    const now = { epochMs: this.#clock.epochMs(), monoMs: this.#clock.monoMs() };
    account.identity = applyOutcome(account.identity, outcome, startedMs, now, this.#policy);
    if (outcome.kind === 'failed') {
      const fields = { did: account.did, code: outcome.why, detail: outcome.detail };
      this.#logger.debug(fields, 'identity look-up failed');
    } else {
      account.isIdentityDirty = true;
    }
    this.#onDone(account);
  }
}
