/**
 * A log server and crowds of its consumers, and their reports. Who keeps up is in a process of its
 * own: what the others do with their time would be taken for delay. Those stand for other machines,
 * and are left what the rest does not need of this one.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CrowdOrder, GroupReport } from './crowd.ts';
import type { FeedOrder } from './feeder-thread.ts';
import type { Habit } from './habits.ts';
import type { ServerOptions, ServerOrder, ServerStats } from './log-server.ts';

const WATCH_MS = 250;
const LIVE_HABITS: ReadonlySet<Habit> = new Set(['fast', 'pinging']);

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
  readonly #live = new Child('crowd.ts', []);
  readonly #others = new Child('crowd.ts', ['nice']);
  #port = 0;
  #watch: NodeJS.Timeout | undefined;
  #feeds = 0;
  #eventsFed = 0;
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
    this.#eventsFed += order.total;
    this.#server.tell({ kind: 'feed', feed: order });
  }

  /** All that was to be fed is durable. */
  async fed(): Promise<ServerStats> {
    for (;;) {
      const stats = await this.stats();
      const isDurable = stats.headSeq >= this.#eventsFed;
      if (stats.feedsDone >= this.#feeds && isDurable) return stats;
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
    const crowd = LIVE_HABITS.has(habit) ? this.#live : this.#others;
    await crowd.ask({ kind: 'open', port: this.#port, habit, count, query });
  }

  /** Delays count from now on. */
  measure(): void {
    this.#tell({ kind: 'measure' });
  }

  async report(): Promise<Partial<Record<Habit, GroupReport>>> {
    const ask = (crowd: Child) =>
      crowd.ask<Partial<Record<Habit, GroupReport>>>({ kind: 'report' });
    return { ...(await ask(this.#live)), ...(await ask(this.#others)) };
  }

  wake(...habits: Habit[]): void {
    this.#tell({ kind: 'wake', habits });
  }

  leave(...habits: Habit[]): void {
    this.#tell({ kind: 'leave', habits });
  }

  async stop(): Promise<void> {
    clearInterval(this.#watch);
    this.#live.disconnect();
    this.#others.disconnect();
    this.#server.tell({ kind: 'close' });
    await Promise.all([this.#server.ended, this.#live.ended, this.#others.ended]);
    rmSync(this.directory, { recursive: true });
  }

  #tell(order: CrowdOrder): void {
    this.#live.tell(order);
    this.#others.tell(order);
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
