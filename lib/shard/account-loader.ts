/**
 * Brings account rows into memory: everything asked for since the last query goes into the next
 * one. While PostgreSQL is down it waits; a frame is never rejected because a row is not there.
 * @thread verify
 */
import type { Clock } from '../base/clock.ts';
import { type SupervisedLoop, supervise } from '../base/supervise.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { AccountRow } from '../store/account-rows.ts';

const DIDS_PER_QUERY_MAX = 1000;
/** Whatever was asked for between a pass and its end is found this soon. */
const PERIOD_MS = 1000;

export type AccountSource = { loadAccounts(dids: readonly string[]): Promise<AccountRow[]> };

export class AccountLoader {
  readonly #wanted = new Set<string>();
  readonly #source: AccountSource;
  readonly #onLoaded: (did: string, row: AccountRow | undefined) => void;
  readonly #metrics: MetricWriter;
  readonly #loop: SupervisedLoop;

  constructor(options: {
    source: AccountSource;
    clock: Clock;
    logger: Logger;
    metrics: MetricWriter;
    onLoaded: (did: string, row: AccountRow | undefined) => void;
  }) {
    this.#source = options.source;
    this.#onLoaded = options.onLoaded;
    this.#metrics = options.metrics;
    this.#loop = supervise('account_load', options.clock, options.logger, () => this.#pass(), {
      periodMs: PERIOD_MS,
      backoff: { delayMsMin: 50, delayMsMax: 1000 },
      onFailure: () => options.metrics.add('relay_loop_failures_total:account_load'),
    });
  }

  /** Asks for one row; `onLoaded` follows, with no row for an account never seen. */
  want(did: string): void {
    this.#wanted.add(did);
    // A database that is down is not asked once per frame: the back-off stands.
    if (!this.#loop.isFailing()) this.#loop.wake();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async #pass(): Promise<void> {
    while (this.#wanted.size > 0) {
      const dids: string[] = [];
      for (const did of this.#wanted) {
        dids.push(did);
        if (dids.length === DIDS_PER_QUERY_MAX) break;
      }
      this.#metrics.add('relay_accounts_loads_total', dids.length);
      const rows = await this.#source.loadAccounts(dids);
      const byDid = new Map(rows.map((row) => [row.did, row]));
      for (const did of dids) {
        this.#wanted.delete(did);
        this.#onLoaded(did, byDid.get(did));
      }
    }
  }
}
