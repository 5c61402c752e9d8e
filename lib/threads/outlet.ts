/**
 * The downstream half of a relay: the API listener, the consumers and the log they read. Listens
 * before anything else happens, says 503 until the log is open, and serves from then on, with or
 * without a database.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { ADMISSION_DEFAULTS, Admission } from '../broadcast/admission.ts';
import { logArrivals } from '../broadcast/delivery.ts';
import { closeSpreadMs } from '../broadcast/endings.ts';
import { Hub } from '../broadcast/hub.ts';
import { HUB_DEFAULTS } from '../broadcast/hub-options.ts';
import type { Config } from '../config/keys.ts';
import type { Limits } from '../config/limits.ts';
import type { CrawlCaller, CrawlResult } from '../hosts/crawl.ts';
import { accountLimitFor, isTrustedHost } from '../hosts/quota.ts';
import { ADMIN_AUTH_DEFAULTS } from '../http/admin/auth.ts';
import type { HostUse } from '../http/admin/hosts.ts';
import { apiRoutes } from '../http/routes.ts';
import { API_SERVER_DEFAULTS, ApiServer } from '../http/server.ts';
import { LogCursors } from '../log/cursor.ts';
import { DamageReports } from '../log/damage-reports.ts';
import { realLogFiles, replaceFile } from '../log/files.ts';
import { HiddenDids } from '../log/hidden-dids.ts';
import { LogReader } from '../log/reader.ts';
import { realRemovalFiles, SegmentRemover } from '../log/unlink.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { Control } from '../ring/control-record.ts';
import type { Regions } from '../ring/regions.ts';
import { CommitReader, CommitView } from '../shared/commit-cell.ts';
import type { Words } from '../shared/regions.ts';
import { TailReader } from '../shared/tail-ring.ts';
import type { Database } from '../store/pool.ts';
import { AccountCounts } from './account-counts.ts';
import type { HostDesk } from './host-desk.ts';
import type { Ingest } from './ingest.ts';
import { LogRoom } from './log-room.ts';
import { AccountRows, DatabaseSource, HostRows } from './readers.ts';
import { TakedownDesk } from './takedowns.ts';
import { VERSION } from './version.ts';

const GOING_AWAY = 1001;

const STARTING: CrawlResult = {
  refused: {
    name: 'NotEnoughResources',
    status: 503,
    message: 'the relay is starting',
    retryAfterSeconds: 10,
  },
};

export type OutletParts = {
  readonly config: Config;
  readonly limits: Limits;
  readonly regions: Regions;
  readonly words: Words;
  /** Hands a decision to the verify thread of its account; false while its ring is full. */
  readonly offer: (control: Control) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
};

export class Outlet {
  readonly hub: Hub;
  readonly #parts: OutletParts;
  readonly #admission: Admission;
  readonly #server: ApiServer;
  readonly #reader: LogReader;
  readonly #remover: SegmentRemover;
  readonly #source = new DatabaseSource();
  readonly #hidden: HiddenDids;
  readonly #takedowns: TakedownDesk;
  #room: LogRoom | undefined;
  #ingest: Ingest | undefined;
  #port = 0;

  constructor(parts: OutletParts) {
    this.#parts = parts;
    const { config, limits, regions, words, clock, metrics } = parts;
    const logger = parts.logger.child('broadcast');
    const commits = new CommitReader(regions.commit);
    const view = new CommitView();
    const oldest = words.wideReader('oldestSeq');
    const oldestSeq = (): number => oldest.observe();
    const readView = (): CommitView => {
      commits.read(view);
      return view;
    };
    const directory = limits.logDir;
    this.#hidden = new HiddenDids(directory);
    this.#reader = new LogReader({
      directory,
      files: realLogFiles,
      view: readView,
      oldestSeq,
      keepSidecar: replaceFile,
    });
    const published = words.wideWriter('published');
    const bell = words.bell('bellMain');
    this.hub = new Hub(
      { ...HUB_DEFAULTS, stallMsMax: config.consumerStallMsMax, pingMs: config.consumerPingMs },
      {
        clock,
        logger,
        metrics,
        commits: new CommitReader(regions.commit),
        tail: new TailReader(regions.tail),
        log: this.#createCursors(logger),
        arrivals: logArrivals(this.#reader),
        oldestSeq,
        onPublished: (seq) => {
          published.publish(seq);
          metrics.set('relay_log_published_seq', seq);
        },
        wake: () => bell.ring(),
      },
    );
    this.#admission = new Admission(
      {
        ...ADMISSION_DEFAULTS,
        consumersMax: config.consumersMax,
        consumersPerAddressMax: config.consumersPerAddressMax,
      },
      { clock, metrics, hub: this.hub, oldestSeq },
    );
    this.#remover = new SegmentRemover({
      directory,
      files: realRemovalFiles,
      metrics,
      oldestSeq,
      activeBytes: () => readView().byteEnd,
      retire: (seq) => this.#reader.retire(seq),
    });
    this.#takedowns = new TakedownDesk({
      database: () => this.#source.get(),
      hidden: this.#hidden,
      hideTail: () => this.hub.hideTail(),
      offer: parts.offer,
      clock,
      logger: parts.logger.child('takedowns'),
      metrics,
    });
    this.#server = this.#createServer();
  }

  get port(): number {
    return this.#port;
  }

  /** Takes the port. Rejects with a `RelayFault` that names the address where it cannot. */
  async listen(): Promise<void> {
    const { host, port } = this.#parts.config.apiListen;
    try {
      this.#port = (await this.#server.listen()).port;
    } catch (error) {
      const message = `cannot listen on ${host}:${port}: ${errorText(error)}`;
      throw new RelayFault('listen_failed', message, { isRetryable: false, cause: error });
    }
  }

  /** What must not be shown, before anything is. Throws a `RelayFault` where that is not known. */
  loadHidden(): void {
    this.#hidden.load();
  }

  /** The rows are up to the log: they have the last word on what must not be shown. */
  recoverHidden(): Promise<void> {
    return this.#takedowns.recover();
  }

  /** The log is open: retention may remove what it has given up. */
  open(): void {
    const { config, limits, words, clock, logger, metrics } = this.#parts;
    this.#room = new LogRoom({
      directory: limits.logDir,
      ballastBytes: config.ballastBytes,
      remover: this.#remover,
      words,
      clock,
      logger,
      metrics,
    });
  }

  useDatabase(database: Database): void {
    this.#source.use(database);
  }

  useIngest(ingest: Ingest): void {
    this.#ingest = ingest;
  }

  /** Nobody new is let in. */
  drain(): void {
    this.#admission.drain();
  }

  /** Sends consumers away, spread out, then closes the listener. */
  async close(msMax: number): Promise<void> {
    const { clock } = this.#parts;
    await this.#room?.stop();
    this.#takedowns.stop();
    this.drain();
    if (msMax > 0) {
      const spreadMs = closeSpreadMs(this.hub.size, msMax);
      await Promise.race([this.hub.closeAll(GOING_AWAY, spreadMs), clock.sleep(msMax)]);
    }
    await this.#server.stop();
    await this.#reader.close();
  }

  #createCursors(logger: Logger): LogCursors {
    const { limits, metrics } = this.#parts;
    const reports = new DamageReports({ directory: limits.logDir, logger, metrics });
    const { isHidden } = this.#hidden;
    return new LogCursors(this.#reader, { isHidden, onDamage: (damage) => reports.note(damage) });
  }

  #createServer(): ApiServer {
    const { config, clock, metrics } = this.#parts;
    const logger = this.#parts.logger.child('http');
    const crawl = {
      request: (hostname: string, caller: CrawlCaller): Promise<CrawlResult> =>
        this.#ingest?.crawls.request(hostname, caller) ?? Promise.resolve(STARTING),
    };
    const counts = new AccountCounts(clock, () => this.#source.get());
    const live = (hostId: number) => this.#ingest?.fleet.stats(hostId);
    const { trustedDomains, accountsPerHostMax } = config;
    const accountLimitOf = (hostname: string): number => {
      const isTrusted = isTrustedHost(hostname, trustedDomains);
      return accountLimitFor({ isTrusted, accountsPerHostMax });
    };
    const routes = apiRoutes({
      version: VERSION,
      policy: { isInsecureAllowed: config.areInsecureHostsAllowed },
      hosts: new HostRows(this.#source, counts, accountLimitOf, live),
      accounts: new AccountRows(this.#source),
      crawl,
      admin: {
        changeLimits: (hostname, change) => this.#hosts().changeLimits(hostname, change),
        changeLenient: (hostname, isLenient) => this.#hosts().changeLenient(hostname, isLenient),
      },
      activity: { hostnames: () => this.#hostnames(), of: (hostId) => this.#useOf(hostId) },
      takedowns: this.#takedowns,
      hub: this.hub,
      logger,
    });
    const options = {
      ...API_SERVER_DEFAULTS,
      ...config.apiListen,
      trustedProxies: config.trustedProxies,
      connectionsMax: config.httpConnectionsMax,
      admin: { ...ADMIN_AUTH_DEFAULTS, passwords: config.adminPasswords },
    };
    return new ApiServer(options, { clock, logger, metrics, routes, upgrades: this.#admission });
  }

  /** Throws a fault, which is told as `try again later`, while the relay starts. */
  #hosts(): HostDesk {
    if (this.#ingest !== undefined) return this.#ingest.hosts;
    throw new RelayFault('starting', 'the relay is starting', { isRetryable: true });
  }

  #hostnames(): string[] {
    const fleet = this.#ingest?.fleet;
    if (fleet === undefined) return [];
    return Array.from(fleet.hostIds(), (hostId) => fleet.stats(hostId)?.hostname ?? '');
  }

  #useOf(hostId: number): HostUse | undefined {
    const stats = this.#ingest?.fleet.stats(hostId);
    if (stats === undefined) return undefined;
    return {
      ...stats,
      ...stats.usage,
      isConnected: stats.state === 'open' || stats.state === 'paused',
      eventsSinceStart: stats.framesReceived,
    };
  }
}
