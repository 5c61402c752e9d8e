/**
 * The upstream half of a relay, from a prepared database on: shards, replays, hosts, checkpoints.
 * Started once, when log and database are there; stopped first.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { Prng } from '../base/prng.ts';
import { SECOND_MS } from '../base/units.ts';
import type { Config } from '../config/keys.ts';
import type { Limits } from '../config/limits.ts';
import { CrawlDesk } from '../hosts/crawl.ts';
import type { HostRecord } from '../hosts/host.ts';
import { createProbe } from '../hosts/probe.ts';
import { DnsCache } from '../identity/dns.ts';
import { Fetcher } from '../identity/fetch.ts';
import { createGuard, createSharedSecureContext, guardedDialOptions } from '../identity/guard.ts';
import { realLogFiles } from '../log/files.ts';
import { LogRecords } from '../log/records.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { REJECT_CODES, type RejectCode } from '../reject/codes.ts';
import type { Regions } from '../ring/regions.ts';
import type { Report } from '../ring/report-record.ts';
import { Quarantine } from '../shard/quarantine.ts';
import type { Router } from '../shard/router.ts';
import { CommitReader, CommitView } from '../shared/commit-cell.ts';
import type { Words } from '../shared/regions.ts';
import { findDomainBan } from '../store/ban-rows.ts';
import type { CheckpointWriter } from '../store/checkpoint-rows.ts';
import {
  countHostsAddedSince,
  findHost,
  insertHost,
  saveFirstCursors,
  saveReplays,
} from '../store/host-rows.ts';
import type { DatabasePool } from '../store/pool.ts';
import { CHECKPOINT_DEFAULTS, Checkpointer } from '../upstream/checkpoint.ts';
import { CONNECTION_DEFAULTS } from '../upstream/connection.ts';
import { DIALER_DEFAULTS, Dialer } from '../upstream/dial.ts';
import { FLEET_DEFAULTS, Fleet } from '../upstream/fleet.ts';
import { Gate } from '../upstream/gate.ts';
import { ReplayFilter } from '../upstream/replay-filter.ts';
import { RETRY_DEFAULTS } from '../upstream/retry.ts';
import { HostDesk } from './host-desk.ts';
import { recoverReplays } from './recover-replays.ts';

const HOSTS_MAX = 65_536;
/** About 100 MB of what hosts may send again; a checkpoint a second leaves far fewer. */
const REPLAY_ENTRIES_MAX = 4_000_000;
/** One owner of many names must not use up the day's limit. */
const NEW_HOSTS_PER_DOMAIN_DAY_MAX = 20;
const CRAWLS_IN_FLIGHT_MAX = 64;
const ROWS_PER_QUERY_MAX = 1000;
const DRAIN_POLL_MS = 20;

export type IngestParts = {
  readonly config: Config;
  readonly limits: Limits;
  readonly regions: Regions;
  readonly words: Words;
  readonly router: Router;
  readonly database: DatabasePool;
  readonly checkpoint: CheckpointWriter;
  readonly userAgent: string;
  /** The relay cannot go on: another one has taken its database over. */
  readonly onFatal: (problem: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
};

export class Ingest {
  readonly fleet: Fleet;
  readonly crawls: CrawlDesk;
  readonly hosts: HostDesk;
  readonly #parts: IngestParts;
  readonly #replay = new ReplayFilter({ entriesMax: REPLAY_ENTRIES_MAX });
  readonly #dns: DnsCache;
  readonly #fetcher: Fetcher;
  readonly #checkpointer: Checkpointer;

  constructor(parts: IngestParts) {
    const { config, clock, logger, metrics, database } = parts;
    this.#parts = parts;
    const isInsecureAllowed = config.areInsecureHostsAllowed;
    const secureContext = createSharedSecureContext();
    this.#dns = new DnsCache({ clock, metrics, isInsecureAllowed });
    const guard = createGuard({ dns: this.#dns, secureContext, isInsecureAllowed });
    this.#fetcher = new Fetcher({ clock, guard, userAgent: parts.userAgent });
    this.hosts = new HostDesk({
      database,
      clock,
      logger: logger.child('hosts'),
      metrics,
      trustedDomains: config.trustedDomains,
      accountsPerHostMax: config.accountsPerHostMax,
      discontinuousPerHourMax: config.discontinuousPerHourMax,
    });
    const network = guardedDialOptions(this.#dns, secureContext);
    this.fleet = this.#createFleet(this.#createDialer(network));
    this.crawls = this.#createCrawls();
    this.#checkpointer = this.#createCheckpointer();
  }

  /** The shards are ready: reads what may come twice, then subscribes to every host. */
  async start(): Promise<void> {
    const { limits, regions, checkpoint, logger, database } = this.#parts;
    const rows = await this.hosts.loadRows();
    const hosts = await this.hosts.toRecords(rows);
    const view = new CommitView();
    new CommitReader(regions.commit).read(view);
    const log = new LogRecords(limits.logDir, realLogFiles);
    const { startSeq } = checkpoint;
    const oldestSeq = this.#parts.words.wideReader('oldestSeq').observe();
    const found = await recoverReplays(log, view, startSeq, oldestSeq, rows, this.#replay);
    for (let i = 0; i < found.replays.length; i += ROWS_PER_QUERY_MAX) {
      await saveReplays(database, found.replays.slice(i, i + ROWS_PER_QUERY_MAX));
    }
    const { recordCount: replayed, damageCount } = found;
    const fields = { hosts: hosts.length, checkpointSeq: startSeq, replayed, damageCount };
    logger.info(fields, 'ingest starts');
    this.#checkpointer.start();
    this.fleet.start(hosts);
    this.hosts.start(this.fleet);
  }

  /** Stops reading hosts, waits until the rings are empty, saves what is done. */
  async stop(msMax: number): Promise<void> {
    const { clock, logger } = this.#parts;
    this.fleet.stop();
    await this.hosts.stop();
    await this.hosts.flush(this.fleet).catch((error: unknown) => {
      logger.warn({ error: errorText(error) }, 'host states not saved');
    });
    const untilMs = clock.monoMs() + msMax;
    while (!this.#isDrained() && clock.monoMs() < untilMs) await clock.sleep(DRAIN_POLL_MS);
    const leftMs = Math.max(SECOND_MS, untilMs - clock.monoMs());
    const isSaved = await this.#checkpointer.stop(leftMs);
    if (!isSaved) logger.warn({}, 'cursors not saved; hosts will send the last events again');
    this.#fetcher.close();
    this.#dns.close();
  }

  /** What a verify thread says of a host. */
  onReport(report: Report): void {
    if (report.kind === 'reject') {
      const code = REJECT_CODES[report.codeIndex] as RejectCode;
      this.fleet.penalize(report.hostId, code, report.hostSeq);
      return;
    }
    this.fleet.charge(report.hostId, report);
    this.hosts.noteNewAccounts(report.hostId, report.newAccountCount);
  }

  #isDrained(): boolean {
    const { regions, words, router } = this.#parts;
    return regions.ingest.every((_, shard) => {
      return words.shardReader('completed', shard).observe() === router.lastNo(shard);
    });
  }

  #createDialer(network: ReturnType<typeof guardedDialOptions>): Dialer {
    const { config, clock, userAgent } = this.#parts;
    const wideGate = new Gate({ slotCount: config.dialConcurrencyMax, waitersMax: HOSTS_MAX });
    const narrowGate = new Gate({ slotCount: config.tlsConcurrencyMax, waitersMax: HOSTS_MAX });
    const options = { ...DIALER_DEFAULTS, userAgent, connectMs: config.dialTimeoutMs };
    return new Dialer(options, { clock, network, wideGate, narrowGate });
  }

  #createFleet(dialer: Dialer): Fleet {
    const { config, limits, clock, logger, metrics, router, database } = this.#parts;
    const quarantine = new Quarantine(limits.quarantineDir);
    const options = {
      ...FLEET_DEFAULTS,
      startupMs: config.startupWindowMs,
      hostsMax: HOSTS_MAX,
      unfinishedBytesMax: config.unfinishedBytesMax,
      slowMs: config.discontinuousSlowMs,
      connection: {
        ...CONNECTION_DEFAULTS,
        pingMs: config.upstreamPingMs,
        idleMs: config.upstreamIdleMs,
      },
      retry: { ...RETRY_DEFAULTS, delayMsMax: config.reconnectDelayMsMax },
    };
    return new Fleet(options, {
      clock,
      logger: logger.child('upstream'),
      metrics,
      dialer,
      sink: router,
      replay: this.#replay,
      seed: Prng.randomSeed(),
      storeFirstCursor: (hostId, hostSeq) => saveFirstCursors(database, [{ hostId, hostSeq }]),
      quarantine: (poison) => {
        const { hostname, hostSeqBefore: hostSeq, code: reason, frame } = poison;
        quarantine.keep({ hostname, hostSeq, reason, epochMs: clock.epochMs() }, frame);
      },
      onStatus: (hostId, status) => this.hosts.noteStatus(hostId, status),
    });
  }

  #createCrawls(): CrawlDesk {
    const { config, clock, logger, metrics, database } = this.#parts;
    const options = {
      isInsecureAllowed: config.areInsecureHostsAllowed,
      newHostsPerDayMax: config.newHostsPerDayMax,
      newHostsPerDomainDayMax: NEW_HOSTS_PER_DOMAIN_DAY_MAX,
      inFlightMax: CRAWLS_IN_FLIGHT_MAX,
    };
    const find = async (hostname: string): Promise<HostRecord | undefined> => {
      const row = await findHost(database, hostname);
      return row === undefined ? undefined : this.hosts.toRecord(row);
    };
    const desk = new CrawlDesk(options, {
      clock,
      logger: logger.child('crawl'),
      metrics,
      rows: {
        find,
        countAddedSince: (epochMs) => countHostsAddedSince(database, epochMs),
        insert: async (hostname) => {
          const isInsecure = hostname.startsWith('localhost:');
          const { host } = await insertHost(database, { hostname, isInsecure });
          return this.hosts.toRecord(host);
        },
      },
      bans: {
        isAnyBanned: async (names) => (await findDomainBan(database, names)) !== undefined,
      },
      probe: createProbe(this.#fetcher),
      subscribe: (host) => this.fleet.add(host),
    });
    desk.setEnabled(!config.isRequestCrawlDisabled);
    return desk;
  }

  #createCheckpointer(): Checkpointer {
    const { config, regions, words, router, checkpoint, onFatal } = this.#parts;
    const { clock, logger, metrics } = this.#parts;
    const completed = regions.ingest.map((_, shard) => words.shardReader('completed', shard));
    const durable = words.wideReader('durable');
    const checkpointSeq = words.wideWriter('checkpointSeq');
    return new Checkpointer(
      checkpoint.startSeq,
      {
        clock,
        logger: logger.child('checkpoint'),
        metrics,
        source: {
          shardCount: regions.shardCount,
          // Both exclusive: the number after the last.
          routedNo: (shard) => (router.lastNo(shard) + 1) | 0,
          completedNo: (shard) => ((completed[shard]?.observe() ?? 0) + 1) | 0,
          durableSeq: () => durable.observe(),
          // Until a host is past what the log has of it, its row must say so (recover-replays.ts).
          takeChanged: () =>
            this.fleet.cursors.takeChanged().map((cursor) => {
              return { ...cursor, isReplaying: this.#replay.has(cursor.hostId) };
            }),
        },
        save: async (cursors, seq) => {
          await checkpoint.save(seq, cursors).catch((error: unknown) => {
            if (error instanceof RelayFault && !error.isRetryable) onFatal(error.message);
            throw error;
          });
          checkpointSeq.publish(seq);
          metrics.set('relay_store_checkpoint_seq', seq);
        },
      },
      { ...CHECKPOINT_DEFAULTS, periodMs: config.checkpointPeriodMs },
    );
  }
}
