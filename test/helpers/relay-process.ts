/** Starts relays for end-to-end tests, on free ports and in a data directory of the test's own. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChaosAction } from '../../lib/shared/chaos.ts';

export const ADMIN_PASSWORD = 'a password for tests only';

export type RelayOptions = {
  /** Kept across restarts; made anew by default. */
  dataDir?: string;
  env?: Record<string, string>;
  /** Options of Node itself. */
  execArgv?: readonly string[];
};

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

export class RelayProcess {
  readonly dataDir: string;
  readonly child: ChildProcess;
  apiPort = 0;
  metricsPort = 0;
  stdout = '';
  stderr = '';
  readonly exited: Promise<Exit>;
  #messages = new Map<string, () => void>();

  private constructor(dataDir: string, options: RelayOptions) {
    this.dataDir = dataDir;
    this.child = fork(new URL('./relay-child.ts', import.meta.url), [], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [...(options.execArgv ?? [])],
      env: {
        PATH: process.env['PATH'],
        ...compileCache(options.execArgv),
        RELAY_DATA_DIR: dataDir,
        RELAY_BALLAST_BYTES: '0',
        RELAY_API_BIND: '127.0.0.1:0',
        RELAY_METRICS_LISTEN: '127.0.0.1:0',
        RELAY_ALLOW_INSECURE_HOSTS: 'true',
        RELAY_TRUSTED_DOMAINS: '*',
        RELAY_ADMIN_PASSWORD: ADMIN_PASSWORD,
        RELAY_STARTUP_WINDOW: '0s',
        RELAY_CHECKPOINT_PERIOD: '300ms',
        RELAY_VERIFY_THREADS: '2',
        ...options.env,
      },
    });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout = (this.stdout + chunk).slice(-400_000);
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk;
    });
    const { promise, resolve } = Promise.withResolvers<Exit>();
    this.exited = promise;
    this.child.on('exit', (code, signal) => resolve({ code, signal }));
  }

  /** Resolves when the relay reads hosts; rejects with its output when it ends before. */
  static async start(options: RelayOptions = {}): Promise<RelayProcess> {
    const relay = RelayProcess.launch(options);
    try {
      await relay.until('ready');
    } catch (error) {
      // libfiu starts a thread in every child, also between fork and exec, and its open() of a FIFO
      // holds a descriptor number meanwhile: the one that flock(1) or PostgreSQL is to get may be it.
      const isRace =
        'LD_PRELOAD' in (options.env ?? {}) && /spawn(Sync flock)? EBUSY/.test(relay.stderr);
      if (!isRace) throw error;
      return await RelayProcess.start({ ...options, dataDir: relay.dataDir });
    }
    return relay;
  }

  /** Does not wait for anything. */
  static launch(options: RelayOptions = {}): RelayProcess {
    const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'skyrelay-test-'));
    const relay = new RelayProcess(dataDir, options);
    relay.child.on(
      'message',
      (message: { type: string; apiPort?: number; metricsPort?: number }) => {
        if (message.type === 'started') {
          relay.apiPort = message.apiPort ?? 0;
          relay.metricsPort = message.metricsPort ?? 0;
        }
        relay.#messages.set(message.type, () => {});
      },
    );
    return relay;
  }

  /** `started`: it serves the log; `ready`: it reads hosts. */
  async until(state: 'started' | 'ready', msMax = 60_000): Promise<void> {
    const endMs = performance.now() + msMax;
    let isOver = false;
    void this.exited.then(() => {
      isOver = true;
    });
    while (!this.#messages.has(state)) {
      if (isOver || performance.now() > endMs) {
        throw new Error(`relay is not ${state}\n${this.stdout}\n${this.stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.apiPort}`;
  }

  get streamUrl(): string {
    return `ws://127.0.0.1:${this.apiPort}/xrpc/com.atproto.sync.subscribeRepos`;
  }

  /** Asks the relay to crawl, as its operator: no limits per day or address. */
  async crawl(hostname: string): Promise<void> {
    const response = await this.admin('pds/requestCrawl', { hostname });
    if (response.status !== 200)
      throw new Error(`crawl: ${response.status} ${await response.text()}`);
  }

  /** Asks an admin route, with a body by POST. */
  admin(route: string, body?: object): Promise<Response> {
    const auth = Buffer.from(`admin:${ADMIN_PASSWORD}`).toString('base64');
    const headers = { 'content-type': 'application/json', authorization: `Basic ${auth}` };
    const post = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    return fetch(`${this.url}/admin/${route}`, { headers, ...post });
  }

  /** One value of /metrics; the sum over all labels of the family unless `series` has some. */
  async metric(series: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.metricsPort}/metrics`)).text();
    let sum = 0;
    for (const line of text.split('\n')) {
      const isMatch = line.startsWith(`${series} `) || line.startsWith(`${series}{`);
      if (isMatch) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return sum;
  }

  /** All rejects by code that are not zero. */
  async rejects(): Promise<Record<string, number>> {
    const text = await (await fetch(`http://127.0.0.1:${this.metricsPort}/metrics`)).text();
    const found: Record<string, number> = {};
    for (const line of text.split('\n')) {
      const code = /^relay_reject_events_total\{.*(?:code|reason)="(\w+)"/.exec(line)?.[1];
      const value = Number(line.slice(line.lastIndexOf(' ') + 1));
      if (code !== undefined && value > 0) found[code] = (found[code] ?? 0) + value;
    }
    return found;
  }

  chaos(action: ChaosAction, argument: number): void {
    this.child.send({ type: 'chaos', action, argument });
  }

  /** Blocks main's event loop. */
  block(ms: number): void {
    this.child.send({ type: 'block', ms });
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.child.kill(signal);
    return this.exited;
  }

  /** Stops it, ends a PostgreSQL that a kill left behind, and removes the directory. */
  async dispose(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill('SIGTERM');
    else await stopLeftover(this.dataDir);
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

/** Compiled code is shared, but not with what changes code while it loads. */
function compileCache(execArgv: readonly string[] = []): Record<string, string> {
  const directory = process.env['NODE_COMPILE_CACHE'];
  return directory === undefined || execArgv.length > 0 ? {} : { NODE_COMPILE_CACHE: directory };
}

/** A relay that was killed leaves its PostgreSQL running, to be adopted; at the end of a test it must go. */
export async function stopLeftover(dataDir: string): Promise<void> {
  const { readFileSync } = await import('node:fs');
  try {
    const pid = Number(
      readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0],
    );
    process.kill(pid, 'SIGINT');
    for (let i = 0; i < 100; i++) {
      process.kill(pid, 0);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } catch {
    // Gone, or never there.
  }
}
