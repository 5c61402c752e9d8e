/** A log server and a crowd of its consumers, each in a process of its own, and their reports. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CrowdOrder, GroupReport } from './crowd.ts';
import type { FeedOrder } from './feeder-thread.ts';
import type { Habit } from './habits.ts';
import type { ServerOptions, ServerOrder, ServerStats } from './log-server.ts';

const WATCH_MS = 250;

/** A child that answers orders one after another. */
class Child {
  readonly #process: ChildProcess;
  readonly #waiting: ((answer: unknown) => void)[] = [];
  readonly ended: Promise<void>;

  constructor(file: string, args: readonly string[]) {
    this.#process = fork(join(import.meta.dirname, file), args, {
      execArgv: ['--max-old-space-size=512'],
    });
    this.#process.on('message', (answer) => this.#waiting.shift()?.(answer));
    this.ended = new Promise((resolve) => this.#process.once('exit', () => resolve()));
  }

  answer<Answer>(): Promise<Answer> {
    return new Promise((resolve) => {
      this.#waiting.push((answer) => resolve(answer as Answer));
    });
  }

  tell(order: ServerOrder | CrowdOrder): void {
    this.#process.send(order);
  }

  ask<Answer>(order: ServerOrder | CrowdOrder): Promise<Answer> {
    const answer = this.answer<Answer>();
    this.tell(order);
    return answer;
  }

  disconnect(): void {
    if (this.#process.connected) this.#process.disconnect();
  }
}

export class Rig {
  readonly directory = mkdtempSync(join(process.env['TEST_LOG_DIR'] ?? tmpdir(), 'crowd-log-'));
  readonly #server: Child;
  readonly #crowd = new Child('crowd.ts', []);
  #port = 0;
  #watch: NodeJS.Timeout | undefined;
  #feeds = 0;
  rssBytesMax = 0;

  constructor(options: Omit<ServerOptions, 'directory'> = {}) {
    const text = JSON.stringify({ ...options, directory: this.directory });
    this.#server = new Child('log-server.ts', [text]);
  }

  async start(): Promise<this> {
    this.#port = await this.#server.answer<number>();
    return this;
  }

  /** Begins to feed; with `perSecond` at that pace. */
  feed(order: FeedOrder): void {
    this.#feeds++;
    this.#server.tell({ kind: 'feed', feed: order });
  }

  /** All that was to be fed is durable. */
  async fed(): Promise<ServerStats> {
    for (;;) {
      const stats = await this.stats();
      if (stats.feedsDone >= this.#feeds) return stats;
      await sleep(WATCH_MS);
    }
  }

  async stats(): Promise<ServerStats> {
    const stats = await this.#server.ask<ServerStats>({ kind: 'stats' });
    this.rssBytesMax = Math.max(this.rssBytesMax, stats.rssBytes);
    return stats;
  }

  /** Keeps an eye on the memory of the server. */
  watch(): void {
    this.#watch ??= setInterval(() => void this.stats(), WATCH_MS);
  }

  async open(habit: Habit, count: number, query = ''): Promise<void> {
    await this.#crowd.ask({ kind: 'open', port: this.#port, habit, count, query });
  }

  /** Delays count from now on. */
  measure(): void {
    this.#crowd.tell({ kind: 'measure' });
  }

  report(): Promise<Partial<Record<Habit, GroupReport>>> {
    return this.#crowd.ask({ kind: 'report' });
  }

  wake(...habits: Habit[]): void {
    this.#crowd.tell({ kind: 'wake', habits });
  }

  leave(...habits: Habit[]): void {
    this.#crowd.tell({ kind: 'leave', habits });
  }

  async stop(): Promise<void> {
    clearInterval(this.#watch);
    this.#crowd.disconnect();
    this.#server.tell({ kind: 'close' });
    await Promise.all([this.#server.ended, this.#crowd.ended]);
    rmSync(this.directory, { recursive: true });
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function until(check: () => Promise<boolean>, msMax: number): Promise<boolean> {
  const endMs = performance.now() + msMax;
  while (!(await check())) {
    if (performance.now() > endMs) return false;
    await sleep(WATCH_MS);
  }
  return true;
}
