/**
 * Asks the host when an account that it had declared inactive writes all the same (AC-12): the
 * `#account` that switched it on may have been missed. A sample, never a queue: one question per
 * account and interval whatever the answer, so many per host and minute, so many at once; a frame
 * beyond that is dropped as before. Keeps the last answer in the account.
 * @thread verify
 */
import type { RepoStatusSource } from '../accounts/repo-status.ts';
import type { Clock } from '../base/clock.ts';
import { MINUTE_MS } from '../base/units.ts';
import { HostBudget } from '../identity/host-budget.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { IngestRecord } from '../ring/ingest-record.ts';
import type { Account } from './account.ts';

const HOSTS_MAX = 10_000;

export type StatusChecksOptions = {
  readonly source: RepoStatusSource;
  readonly clock: Clock;
  readonly metrics: MetricWriter;
  /** Least time between two questions for one account. */
  readonly intervalMs: number;
  /** Questions to one host; 0: none at all. */
  readonly perHostMinuteMax: number;
  readonly concurrencyMax: number;
  /** An answer is there; frames of the account may be judged again. */
  readonly onDone: (account: Account) => void;
};

/** wait: the answer is on its way. active: the host says so. no: nothing speaks for it. */
export type StatusVerdict = 'wait' | 'active' | 'no';

export class StatusChecks {
  readonly #options: StatusChecksOptions;
  readonly #budget: HostBudget | undefined;
  #activeCount = 0;

  constructor(options: StatusChecksOptions) {
    this.#options = options;
    const burst = options.perHostMinuteMax;
    if (burst < 1) return;
    this.#budget = new HostBudget({ burst, tokenMs: MINUTE_MS / burst, hostsMax: HOSTS_MAX });
  }

  get activeCount(): number {
    return this.#activeCount;
  }

  /**
   * Whether the host of this input, which speaks for the account, says that it is active. With
   * `mayWait` it is asked where that is allowed.
   */
  verdict(account: Account, record: IngestRecord, mayWait: boolean): StatusVerdict {
    const { clock, intervalMs, metrics } = this.#options;
    const { statusCheck } = account;
    if (account.isCheckingStatus) return mayWait ? 'wait' : 'no';
    if (statusCheck !== null) {
      const isRecent = clock.monoMs() - statusCheck.askedMs < intervalMs;
      // Asked for this very frame, or a moment ago.
      const isFor = statusCheck.askedEpochMs >= record.arrivalMs;
      if (isFor || isRecent) return statusCheck.isActive ? 'active' : 'no';
    }
    if (!mayWait) return 'no';
    if (this.#budget === undefined) return 'no';
    const isBusy = this.#activeCount >= this.#options.concurrencyMax;
    if (isBusy || !this.#budget.take(record.hostname, clock.monoMs())) {
      metrics.add('relay_accounts_status_checks_total:skipped');
      return 'no';
    }
    // An error here is our bug: unhandled, it ends the thread.
    void this.#ask(account, record.hostname);
    return 'wait';
  }

  async #ask(account: Account, hostname: string): Promise<void> {
    const { clock, source, metrics, onDone } = this.#options;
    const [askedMs, askedEpochMs] = [clock.monoMs(), clock.epochMs()];
    account.isCheckingStatus = true;
    this.#activeCount += 1;
    const answer = await source.ask(hostname, account.did);
    this.#activeCount -= 1;
    account.isCheckingStatus = false;
    account.statusCheck = { askedMs, askedEpochMs, isActive: answer === 'active' };
    metrics.add(`relay_accounts_status_checks_total:${answer}`);
    onDone(account);
  }
}
