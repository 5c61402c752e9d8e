/**
 * Hosts between the database and the fleet: rows into subscriptions at the start, status changes
 * into rows, forgotten hosts found again (D4). Owns no socket and no SQL.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { type SupervisedLoop, supervise } from '../base/supervise.ts';
import { SECOND_MS } from '../base/units.ts';
import type { HostRecord, HostStatus } from '../hosts/host.ts';
import { isTrustedHost } from '../hosts/quota.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { type HostRow, loadHosts, pageHosts, saveHostChanges } from '../store/host-rows.ts';
import type { Database } from '../store/pool.ts';
import type { Fleet } from '../upstream/fleet.ts';
import { startReconciling } from '../upstream/reconcile.ts';
import { AccountCounts } from './account-counts.ts';

const FLUSH_MS = 2 * SECOND_MS;
const ROWS_PER_QUERY_MAX = 1000;

export type HostDeskOptions = {
  readonly database: Database;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  readonly trustedDomains: readonly string[];
  readonly accountsPerHostMax: number;
};

export class HostDesk {
  readonly #options: HostDeskOptions;
  readonly #counts: AccountCounts;
  readonly #statuses = new Map<number, HostStatus>();
  #loops: SupervisedLoop[] = [];

  constructor(options: HostDeskOptions) {
    this.#options = options;
    this.#counts = new AccountCounts(options.clock, () => options.database);
  }

  /** All hosts as their rows. */
  loadRows(): Promise<HostRow[]> {
    return loadHosts(this.#options.database);
  }

  /** Rows with what the limits of their hosts depend on. */
  async toRecords(rows: readonly HostRow[]): Promise<HostRecord[]> {
    await this.#counts.refresh(rows.map((row) => row.id));
    return rows.map((row) => this.toRecord(row, this.#counts.of(row.id) ?? 0));
  }

  toRecord(row: HostRow, accountCount: number): HostRecord {
    const { trustedDomains, accountsPerHostMax } = this.#options;
    return {
      hostId: row.id,
      hostname: row.hostname,
      status: row.status,
      cursor: row.cursor,
      accountCount: Math.max(accountCount, row.accountLimit ?? accountsPerHostMax),
      isTrusted: isTrustedHost(row.hostname, trustedDomains),
    };
  }

  /** The fleet says that a host's status changed; written with the next flush. */
  noteStatus(hostId: number, status: HostStatus): void {
    this.#statuses.set(hostId, status);
  }

  start(fleet: Fleet): void {
    const { clock, logger, metrics } = this.#options;
    const flush = supervise('host_flush', clock, logger, () => this.flush(fleet), {
      periodMs: FLUSH_MS,
      onFailure: () => metrics.add('relay_loop_failures_total:host_flush'),
    });
    const again = startReconciling({
      clock,
      logger,
      metrics,
      fleet,
      listHosts: async (afterId, countMax) =>
        this.toRecords(await pageHosts(this.#options.database, Math.max(afterId, 0), countMax)),
    });
    this.#loops = [flush, again];
  }

  async stop(): Promise<void> {
    await Promise.all(this.#loops.map((loop) => loop.stop()));
  }

  /** Writes the changes since the last time; what fails is written next time. */
  async flush(fleet: Fleet): Promise<void> {
    const changed = [...this.#statuses].slice(0, ROWS_PER_QUERY_MAX);
    if (changed.length === 0) return;
    const changes = changed.map(([id, status]) => {
      const stats = fleet.stats(id);
      const lastConnectedMs = stats?.connectedSinceMs ?? null;
      return { id, status, failures: stats?.failures ?? 0, lastConnectedMs };
    });
    await saveHostChanges(this.#options.database, changes);
    for (const [id, status] of changed) {
      if (this.#statuses.get(id) === status) this.#statuses.delete(id);
    }
  }
}
