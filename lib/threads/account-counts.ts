/**
 * How many accounts each host has: derived from the rows, kept for some minutes because counting is
 * slow at the size of the network, and meanwhile raised by those that are reported new. A count
 * that cannot be had is null, never a reason to fail.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { RelayFault } from '../base/fault.ts';
import { MINUTE_MS } from '../base/units.ts';
import { countAccounts } from '../store/account-rows.ts';
import type { Database } from '../store/pool.ts';

const FRESH_MS = 5 * MINUTE_MS;
const IDS_PER_QUERY_MAX = 200;

export class AccountCounts {
  readonly #clock: Clock;
  readonly #database: () => Database;
  readonly #known = new Map<number, { readonly count: number; readonly atMs: number }>();

  constructor(clock: Clock, database: () => Database) {
    this.#clock = clock;
    this.#database = database;
  }

  /** Makes the counts of these hosts fresh, as far as the database can count them in time. */
  async refresh(hostIds: readonly number[]): Promise<void> {
    const nowMs = this.#clock.monoMs();
    const stale = hostIds.filter((id) => {
      const known = this.#known.get(id);
      return known === undefined || nowMs - known.atMs > FRESH_MS;
    });
    try {
      for (let i = 0; i < stale.length; i += IDS_PER_QUERY_MAX) {
        const ids = stale.slice(i, i + IDS_PER_QUERY_MAX);
        const counted = await countAccounts(this.#database(), ids);
        for (const id of ids) this.#known.set(id, { count: 0, atMs: nowMs });
        for (const { hostId, accountCount } of counted) {
          this.#known.set(hostId, { count: accountCount, atMs: nowMs });
        }
      }
    } catch (error) {
      if (!(error instanceof RelayFault)) throw error;
    }
  }

  /** Accounts that came since the last count; the next one finds them in the rows. */
  add(hostId: number, accountCount: number): void {
    const known = this.#known.get(hostId) ?? { count: 0, atMs: Number.NEGATIVE_INFINITY };
    this.#known.set(hostId, { ...known, count: known.count + accountCount });
  }

  /** The last count of a host, or null. */
  of(hostId: number): number | null {
    return this.#known.get(hostId)?.count ?? null;
  }
}
