/**
 * The relay of the demo: lib/main.ts in a process of its own, started, asked and stopped the way an
 * operator does it. Its data directory is temporary, its ports are any free ones, its database is
 * the built-in one. A terminal's Ctrl-C does not reach it: it is a session of its own.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SystemClock } from '../../lib/base/clock.ts';
import { killOrphans, readPostmasterFile, stopCluster } from '../../lib/store/postmaster.ts';
import { readSample, type Sample } from './metrics.ts';

const MAIN = fileURLToPath(new URL('../../lib/main.ts', import.meta.url));
const LEASH = new URL('./leash.ts', import.meta.url).href;
/** What a process needs of its surroundings; settings of another relay must not leak in. */
const INHERITED = ['PATH', 'HOME', 'USER', 'LANG', 'TZ', 'TMPDIR', 'NODE_V8_COVERAGE'];
const LINES_KEPT = 20;
const COMPLAINTS = ['warn', 'error', 'fatal'];
const LAST_WORDS_MS = 500;
const STOP_MS_MAX = 20_000;
const REQUEST_MS_MAX = 10_000;
const RETRY_MS = 100;
const START_MS_MAX = 60_000;
const STARTING_STATUS = 503;

export type RelayExit = { readonly code: number | null; readonly signal: string | null };
type LogLine = { level?: string; msg?: string; api?: string; metrics?: string };

export class RelayProcess {
  readonly dataDir = realpathSync(mkdtempSync(join(tmpdir(), 'skyrelay-demo-')));
  /** Set once it has ended. */
  exit: RelayExit | undefined;
  /** The last lines on its stderr, and warnings from its log. */
  readonly complaints: string[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #password = randomBytes(24).toString('hex');
  #api = '';
  #metrics = '';
  #rest = '';
  #isUp = false;
  #isKilled = false;

  constructor(plcOrigin: string) {
    const inherited = INHERITED.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    this.#child = fork(MAIN, ['serve'], {
      execArgv: ['--import', LEASH],
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        ...Object.fromEntries(inherited),
        RELAY_DATA_DIR: this.dataDir,
        RELAY_BALLAST_BYTES: '0',
        RELAY_API_BIND: '127.0.0.1:0',
        RELAY_METRICS_LISTEN: '127.0.0.1:0',
        RELAY_ADMIN_PASSWORD: this.#password,
        RELAY_PLC_HOST: plcOrigin,
        RELAY_ALLOW_INSECURE_HOSTS: 'true',
        RELAY_TRUSTED_DOMAINS: '*',
        RELAY_SHUTDOWN_TIMEOUT: '10s',
      },
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    this.#child.on('exit', (code, signal) => {
      this.exit = { code, signal };
      // Time for its last words, which are in the pipe still.
      this.#child.on('close', resolve);
      setTimeout(resolve, LAST_WORDS_MS);
    });
    this.#child.on('error', (error) => this.#complain(error.message));
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#onLog(String(chunk)));
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      for (const line of String(chunk).trimEnd().split('\n')) {
        if (!line.startsWith('skyrelay: setting ')) this.#complain(line);
      }
    });
  }

  get streamUrl(): string {
    return `ws://${this.#api}/xrpc/com.atproto.sync.subscribeRepos`;
  }

  /** Resolves when it serves; rejects when it ended before or takes for ever. */
  async untilServing(signal: AbortSignal): Promise<void> {
    const endMs = performance.now() + START_MS_MAX;
    while (this.#api === '') {
      signal.throwIfAborted();
      if (this.exit !== undefined) throw new Error('the relay ended at its start');
      if (performance.now() > endMs) throw new Error('the relay does not start');
      await pause(RETRY_MS);
    }
  }

  /** Adds a host as an operator does; waits for a relay that is not ready for it yet. */
  async requestCrawl(hostname: string, signal: AbortSignal): Promise<void> {
    const endMs = performance.now() + START_MS_MAX;
    const credentials = Buffer.from(`admin:${this.#password}`).toString('base64');
    for (;;) {
      const response = await fetch(`http://${this.#api}/admin/pds/requestCrawl`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Basic ${credentials}` },
        body: JSON.stringify({ hostname }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS_MAX)]),
      });
      const text = await response.text();
      if (response.status === 200) {
        this.#isUp = true;
        return;
      }
      const isOver = response.status !== STARTING_STATUS || performance.now() > endMs;
      if (isOver) throw new Error(`requestCrawl of ${hostname}: ${response.status} ${text}`);
      await pause(RETRY_MS);
    }
  }

  async sample(): Promise<Sample> {
    const signal = AbortSignal.timeout(REQUEST_MS_MAX);
    const response = await fetch(`http://${this.#metrics}/metrics`, { signal });
    return readSample(await response.text());
  }

  /** What is wrong with how it ended; undefined where nothing is, or where it was killed. */
  get problem(): string | undefined {
    if (this.exit === undefined || this.#isKilled || this.exit.code === 0) return undefined;
    return `the relay ended with ${this.exit.signal ?? `exit code ${this.exit.code}`}`;
  }

  /** Stops it in order, if it is up. The data directory goes with it. */
  async stop(): Promise<void> {
    // In the middle of its start a signal would end it at once, with its database left running.
    if (!this.#isUp) return this.kill();
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.complaints.push(`the relay did not stop within ${STOP_MS_MAX / 1000} s`);
      this.#child.kill('SIGKILL');
    }, STOP_MS_MAX);
    await this.#ended;
    clearTimeout(timer);
    await this.#sweep();
  }

  /** Ends it now, with all that it has started. */
  async kill(): Promise<void> {
    this.#killGroup();
    await this.#ended;
    await this.#sweep();
  }

  /** For the very end of the process: no promise gets its turn any more. */
  abandon(): void {
    if (this.exit === undefined) this.#killGroup();
  }

  #killGroup(): void {
    const { pid } = this.#child;
    if (pid === undefined || this.exit !== undefined) return;
    this.#isKilled = true;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It ended in between.
    }
  }

  /** A relay that ended in order has stopped its database; one that did not has left it running. */
  async #sweep(): Promise<void> {
    const clusterDir = join(this.dataDir, 'postgres');
    const clock = new SystemClock();
    const postmaster = readPostmasterFile(clusterDir);
    if (postmaster === undefined) await killOrphans(clusterDir, clock);
    else await stopCluster(postmaster.pid, clusterDir, clock, { fastMs: 0, immediateMs: 2000 });
    rmSync(this.dataDir, { recursive: true, force: true, maxRetries: 5 });
  }

  #onLog(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const entry = parseLine(line);
      if (COMPLAINTS.includes(entry.level ?? 'warn')) this.#complain(line);
      if (entry.msg !== 'skyrelay serves') continue;
      this.#api = entry.api ?? '';
      this.#metrics = entry.metrics ?? '';
    }
  }

  #complain(line: string): void {
    this.complaints.push(line);
    if (this.complaints.length > LINES_KEPT) this.complaints.shift();
  }
}

function parseLine(line: string): LogLine {
  try {
    const entry: LogLine = JSON.parse(line);
    return entry;
  } catch {
    return {};
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
