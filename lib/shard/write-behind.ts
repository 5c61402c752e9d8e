/**
 * Writes account state and identities to PostgreSQL behind the log, and tells main how far the
 * shard is done: `completed` passes an input only when it was rejected, or is durable in the log
 * *and* its account row is written. Cursors are saved from that, so nothing is lost (G9, G10).
 *
 *   note {last input taken, last event published, oldest held input}
 *   → wait until that event is durable and read back
 *   → write all dirty rows
 *   → completed = min(noted input, before the oldest held one)
 * @thread verify
 */
import type { Clock } from '../base/clock.ts';
import { type SupervisedLoop, supervise } from '../base/supervise.ts';
import { distance } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { PositionWriter } from '../shared/position.ts';
import type { AccountState } from '../store/account-rows.ts';
import type { IdentityRow } from '../store/identity-rows.ts';
import type { Account } from './account.ts';
import { accountToRow, identityRowOf } from './rows.ts';

const ROWS_PER_QUERY_MAX = 1000;
const POLL_MS = 5;

export type AccountSink = {
  upsertAccounts(rows: readonly AccountState[]): Promise<unknown>;
  upsertIdentities(rows: readonly IdentityRow[]): Promise<unknown>;
};

/** Where the shard stands; see the drawing above. */
export type Progress = {
  /** ingestNo of the last input that was answered or held. */
  takenNo(): number;
  /** ingestNo of the oldest input that waits; undefined when none does. */
  oldestHeldNo(): number | undefined;
  publishedPosition(): number;
  readBackPosition(): number;
};

export class WriteBehind {
  readonly #sink: AccountSink;
  readonly #progress: Progress;
  readonly #completed: PositionWriter;
  readonly #clock: Clock;
  readonly #metrics: MetricWriter;
  readonly #loop: SupervisedLoop;
  #dirty: Account[] = [];

  constructor(options: {
    sink: AccountSink;
    progress: Progress;
    completed: PositionWriter;
    clock: Clock;
    logger: Logger;
    metrics: MetricWriter;
    periodMs: number;
  }) {
    this.#sink = options.sink;
    this.#progress = options.progress;
    this.#completed = options.completed;
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    const pass = (signal: AbortSignal): Promise<void> => this.#pass(signal);
    this.#loop = supervise('account_flush', options.clock, options.logger, pass, {
      periodMs: options.periodMs,
      backoff: { delayMsMin: options.periodMs, delayMsMax: 2000 },
      onFailure: () => options.metrics.add('relay_loop_failures_total:account_flush'),
    });
  }

  get dirtyCount(): number {
    return this.#dirty.length;
  }

  /** `durable` or the identity of the account is newer than its row. */
  add(account: Account): void {
    if (account.isQueued) return;
    account.isQueued = true;
    this.#dirty.push(account);
  }

  /** Writes soon instead of at the next period. */
  wake(): void {
    this.#loop.wake();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const takenNo = this.#progress.takenNo();
    const heldNo = this.#progress.oldestHeldNo();
    const published = this.#progress.publishedPosition();
    while (distance(published, this.#progress.readBackPosition()) > 0) {
      if (signal.aborted) return;
      await this.#clock.sleep(POLL_MS);
    }
    await this.#flush();
    const isHeldOlder = heldNo !== undefined && distance(heldNo, takenNo) <= 0;
    const completedNo = isHeldOlder ? (heldNo - 1) | 0 : takenNo;
    if (completedNo !== this.#completed.last()) this.#completed.publish(completedNo);
  }

  async #flush(): Promise<void> {
    // Everything dirty at this moment; what becomes dirty later is in the next pass.
    let left = this.#dirty.length;
    while (left > 0) {
      const chunk = this.#dirty.splice(0, Math.min(left, ROWS_PER_QUERY_MAX));
      left -= chunk.length;
      await this.#write(chunk);
    }
  }

  async #write(accounts: readonly Account[]): Promise<void> {
    const rows: AccountState[] = [];
    const identities: IdentityRow[] = [];
    for (const account of accounts) {
      account.isQueued = false;
      if (account.isDirty) rows.push(accountToRow(account));
      const identity = account.isIdentityDirty ? identityRowOf(account) : undefined;
      if (identity !== undefined) identities.push(identity);
      account.isDirty = false;
      account.isIdentityDirty = false;
      account.flushCount += 1;
    }
    try {
      // An account is never ahead of the identity that named its host: recovery relies on it.
      if (identities.length > 0) await this.#sink.upsertIdentities(identities);
      if (rows.length > 0) await this.#sink.upsertAccounts(rows);
      this.#metrics.add('relay_accounts_flushed_total', rows.length);
    } catch (error) {
      for (const account of accounts) {
        // Both may be written twice: the rows are guarded by the log seq.
        account.isDirty = account.seq > 0;
        account.isIdentityDirty = true;
        this.add(account);
      }
      throw error;
    } finally {
      for (const account of accounts) account.flushCount -= 1;
    }
  }
}
