/**
 * The accounts of one shard that are in memory. Bounded by count; the clock algorithm throws out
 * what was not used lately, and never an account whose state exists nowhere else yet (pinned).
 * A look-up changes no structure, so the hot path does not churn the map.
 * @thread verify
 */
import { assert } from '../base/assert.ts';
import type { Account } from './account.ts';

export class AccountCache {
  readonly #countMax: number;
  readonly #byDid = new Map<string, Account>();
  readonly #clock: Account[] = [];
  #hand = 0;

  constructor(countMax: number) {
    assert(countMax >= 1, 'cache size');
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#clock.length;
  }

  get(did: string): Account | undefined {
    const account = this.#byDid.get(did);
    if (account !== undefined) account.isRecent = true;
    return account;
  }

  /** Adds an account; another one goes when the cache is full, unless all are pinned. */
  add(account: Account): void {
    assert(!this.#byDid.has(account.did), 'account is cached already');
    this.#byDid.set(account.did, account);
    if (this.#clock.length < this.#countMax) {
      this.#clock.push(account);
      return;
    }
    const victim = this.#findVictim();
    if (victim < 0) {
      // All pinned: too many dirty accounts, for which the shard stops reading anyway.
      this.#clock.push(account);
      return;
    }
    this.#byDid.delete((this.#clock[victim] as Account).did);
    this.#clock[victim] = account;
  }

  #findVictim(): number {
    // Two laps: the first may only clear marks.
    for (let step = 0; step < 2 * this.#clock.length; step++) {
      this.#hand = (this.#hand + 1) % this.#clock.length;
      const account = this.#clock[this.#hand] as Account;
      if (account.isPinned()) continue;
      if (!account.isRecent) return this.#hand;
      account.isRecent = false;
    }
    return -1;
  }
}
