/**
 * What HTTP may ask of the database, as the readers it knows. Before the database is there, and
 * whenever it is down, every call rejects: the client is told to come back.
 * @thread main
 */
import { effectiveStatus } from '../accounts/account.ts';
import { RelayFault } from '../base/fault.ts';
import type {
  AccountReader,
  AccountView,
  HostReader,
  HostView,
  RepoView,
} from '../http/readers.ts';
import { cidText } from '../repo/cid.ts';
import { findAccount, pageRepos } from '../store/account-rows.ts';
import { findHost, type HostRow, pageHosts } from '../store/host-rows.ts';
import type { Database } from '../store/pool.ts';
import type { AccountCounts } from './account-counts.ts';

/** The database, once it is there. */
export class DatabaseSource {
  #database: Database | undefined;

  use(database: Database): void {
    this.#database = database;
  }

  get(): Database {
    if (this.#database !== undefined) return this.#database;
    throw new RelayFault('database_starting', 'the database is not there', { isRetryable: true });
  }
}

/** What the subscription of a host knows better than its row. */
export type LiveHost = { readonly lastSeq: number | null; readonly status: HostView['status'] };

export class HostRows implements HostReader {
  readonly #source: DatabaseSource;
  readonly #counts: AccountCounts;
  readonly #accountLimitOf: (hostname: string) => number;
  readonly #live: (hostId: number) => LiveHost | undefined;

  constructor(
    source: DatabaseSource,
    counts: AccountCounts,
    accountLimitOf: (hostname: string) => number,
    live: (hostId: number) => LiveHost | undefined,
  ) {
    this.#source = source;
    this.#counts = counts;
    this.#accountLimitOf = accountLimitOf;
    this.#live = live;
  }

  async page(afterId: number, limit: number): Promise<readonly HostView[]> {
    return this.#views(await pageHosts(this.#source.get(), afterId, limit));
  }

  async find(hostname: string): Promise<HostView | undefined> {
    const row = await findHost(this.#source.get(), hostname);
    return row === undefined ? undefined : (await this.#views([row]))[0];
  }

  async #views(rows: readonly HostRow[]): Promise<HostView[]> {
    const ids = rows.map((row) => row.id);
    await this.#counts.refresh(ids);
    return rows.map((row) => {
      const live = this.#live(row.id);
      return {
        hostId: row.id,
        hostname: row.hostname,
        status: live?.status ?? row.status,
        seq: live?.lastSeq ?? row.cursor,
        accountCount: this.#counts.of(row.id),
        accountLimit: row.accountLimit ?? this.#accountLimitOf(row.hostname),
        isInsecure: row.isInsecure,
        isLenient: row.isLenient,
        createdMs: row.createdMs,
      };
    });
  }
}

export class AccountRows implements AccountReader {
  readonly #source: DatabaseSource;

  constructor(source: DatabaseSource) {
    this.#source = source;
  }

  async find(did: string): Promise<AccountView | undefined> {
    const row = await findAccount(this.#source.get(), did);
    if (row === undefined) return undefined;
    return {
      did,
      ...effectiveStatus(row),
      rev: row.rev,
      commitCid: row.commitCid === null ? null : cidText(row.commitCid),
      pdsHost: row.identity?.pds_host ?? null,
    };
  }

  async page(afterId: number, limit: number): Promise<readonly RepoView[]> {
    const rows = await pageRepos(this.#source.get(), afterId, limit);
    return rows.map((row) => ({
      id: row.id,
      did: row.did,
      rev: row.rev,
      commitCid: cidText(row.commitCid),
      ...effectiveStatus(row),
    }));
  }
}
