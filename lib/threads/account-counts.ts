/**
 * How many accounts each host has: derived from the rows, kept for some minutes because counting is
 * slow at the size of the network, and meanwhile raised by those that are reported new. A count
 * that cannot be had is null, never a reason to fail.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { RelayFault } from '../base/fault.ts';
import { MINUTE_MS, SECOND_MS } from '../base/units.ts';
import { countAccounts } from '../store/account-rows.ts';
import type { Database } from '../store/pool.ts';

const FRESH_MS = 5 * MINUTE_MS;
const IDS_PER_QUERY_MAX = 200;
/** A count and a report so close to each other may, or may not, mean the same account. */
const CROSSING_MS = 5 * SECOND_MS;
/** Counting takes longer the more there are: then it is done again less soon. */
const RECOUNT_MS_PER_ACCOUNT = 0.1;

type Known = {
  readonly count: number;
  /** When it was counted, and when one was last reported new. */
  readonly atMs: number;
  readonly addedMs: number;
};
const UNKNOWN: Known = {
  count: 0,
  atMs: Number.NEGATIVE_INFINITY,
  addedMs: Number.NEGATIVE_INFINITY,
};

export class AccountCounts {
  readonly #clock: Clock;
  readonly #database: () => Database;
  readonly #known = new Map<number, Known>();
  /** When hosts are counted again whose count and reports crossed each other. */
  readonly #doubtful = new Map<number, number>();

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
        const byHost = new Map(counted.map((row) => [row.hostId, row.accountCount]));
        for (const id of ids) this.#note(id, byHost.get(id) ?? 0, nowMs);
      }
    } catch (error) {
      if (!(error instanceof RelayFault)) throw error;
    }
  }

  /** Counts again where it is due; returns those hosts. */
  async recount(): Promise<number[]> {
    const nowMs = this.#clock.monoMs();
    const due = [...this.#doubtful].filter(([, dueMs]) => dueMs <= nowMs).map(([id]) => id);
    for (const id of due) {
      this.#doubtful.delete(id);
      this.#known.set(id, { ...(this.#known.get(id) ?? UNKNOWN), atMs: UNKNOWN.atMs });
    }
    await this.refresh(due);
    return due;
  }

  /**
   * Accounts that came since the last count. Just after it they may be in it: then they are left
   * out until it is done again, for a host that is too full by mistake would lose events.
   */
  add(hostId: number, accountCount: number): void {
    const nowMs = this.#clock.monoMs();
    const known = this.#known.get(hostId) ?? UNKNOWN;
    const isCrossing = nowMs - known.atMs < CROSSING_MS;
    const count = isCrossing ? known.count : known.count + accountCount;
    this.#known.set(hostId, { ...known, count, addedMs: nowMs });
    if (isCrossing) this.#doubt(hostId, count, nowMs);
  }

  #note(hostId: number, count: number, nowMs: number): void {
    const { addedMs } = this.#known.get(hostId) ?? UNKNOWN;
    this.#known.set(hostId, { count, atMs: nowMs, addedMs });
    // The row of an account is written a moment after it was reported.
    if (nowMs - addedMs < CROSSING_MS) this.#doubt(hostId, count, nowMs);
  }

  #doubt(hostId: number, count: number, nowMs: number): void {
    if (this.#doubtful.has(hostId)) return;
    this.#doubtful.set(hostId, nowMs + CROSSING_MS + count * RECOUNT_MS_PER_ACCOUNT);
  }

  /** The last count of a host, or null. */
  of(hostId: number): number | null {
    return this.#known.get(hostId)?.count ?? null;
  }
}
