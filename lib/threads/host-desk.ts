/**
 * Hosts between the database and the fleet: rows into subscriptions at the start, status changes
 * into rows, forgotten hosts found again (D4), an operator's decisions into both: stored first,
 * then in force. Owns no socket and no SQL.
 * @thread main
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { type SupervisedLoop, supervise } from '../base/supervise.ts';
import { SECOND_MS } from '../base/units.ts';
import type { HostRecord, HostStatus } from '../hosts/host.ts';
import type { HostAdmin, LimitsChange } from '../http/admin/host-changes.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import {
  findHost,
  type HostRow,
  loadHosts,
  pageHosts,
  saveHostChanges,
  setHostLenient,
  setHostLimits,
} from '../store/host-rows.ts';
import type { Database } from '../store/pool.ts';
import type { Fleet } from '../upstream/fleet.ts';
import { startReconciling } from '../upstream/reconcile.ts';
import { AccountCounts } from './account-counts.ts';
import { choiceOf, type HostChoice, HostSettingsTable } from './host-settings.ts';

const FLUSH_MS = 2 * SECOND_MS;
const ROWS_PER_QUERY_MAX = 1000;

export type HostDeskOptions = {
  readonly database: Database;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  readonly trustedDomains: readonly string[];
  readonly accountsPerHostMax: number;
  readonly discontinuousPerHourMax: number;
};

export class HostDesk implements HostAdmin {
  readonly #options: HostDeskOptions;
  readonly #counts: AccountCounts;
  readonly #statuses = new Map<number, HostStatus>();
  readonly #settings: HostSettingsTable;
  #fleet: Fleet | undefined;
  /** Changes are made one after another: each is put on top of the row as it is then. */
  #lastChange: Promise<unknown> = Promise.resolve();
  #loops: SupervisedLoop[] = [];

  constructor(options: HostDeskOptions) {
    this.#options = options;
    this.#counts = new AccountCounts(options.clock, () => options.database);
    this.#settings = new HostSettingsTable(options);
  }

  /** All hosts as their rows. */
  loadRows(): Promise<HostRow[]> {
    return loadHosts(this.#options.database);
  }

  /** Rows with what the limits of their hosts depend on. */
  async toRecords(rows: readonly HostRow[]): Promise<HostRecord[]> {
    await this.#counts.refresh(rows.map((row) => row.id));
    return rows.map((row) => this.toRecord(row));
  }

  toRecord(row: HostRow): HostRecord {
    const { id: hostId, hostname, status, cursor } = row;
    this.#settings.noteRow(row);
    const settings = this.#settingsOf(hostId);
    assert(settings !== undefined, 'the row was noted');
    return {
      hostId,
      hostname,
      status,
      cursor,
      isTrusted: this.#settings.isTrusted(hostname),
      settings,
    };
  }

  #settingsOf(hostId: number) {
    return this.#settings.of(hostId, this.#counts.of(hostId) ?? 0);
  }

  /** A verify thread saw accounts of the host for the first time. */
  noteNewAccounts(hostId: number, accountCount: number): void {
    if (accountCount === 0) return;
    this.#counts.add(hostId, accountCount);
    this.#apply(hostId);
  }

  /** What holds for the host, as far as its subscription does not know it yet. */
  #apply(hostId: number): void {
    const settings = this.#settingsOf(hostId);
    if (settings !== undefined) this.#fleet?.setSettings(hostId, settings);
  }

  /** Resolves when the change is stored and in force; false where there is no such host. */
  changeLimits(hostname: string, change: LimitsChange): Promise<boolean> {
    return this.#change(hostname, async (row) => {
      const before = choiceOf(row);
      const limits = { ...before.limits, ...change.limits };
      for (const name of change.formulae) delete limits[name];
      const accountLimit =
        change.accountLimit === undefined ? before.accountLimit : change.accountLimit;
      await setHostLimits(this.#options.database, row.id, accountLimit, limits);
      return { ...before, accountLimit, limits };
    });
  }

  /** As above, for the switch of A12: it holds for frames that are routed from now on. */
  changeLenient(hostname: string, isLenient: boolean): Promise<boolean> {
    return this.#change(hostname, async (row) => {
      await setHostLenient(this.#options.database, row.id, isLenient);
      return { ...choiceOf(row), isLenient };
    });
  }

  #change(hostname: string, store: (row: HostRow) => Promise<HostChoice>): Promise<boolean> {
    const change = this.#lastChange.then(async () => {
      const row = await findHost(this.#options.database, hostname);
      if (row === undefined) return false;
      try {
        this.#settings.noteChange(row, await store(row));
      } catch (error) {
        this.#settings.forgetChange(row.id);
        throw error;
      }
      await this.#counts.refresh([row.id]);
      this.#apply(row.id);
      return true;
    });
    this.#lastChange = change.catch(() => {});
    return change;
  }

  /** The fleet says that a host's status changed; written with the next flush. */
  noteStatus(hostId: number, status: HostStatus): void {
    this.#statuses.set(hostId, status);
  }

  start(fleet: Fleet): void {
    const { clock, logger, metrics } = this.#options;
    this.#fleet = fleet;
    const flush = supervise('host_flush', clock, logger, () => this.flush(fleet), {
      periodMs: FLUSH_MS,
      onFailure: () => metrics.add('relay_loop_failures_total:host_flush'),
    });
    const again = startReconciling({
      clock,
      logger,
      metrics,
      fleet,
      listHosts: async (afterId, countMax) => {
        const rows = await pageHosts(this.#options.database, Math.max(afterId, 0), countMax);
        const records = await this.toRecords(rows);
        // Counts have moved, and with them the limits.
        for (const { hostId } of records) this.#apply(hostId);
        return records;
      },
    });
    this.#loops = [flush, again];
  }

  async stop(): Promise<void> {
    await Promise.all(this.#loops.map((loop) => loop.stop()));
  }

  /** Writes the changes since the last time; what fails is written next time. */
  async flush(fleet: Fleet): Promise<void> {
    for (const hostId of await this.#counts.recount()) this.#apply(hostId);
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
