/**
 * The one piscina pool: N verify tasks and one persist task, each a task that never ends, on a
 * thread of its own. piscina does not run a failed task again: a verify thread that died or hangs
 * gets a successor from here, with back-off; `persist` has none, its end is the end of the process.
 *
 *   verify s: starting → ready → (died | hung → aborted) → waiting → starting …
 * @thread main
 */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { type BackoffPolicy, backoffDelayMs } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { errorText } from '../base/fault.ts';
import { Prng } from '../base/prng.ts';
import { SECOND_MS } from '../base/units.ts';
import type { PersistTask } from '../log/run-persist.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { Regions } from '../ring/regions.ts';
import type { VerifyTask } from '../shard/task.ts';
import type { PositionReader } from '../shared/position.ts';
import { Words } from '../shared/regions.ts';

const WATCH_MS = 500;
const START_MS_MAX = 30 * SECOND_MS;
/** After this long in service a death counts as the first again. */
const STEADY_MS_MIN = 30 * SECOND_MS;
const BACKOFF: BackoffPolicy = { delayMsMin: 100, delayMsMax: 5 * SECOND_MS };
// .ts in the tree, .js in a build.
const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'));

export type ThreadPoolOptions = {
  readonly regions: Regions;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  /** A verify thread whose heartbeat stands still so long is replaced (idle ones beat too). */
  readonly verifyHangMs: number;
  /** `persist` ended without being told to: the process must end. */
  readonly onPersistEnd: (problem: string) => void;
};

type Shard = {
  readonly index: number;
  readonly beat: PositionReader;
  readonly ready: PositionReader;
  generation: number;
  abort: AbortController;
  startedMs: number;
  beatSeen: number;
  beatSeenMs: number;
  deathsInRow: number;
  retry: Timer | undefined;
  ended: Promise<void>;
};

export class ThreadPool {
  readonly #options: ThreadPoolOptions;
  readonly #pool: Piscina;
  readonly #words: Words;
  readonly #prng = new Prng(2);
  #shards: Shard[] = [];
  #watch: Timer | undefined;
  #watchedMs = 0;
  #isStopping = false;
  /** Whether it returned as told to, once it has ended. */
  #persistEnded: Promise<boolean> = Promise.resolve(true);
  #makeTask: ((shard: number, generation: number) => VerifyTask) | undefined;

  constructor(options: ThreadPoolOptions) {
    this.#options = options;
    this.#words = new Words(options.regions.words);
    const threadCount = options.regions.shardCount + 1;
    this.#pool = new Piscina({
      minThreads: threadCount,
      maxThreads: threadCount,
      idleTimeout: Number.POSITIVE_INFINITY,
      // The default would block the event loop of a worker between tasks.
      atomics: 'disabled',
      concurrentTasksPerWorker: 1,
    });
    // Its tasks report their own ends; an 'error' without a listener would end the process.
    this.#pool.on('error', (error) => {
      options.logger.error({ error: errorText(error) }, 'thread pool');
    });
  }

  startPersist(task: PersistTask): void {
    this.#persistEnded = this.#run('persist', task, new AbortController().signal).then((end) => {
      const isClean = this.#isStopping && end === undefined;
      if (!isClean) this.#options.onPersistEnd(end ?? 'it returned');
      return isClean;
    });
  }

  /** Starts one task per shard; `makeTask` is asked again for every successor. */
  startVerify(makeTask: (shard: number, generation: number) => VerifyTask): void {
    this.#makeTask = makeTask;
    const { regions, clock } = this.#options;
    this.#shards = regions.ingest.map((_, index) => ({
      index,
      beat: this.#words.shardReader('beatVerify', index),
      ready: this.#words.shardReader('ready', index),
      generation: 0,
      abort: new AbortController(),
      startedMs: 0,
      beatSeen: 0,
      beatSeenMs: 0,
      deathsInRow: 0,
      retry: undefined,
      ended: Promise.resolve(),
    }));
    for (const shard of this.#shards) this.#startShard(shard);
    this.#watch = clock.every(WATCH_MS, () => this.#watchShards());
  }

  /** Whether every shard has been rebuilt and reads its ring. */
  isVerifyReady(): boolean {
    return this.#shards.every((shard) => shard.ready.observe() === shard.generation);
  }

  /** The stop word is set: resolves when all verify tasks have returned, or after `msMax`. */
  async stopVerify(msMax: number): Promise<void> {
    this.#isStopping = true;
    this.#watch?.cancel();
    for (const shard of this.#shards) {
      shard.retry?.cancel();
      this.#words.shardBell(shard.index).ring();
    }
    await this.#within(Promise.all(this.#shards.map((shard) => shard.ended)), msMax, []);
    for (const shard of this.#shards) shard.abort.abort();
  }

  /**
   * The stop word says so: resolves with true when `persist` has returned, with false when it
   * ended in an error (the last batch may not be durable) or not within `msMax`.
   */
  async stopPersist(msMax: number): Promise<boolean> {
    this.#isStopping = true;
    this.#words.bell('bellPersist').ring();
    return this.#within(this.#persistEnded, msMax, false);
  }

  /** What the promise brings, or `late` after `msMax`; leaves no timer behind. */
  async #within<Value>(promise: Promise<Value>, msMax: number, late: Value): Promise<Value> {
    const timer = new AbortController();
    const timeout = this.#options.clock.sleep(msMax, timer.signal).then(() => late);
    const first = await Promise.race([promise, timeout]);
    timer.abort();
    return first;
  }

  async destroy(): Promise<void> {
    this.#isStopping = true;
    this.#watch?.cancel();
    await this.#pool.destroy();
  }

  #startShard(shard: Shard): void {
    shard.generation += 1;
    this.#words.shardWriter('generation', shard.index).publish(shard.generation);
    shard.abort = new AbortController();
    shard.startedMs = this.#options.clock.monoMs();
    shard.beatSeenMs = shard.startedMs;
    const task = this.#makeTask?.(shard.index, shard.generation);
    shard.ended = this.#run('verify', task, shard.abort.signal).then((end) =>
      this.#onShardEnd(shard, end),
    );
  }

  /** Runs a task; resolves with what went wrong, or undefined for a clean return. */
  async #run(role: string, task: unknown, signal: AbortSignal): Promise<string | undefined> {
    const entry = new URL(`../../workers/${role}${EXTENSION}`, import.meta.url);
    try {
      await this.#pool.run(task, { filename: fileURLToPath(entry), signal });
      return undefined;
    } catch (error) {
      return errorText(error);
    }
  }

  #onShardEnd(shard: Shard, end: string | undefined): void {
    if (this.#isStopping) return;
    const { clock, logger, metrics } = this.#options;
    if (clock.monoMs() - shard.startedMs > STEADY_MS_MIN) shard.deathsInRow = 0;
    const delayMs = backoffDelayMs(BACKOFF, shard.deathsInRow, this.#prng);
    shard.deathsInRow += 1;
    metrics.add('relay_thread_restarts_total:verify');
    const fields = { shard: shard.index, error: end ?? 'it returned', delayMs };
    logger.error(fields, 'verify thread ended; a successor takes over');
    shard.retry = clock.after(delayMs, () => this.#startShard(shard));
  }

  #watchShards(): void {
    const nowMs = this.#options.clock.monoMs();
    // After a stall of our own (a suspended machine) nobody had the chance to beat.
    const wasAway = nowMs - this.#watchedMs > 4 * WATCH_MS;
    this.#watchedMs = nowMs;
    for (const shard of this.#shards) {
      const beat = shard.beat.observe();
      if (beat !== shard.beatSeen || wasAway) {
        shard.beatSeen = beat;
        shard.beatSeenMs = nowMs;
      } else if (nowMs - shard.beatSeenMs >= this.#hangMs(shard)) {
        const stillMs = nowMs - shard.beatSeenMs;
        shard.beatSeenMs = nowMs;
        this.#options.logger.error({ shard: shard.index, stillMs }, 'verify thread hangs');
        shard.abort.abort();
      }
    }
  }

  /** Loading its code may take a thread longer than any frame. */
  #hangMs(shard: Shard): number {
    const isStarting = shard.ready.observe() !== shard.generation;
    const { verifyHangMs } = this.#options;
    return isStarting ? Math.max(verifyHangMs, START_MS_MAX) : verifyHangMs;
  }
}
