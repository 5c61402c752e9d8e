/**
 * The composition of a running relay: builds every part from the config, starts the threads in
 * order and takes them down in order. No logic of its own. Read this file first.
 *
 *   start: listeners → lock → database → log → consumers → verify threads → hosts
 *          (nothing on disk changes before the listeners are ours)
 *   stop:  readiness off → hosts → rings drained → last checkpoint → threads, last batch
 *          → consumers → listeners → database → lock
 * @thread main
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { type Clock, SystemClock, type Timer } from './base/clock.ts';
import { errorText, RelayFault } from './base/fault.ts';
import { SECOND_MS } from './base/units.ts';
import type { Config } from './config/keys.ts';
import { deriveLimits, type Limits } from './config/limits.ts';
import { LivenessProxy } from './health/liveness-proxy.ts';
import { type LogLock, lockLog } from './log/lock.ts';
import { listSegments } from './log/segments.ts';
import { createLogger, type Logger, type RootLogger } from './logging/logger.ts';
import { MetricWriter } from './metrics/slots.ts';
import {
  allocateRegions,
  metricPage,
  PAGE_LIVENESS,
  PAGE_MAIN,
  PAGE_PERSIST,
  PAGE_VERIFY,
  type Regions,
} from './ring/regions.ts';
import { ReportReader, Router } from './shard/router.ts';
import type { SharedMemory } from './shared/memory.ts';
import type { PositionWriter } from './shared/position.ts';
import { PersistState, Phase, Words } from './shared/regions.ts';
import { CheckpointWriter, readCheckpoint } from './store/checkpoint-rows.ts';
import { RelayDatabase } from './threads/database.ts';
import { Ingest } from './threads/ingest.ts';
import { MainLoop } from './threads/main-loop.ts';
import { Outlet } from './threads/outlet.ts';
import { NO_SEAMS, type Seams } from './threads/seams.ts';
import { ThreadPool } from './threads/thread-pool.ts';
import { makeVerifyTask } from './threads/verify-task.ts';
import { USER_AGENT, VERSION } from './threads/version.ts';

/** How long a database that is down may keep the log from being served at the start. */
const DATABASE_PATIENCE_MS = 5 * SECOND_MS;
const LOST_LOG_MARGIN = 1_000_000;
const RETRY_MS = 500;
const POLL_MS = 20;

export class Relay {
  readonly config: Config;
  readonly limits: Limits;
  /** Resolves with what went wrong when the relay cannot go on; the process must then end. */
  readonly failed: Promise<string>;
  readonly #fail: (problem: string) => void;
  readonly #clock: Clock = new SystemClock();
  readonly #root: RootLogger;
  readonly #logger: Logger;
  readonly #regions: Regions;
  readonly #words: Words;
  readonly #phase: PositionWriter;
  readonly #metrics: MetricWriter;
  readonly #seams: Seams;
  readonly #threads: ThreadPool;
  readonly #router: Router;
  readonly #outlet: Outlet;
  readonly #liveness: LivenessProxy;
  readonly #starting = new AbortController();
  #lock: LogLock | undefined;
  #database: RelayDatabase | undefined;
  #ingest: Ingest | undefined;
  #loop: MainLoop | undefined;
  #gauges: Timer | undefined;
  #boot: Promise<void> = Promise.resolve();

  private constructor(config: Config, seams: Seams) {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.failed = promise;
    this.#fail = resolve;
    this.config = config;
    this.limits = deriveLimits(config);
    this.#seams = seams;
    const clock = this.#clock;
    const { logLevel: level } = config;
    this.#root = createLogger({
      level,
      destinationFd: 1,
      name: 'main',
      clock,
      onDrop: (count) => this.#metrics.add('relay_logging_dropped_lines_total', count),
    });
    const logger = this.#root.child('relay');
    this.#logger = logger;
    this.#regions = allocateRegions({ ...config, shardCount: config.verifyThreadCount });
    this.#words = new Words(this.#regions.words);
    this.#phase = this.#words.writer('phase');
    this.#metrics = new MetricWriter(metricPage(this.#regions, PAGE_MAIN));
    const metrics = this.#metrics;
    metrics.set('relay_process_start_timestamp_seconds', clock.epochMs() / SECOND_MS);
    const bells = this.#regions.ingest.map((_, shard) => this.#words.shardBell(shard));
    this.#router = new Router(this.#regions.ingest, bells, metrics);
    const regions = this.#regions;
    const onPersistEnd = (problem: string): void => this.#fail(`log writer ended: ${problem}`);
    this.#threads = new ThreadPool({
      regions,
      clock,
      logger: this.#root.child('threads'),
      metrics,
      verifyHangMs: config.verifyHangMs,
      onPersistEnd,
    });
    this.#outlet = new Outlet({
      config,
      limits: this.limits,
      regions,
      words: this.#words,
      offer: (control) => this.#router.offerControl(control, clock.epochMs()),
      clock,
      logger: this.#root,
      metrics,
    });
    this.#liveness = new LivenessProxy(this.#livenessData(), clock, logger, metrics);
  }

  /**
   * Starts a relay. Resolves when it serves the log; ingest starts as soon as the database is
   * there. Rejects with a `RelayFault` where it cannot run (port, directory, lock, versions), and
   * with an `AbortError` when `signal` ends the start; everything is taken down again by then.
   */
  static async start(config: Config, seams = NO_SEAMS, signal?: AbortSignal): Promise<Relay> {
    const relay = new Relay(config, seams);
    signal?.addEventListener('abort', () => relay.#starting.abort(), { once: true });
    try {
      await relay.#start();
      return relay;
    } catch (error) {
      await relay.#abandon();
      throw error;
    }
  }

  /** Ports in use, for those that asked for any free one. */
  get apiPort(): number {
    return this.#outlet.port;
  }

  metricsPort = 0;

  /** Resolves when hosts are being read. */
  get ready(): Promise<void> {
    return this.#boot;
  }

  async #start(): Promise<void> {
    this.metricsPort = await this.#liveness.start();
    await this.#outlet.listen();
    this.#makeDataDir();
    this.#lock = lockLog(this.limits.logDir, { processId: process.pid });
    this.#outlet.loadHidden();
    this.#loop = new MainLoop({
      clock: this.#clock,
      words: this.#words,
      commit: this.#regions.commit,
      hub: this.#outlet.hub,
      reports: new ReportReader(this.#regions.reports),
      onReport: (report) => this.#ingest?.onReport(report),
    });
    this.#gauges = this.#clock.every(SECOND_MS, () =>
      this.#metrics.set('relay_ring_ingest_used_bytes', this.#router.usedBytes()),
    );
    this.#phase.publish(Phase.waitingForDatabase);
    const isPrepared = await this.#openDatabase();
    const nextSeqMin = await this.#findNextSeqMin(isPrepared);
    this.#phase.publish(Phase.logRecovery);
    await this.#openLog(nextSeqMin);
    this.#outlet.open();
    this.#boot = this.#startIngest(isPrepared);
    this.#boot.catch((error: unknown) => this.#fail(errorText(error)));
    this.#logger.info(this.#banner(), 'skyrelay serves');
    // A database that is there makes the start whole; one that is down must not delay consumers.
    if (isPrepared) await this.#boot;
  }

  /** True when the schema is ours; false when the database is down. Throws what is final. */
  async #openDatabase(): Promise<boolean> {
    const { config } = this;
    this.#database = await RelayDatabase.open({
      url: config.databaseUrl,
      dataDir: this.limits.dataDir,
      connectionsMax: this.limits.databaseConnectionsOfMain,
      timeoutMs: config.databaseTimeoutMs,
      // Besides the pools: the lock, a migration, an operator or two.
      sessionsMax: config.databaseConnectionsMax + config.verifyThreadCount + 10,
      clock: this.#clock,
      logger: this.#root.child('database'),
      metrics: this.#metrics,
      state: this.#words.writer('databaseState'),
    });
    const untilMs = this.#clock.monoMs() + DATABASE_PATIENCE_MS;
    for (;;) {
      this.#starting.signal.throwIfAborted();
      try {
        await this.#database.prepare();
        return true;
      } catch (error) {
        if (!(error instanceof RelayFault) || !error.isRetryable) throw error;
        if (this.#clock.monoMs() >= untilMs) return false;
        await this.#clock.sleep(RETRY_MS, this.#starting.signal);
      }
    }
  }

  /**
   * The next seq is above everything that PostgreSQL knows of. A log that was lost as a whole is
   * continued with a wide margin, because its last events may have been sent and are known to
   * nobody (G14); for that the database must be there, so an empty log waits for it.
   */
  async #findNextSeqMin(isPrepared: boolean): Promise<number> {
    const initialSeq = this.config.initialSeq;
    const hasSegments = listSegments(readdirSync(this.limits.logDir)).length > 0;
    if (!isPrepared && hasSegments) return initialSeq;
    const database = this.#database as RelayDatabase;
    if (!isPrepared) await this.#insist(() => database.prepare());
    const { seq } = await this.#insist(() => readCheckpoint(database.pool));
    if (seq === 0) return initialSeq;
    const margin = hasSegments ? 1 : LOST_LOG_MARGIN;
    if (!hasSegments) this.#logger.error({ checkpointSeq: seq, margin }, 'the log is lost');
    return Math.max(initialSeq, seq + margin);
  }

  async #openLog(nextSeqMin: number): Promise<void> {
    const { config, limits } = this;
    this.#threads.startPersist({
      regions: this.#regions,
      logLevel: config.logLevel,
      logDirectory: limits.logDir,
      segmentBytesMax: config.segmentBytesMax,
      segmentAgeMsMax: limits.segmentAgeMsMax,
      retentionAgeMsMax: config.replayWindowMs,
      retentionBytesMax: config.retentionBytesMax,
      isEmergencyRetention: config.isEmergencyRetention,
      nextSeqMin,
      chaos: this.#seams.chaos,
    });
    const state = this.#words.reader('persistState');
    let problem: string | undefined;
    void this.failed.then((text) => {
      problem = text;
    });
    while (state.observe() === PersistState.recovering && problem === undefined) {
      this.#starting.signal.throwIfAborted();
      await this.#clock.sleep(POLL_MS, this.#starting.signal);
    }
    // The log may have ended before it was open: then its reason is the reason of the start.
    const end = state.observe();
    const isNewer = end === PersistState.newer;
    if (isNewer || end === PersistState.poisoned) problem ??= await this.failed;
    if (problem !== undefined) {
      const code = isNewer ? 'log_version_unknown' : 'log_failed';
      throw new RelayFault(code, problem, { isRetryable: false });
    }
  }

  /** From a prepared database to hosts being read; waits for the database as long as it takes. */
  async #startIngest(isPrepared: boolean): Promise<void> {
    const database = this.#database as RelayDatabase;
    this.#phase.publish(Phase.waitingForDatabase);
    if (!isPrepared) await this.#insist(() => database.prepare());
    const checkpoint = await this.#insist(() => CheckpointWriter.claim(database.pool));
    this.#words.wideWriter('checkpointSeq').publish(checkpoint.startSeq);
    this.#outlet.useDatabase(database.pool);
    this.#phase.publish(Phase.stateRecovery);
    const { config, limits } = this;
    const task = { config, limits, regions: this.#regions, connection: database.connection };
    this.#threads.startVerify((shard, generation) =>
      makeVerifyTask({ ...task, userAgent: USER_AGENT, seams: this.#seams }, shard, generation),
    );
    while (!this.#threads.isVerifyReady()) {
      if (this.#starting.signal.aborted) return;
      await this.#clock.sleep(POLL_MS, this.#starting.signal);
    }
    await this.#insist(() => this.#outlet.recoverHidden());
    const ingest = new Ingest({
      ...task,
      words: this.#words,
      router: this.#router,
      database: database.pool,
      checkpoint,
      userAgent: USER_AGENT,
      onFatal: this.#fail,
      clock: this.#clock,
      logger: this.#root,
      metrics: this.#metrics,
    });
    await this.#insist(() => ingest.start());
    this.#ingest = ingest;
    this.#outlet.useIngest(ingest);
    if (!this.#starting.signal.aborted) this.#phase.publish(Phase.running);
  }

  /** Tries again while the database is down. */
  async #insist<Value>(action: () => Promise<Value>): Promise<Value> {
    for (;;) {
      this.#starting.signal.throwIfAborted();
      try {
        return await action();
      } catch (error) {
        if (!(error instanceof RelayFault) || !error.isRetryable) throw error;
        await this.#clock.sleep(RETRY_MS, this.#starting.signal);
      }
    }
  }

  /**
   * Ends everything in order within the configured time (G25). Never rejects; false when the log
   * writer failed or had to be left behind: what it had not synced will come from the hosts again.
   */
  async stop(): Promise<boolean> {
    // A disk that answers nothing must not keep the process for ever.
    const deadline = this.#clock.sleep(this.config.shutdownMsMax).then(() => false);
    return Promise.race([this.#stopInOrder(), deadline]);
  }

  async #stopInOrder(): Promise<boolean> {
    const startMs = this.#clock.monoMs();
    const leftMs = (share: number): number =>
      Math.max(SECOND_MS, startMs + this.config.shutdownMsMax * share - this.#clock.monoMs());
    this.#phase.publish(Phase.draining);
    this.#starting.abort();
    this.#outlet.drain();
    await this.#boot.catch(() => {});
    await this.#ingest?.stop(leftMs(0.4));
    this.#words.writer('stop').publish(1);
    await this.#threads.stopVerify(leftMs(0.5));
    const isClean = await this.#threads.stopPersist(leftMs(0.6));
    if (!isClean) this.#logger.error({}, 'log writer did not end in order');
    await this.#outlet.close(leftMs(0.9));
    await this.#abandon();
    this.#logger.info({ tookMs: Math.round(this.#clock.monoMs() - startMs) }, 'stopped');
    this.#root.close();
    return isClean;
  }

  /** Takes down whatever is there, in no hurry to be graceful. */
  async #abandon(): Promise<void> {
    this.#starting.abort();
    await this.#outlet.close(0);
    await this.#threads.destroy();
    this.#gauges?.cancel();
    await this.#loop?.stop();
    await this.#database?.close();
    await this.#liveness.stop();
    this.#lock?.release();
  }

  #makeDataDir(): void {
    for (const directory of [this.limits.dataDir, this.limits.logDir]) {
      try {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
      } catch (error) {
        const message = `cannot use the data directory ${directory}: ${errorText(error)}`;
        throw new RelayFault('data_directory', message, { isRetryable: false, cause: error });
      }
    }
  }

  #livenessData(): ConstructorParameters<typeof LivenessProxy>[0] {
    const { pages, words, shardCount } = this.#regions;
    const page = (index: number): SharedMemory => pages[index] as SharedMemory;
    return {
      version: 1,
      words,
      shardCount,
      pages: [
        { thread: 'main', memory: page(PAGE_MAIN) },
        { thread: 'liveness', memory: page(PAGE_LIVENESS) },
        { thread: 'persist', memory: page(PAGE_PERSIST) },
        ...Array.from({ length: shardCount }, (_, shard) => ({
          thread: 'verify' as const,
          memory: page(PAGE_VERIFY + shard),
        })),
      ],
      listen: this.config.metricsListen,
      logLevel: this.config.logLevel,
    };
  }

  #banner(): object {
    const { config, limits } = this;
    return {
      version: VERSION,
      dataDir: limits.dataDir,
      database: this.#database?.kind,
      nextSeq: this.#outlet.hub.headSeq() + 1,
      replayWindowHours: config.replayWindowMs / (3600 * SECOND_MS),
      verifyThreads: config.verifyThreadCount,
      api: `${config.apiListen.host}:${this.apiPort}`,
      metrics: `${config.metricsListen.host}:${this.metricsPort}`,
      plc: config.plcOrigin,
    };
  }
}
