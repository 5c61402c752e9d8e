/**
 * The built-in PostgreSQL: a real server for operators who set no DATABASE_URL. It listens on a
 * unix socket below the data directory only, in a session of its own, so that Ctrl-C does not
 * reach it before our last write. It outlives a killed relay and is adopted by the next one; a
 * watcher starts it again when it dies. Call it only while holding the data directory's lock: a
 * second relay would adopt, and later stop, the server of the first.
 *
 *   (absent) ──spawn──▶ starting ──ready──▶ running ──died──▶ starting …   stop() ends any state
 *   (left over) ──healthy, same settings──▶ running      else stopped, then spawned
 * @thread main
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import type { Clock } from '../base/clock.ts';
import { errorCode, errorText, RelayFault } from '../base/fault.ts';
import { type SupervisedLoop, supervise } from '../base/supervise.ts';
import { MINUTE_MS, SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { locateNativeDir, type PostgresBinaries, prepareBinaries } from './embedded-binaries.ts';
import {
  CLUSTER_PORT,
  CLUSTER_ROLE,
  ensureCluster,
  openServerLog,
  removeStaleLocks,
  serverLogBytes,
  serverLogTail,
  socketDirOf,
  trimServerLog,
} from './embedded-cluster.ts';
import { type ClusterUser, chooseClusterUser } from './embedded-user.ts';
import {
  clusterName,
  isRunning,
  killOrphans,
  readPostmasterFile,
  stopCluster,
} from './postmaster.ts';
import { probeServer, TAG_SETTING } from './server-probe.ts';

export type EmbeddedOptions = {
  /** The relay's data directory; the cluster is `postgres` below it. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  /** Connections of all pools of all threads together; room for our own is added. */
  readonly connectionsMax?: number;
  /** False only in tests: a power loss may then destroy the cluster. */
  readonly isSyncing?: boolean;
  /** Longest wait for a server that starts or recovers. */
  readonly startMsMax?: number;
  /** Longest wait for a fast stop; an immediate one follows. */
  readonly stopMsMax?: number;
  /** Longest wait for one answer before a server counts as frozen. */
  readonly probeMs?: number;
};

export type EmbeddedPostgres = {
  /** Plain data: may be handed to other threads. It stays the same when the server restarts. */
  readonly connection: pg.PoolConfig;
  /** Process id of the server; another one after a restart. */
  readonly pid: number;
  /** Whether it was found running at the start. */
  readonly isAdopted: boolean;
  /** How often the watcher had to start it again. */
  readonly restartCount: number;
  /** Stops the watcher, then the server: fast, after `stopMsMax` immediately. */
  stop(): Promise<void>;
  /** Stops the watcher and leaves the server running. */
  release(): Promise<void>;
};

type Readiness =
  | 'ready'
  | 'ended'
  | 'stopped'
  | 'other settings'
  | 'silent'
  | 'absent'
  | 'too slow';

const CONNECTIONS_MAX = 40;
/** For the lock's session, a migration, probes, and an operator who looks. */
const CONNECTIONS_SPARE = 10;
const START_MS_MAX = 10 * MINUTE_MS;
const STOP_MS_MAX = 10 * SECOND_MS;
const IMMEDIATE_MS = 3 * SECOND_MS;
const PROBE_MS = 2 * SECOND_MS;
const LOOK_MS = 25;
/** A server that is busy longer than this recovers: say so (G13). */
const BUSY_MS = 2 * SECOND_MS;
/** A server that listens nowhere this long after its start is not one that still starts. */
const ABSENT_MS_MAX = 10 * SECOND_MS;
const WATCH_MS = SECOND_MS;
const RESTART_BACKOFF = { delayMsMin: 100, delayMsMax: 4 * SECOND_MS };

/**
 * Starts or adopts the server and resolves when it answers. A RelayFault says what is wrong:
 * `embedded_missing`, `_unsupported`, `_unreachable`, `_owner`, `_version`, `_damaged`, `_start`.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  try {
    return await startServer(options);
  } catch (error) {
    const code = errorCode(error);
    if (error instanceof RelayFault || code === '') throw error;
    const message = `cannot start the built-in PostgreSQL: ${errorText(error)}`;
    const isRetryable = code === 'ENOSPC' || code === 'EDQUOT';
    throw new RelayFault('embedded_start', message, { isRetryable, cause: error });
  }
}

async function startServer(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  mkdirSync(options.dataDir, { recursive: true });
  const dataDir = realpathSync(options.dataDir);
  const clusterDir = join(dataDir, 'postgres');
  const binaries = prepareBinaries(locateNativeDir(), join(dataDir, 'postgres.lib'));
  const user = await chooseClusterUser(binaries, dataDir, clusterDir);
  await ensureCluster(binaries, user, dataDir, clusterDir, options.isSyncing ?? true);
  const server = new EmbeddedServer(options, binaries, user, dataDir, clusterDir);
  await server.start();
  return server;
}

class EmbeddedServer implements EmbeddedPostgres {
  readonly connection: pg.PoolConfig;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: MetricWriter;
  readonly #binaries: PostgresBinaries;
  readonly #user: ClusterUser;
  readonly #clusterDir: string;
  readonly #socketDir: string;
  readonly #settings: readonly string[];
  readonly #tag: string;
  readonly #startMsMax: number;
  readonly #stopMsMax: number;
  readonly #probeMs: number;
  readonly #logFd: number;
  #watcher: SupervisedLoop | undefined;
  #pid = 0;
  #isAdopted = false;
  #restartCount = 0;
  #isClosed = false;

  constructor(
    options: EmbeddedOptions,
    binaries: PostgresBinaries,
    user: ClusterUser,
    dataDir: string,
    clusterDir: string,
  ) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#metrics = options.metrics;
    this.#binaries = binaries;
    this.#user = user;
    this.#clusterDir = clusterDir;
    this.#socketDir = socketDirOf(clusterDir, user);
    this.#settings = serverSettings(options, this.#socketDir, clusterName(clusterDir));
    this.#tag = tagOf([binaries.postgres, ...this.#settings]);
    this.#startMsMax = options.startMsMax ?? START_MS_MAX;
    this.#stopMsMax = options.stopMsMax ?? STOP_MS_MAX;
    this.#probeMs = options.probeMs ?? PROBE_MS;
    this.#logFd = openServerLog(dataDir);
    this.connection = {
      host: this.#socketDir,
      port: CLUSTER_PORT,
      user: CLUSTER_ROLE,
      database: 'postgres',
      ssl: false,
    };
  }

  get pid(): number {
    return this.#pid;
  }

  get isAdopted(): boolean {
    return this.#isAdopted;
  }

  get restartCount(): number {
    return this.#restartCount;
  }

  async start(): Promise<void> {
    try {
      this.#isAdopted = await this.#adopt();
      if (!this.#isAdopted) await this.#launch();
    } catch (error) {
      this.#close();
      throw error;
    }
    const fields = { pid: this.#pid, isAdopted: this.#isAdopted, socketDir: this.#socketDir };
    this.#logger.info(fields, 'built-in PostgreSQL is ready');
    const watch = (signal: AbortSignal): Promise<void> => this.#watch(signal);
    this.#watcher = supervise('embedded_postgres', this.#clock, this.#logger, watch, {
      periodMs: WATCH_MS,
      backoff: RESTART_BACKOFF,
    });
  }

  async stop(): Promise<void> {
    await this.#watcher?.stop();
    await this.#end(this.#pid);
    this.#close();
  }

  async release(): Promise<void> {
    await this.#watcher?.stop();
    this.#close();
  }

  #close(): void {
    if (!this.#isClosed) closeSync(this.#logFd);
    this.#isClosed = true;
  }

  /** One look of the watcher: the log stays bounded, a dead server comes back. */
  async #watch(signal: AbortSignal): Promise<void> {
    trimServerLog(this.#logFd);
    if (isRunning(this.#pid, this.#clusterDir)) return;
    this.#logger.warn({ pid: this.#pid }, 'built-in PostgreSQL died; starting it again');
    await this.#launch(signal);
    this.#restartCount++;
    this.#metrics.add('relay_store_restarts_total');
    this.#logger.info({ pid: this.#pid }, 'built-in PostgreSQL is back');
  }

  /** Takes over a server that a killed relay left, or makes room for a new one. */
  async #adopt(): Promise<boolean> {
    const file = readPostmasterFile(this.#clusterDir);
    if (file === undefined || !isRunning(file.pid, this.#clusterDir)) return false;
    const verdict = await this.#awaitReady(file.pid, file.socketDir);
    if (verdict === 'ready') {
      this.#pid = file.pid;
      return true;
    }
    this.#logger.info({ pid: file.pid, verdict }, 'stopping a left-over PostgreSQL');
    await this.#end(file.pid);
    return false;
  }

  async #launch(signal?: AbortSignal): Promise<void> {
    // Orphans of a killed postmaster hold its shared memory, and a lock file may name a process
    // id that is somebody else's by now: both would make the new server refuse to start.
    await killOrphans(this.#clusterDir, this.#clock);
    removeStaleLocks(this.#clusterDir, this.#socketDir);
    const logStartByte = serverLogBytes(this.#logFd);
    this.#pid = await this.#spawn();
    const verdict = await this.#awaitReady(this.#pid, this.#socketDir, signal);
    if (verdict === 'ready') return;
    await this.#end(this.#pid);
    const tail = serverLogTail(this.#logFd, logStartByte);
    const message = `the built-in PostgreSQL did not start (${verdict}): ${tail}`;
    throw new RelayFault('embedded_start', message, { isRetryable: true });
  }

  #end(pid: number): Promise<void> {
    const immediateMs = Math.min(this.#stopMsMax, IMMEDIATE_MS);
    const times = { fastMs: this.#stopMsMax, immediateMs };
    return stopCluster(pid, this.#clusterDir, this.#clock, times);
  }

  #spawn(): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const program = [this.#binaries.postgres, '-D', this.#clusterDir, ...this.#settings];
    program.push('-c', `${TAG_SETTING}=${this.#tag}`);
    const [file = '', ...args] = [...this.#user.prefix, ...program];
    const child = spawn(file, args, {
      // A session of its own: no signal of our terminal reaches it.
      detached: true,
      cwd: '/',
      env: { ...this.#binaries.env },
      stdio: ['ignore', this.#logFd, this.#logFd],
      ...this.#user.ids,
    });
    child.once('error', (cause) => {
      const message = `cannot run ${file}`;
      reject(new RelayFault('embedded_start', message, { isRetryable: true, cause }));
    });
    child.once('spawn', () => resolve(child.pid ?? 0));
    child.once('exit', () => this.#watcher?.wake());
    child.unref();
    return promise;
  }

  /** Waits for an answer of server `pid`; the verdict says what else happened. */
  async #awaitReady(pid: number, socketDir: string, signal?: AbortSignal): Promise<Readiness> {
    const connection = { ...this.connection, host: socketDir };
    const startMs = this.#clock.monoMs();
    let silentCount = 0;
    let isTold = false;
    for (;;) {
      const probe = await probeServer(connection, this.#probeMs);
      if (probe.state === 'ready') {
        return probe.tag === this.#tag ? 'ready' : 'other settings';
      }
      if (!(await this.#isStillRunning(pid, startMs))) return 'ended';
      // A recovery may take longer than a stop may (G25); it is taken up by the next start.
      if (signal?.aborted === true) return 'stopped';
      if (probe.state === 'silent' && ++silentCount === 2) return 'silent';
      const waitedMs = this.#clock.monoMs() - startMs;
      if (probe.state === 'busy' && waitedMs > BUSY_MS && !isTold) {
        this.#logger.info({ pid, reason: probe.reason }, 'waiting for PostgreSQL to recover');
        isTold = true;
      }
      if (probe.state === 'absent' && waitedMs > ABSENT_MS_MAX) return 'absent';
      if (waitedMs > this.#startMsMax) return 'too slow';
      await this.#clock.sleep(LOOK_MS);
    }
  }

  /** Right after the start a process still shows the command line of `unshare`, or of us. */
  async #isStillRunning(pid: number, startMs: number): Promise<boolean> {
    if (isRunning(pid, this.#clusterDir)) return true;
    if (this.#clock.monoMs() - startMs > 500) return false;
    await this.#clock.sleep(LOOK_MS);
    return isAlive(pid);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function serverSettings(options: EmbeddedOptions, socketDir: string, name: string): string[] {
  const settings: Record<string, string | number> = {
    listen_addresses: '',
    port: CLUSTER_PORT,
    unix_socket_directories: socketDir,
    unix_socket_permissions: '0700',
    cluster_name: name,
    max_connections: (options.connectionsMax ?? CONNECTIONS_MAX) + CONNECTIONS_SPARE,
    shared_buffers: '128MB',
    huge_pages: 'off',
    // No standby reads this log: keep it small.
    wal_level: 'minimal',
    max_wal_senders: 0,
    max_wal_size: '256MB',
    min_wal_size: '64MB',
    max_parallel_workers_per_gather: 0,
    max_worker_processes: 2,
    io_method: 'sync',
    jit: 'off',
    // Errors go to the client, which is us; the server log keeps starts, stops and crashes.
    log_min_messages: 'log',
    log_checkpoints: 'off',
    log_timezone: 'UTC',
    timezone: 'UTC',
  };
  if (options.isSyncing === false) settings['fsync'] = 'off';
  return Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
}

function tagOf(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 16);
}
