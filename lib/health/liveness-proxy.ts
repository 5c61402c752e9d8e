/**
 * Main's end of the liveness thread: starts it, learns its port, replaces it when it dies.
 * Does not know what it answers; nothing here is needed for an answer.
 * @thread main
 */
import { Worker } from 'node:worker_threads';
import { type BackoffPolicy, backoffDelayMs } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { Prng } from '../base/prng.ts';
import { SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { LivenessData, LivenessMessage } from './liveness-data.ts';

const HEAP_MB_MAX = 128;
const START_MS_MAX = 20 * SECOND_MS;
/** After this long in service a death counts as the first again. */
const STEADY_MS_MIN = 60 * SECOND_MS;
const BACKOFF: BackoffPolicy = { delayMsMin: 100, delayMsMax: 30 * SECOND_MS };
// .ts in the tree, .js in a build.
const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
const ENTRY = new URL(`../../workers/liveness${EXTENSION}`, import.meta.url);

export class LivenessProxy {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: MetricWriter;
  readonly #prng = new Prng(1);
  readonly #entry: URL;
  #data: LivenessData;
  #worker: Worker | undefined;
  #restart: Timer | undefined;
  #deathsInRow = 0;
  #isStopping = false;

  constructor(
    data: LivenessData,
    clock: Clock,
    logger: Logger,
    metrics: MetricWriter,
    entry: URL = ENTRY,
  ) {
    this.#data = data;
    this.#clock = clock;
    this.#logger = logger;
    this.#metrics = metrics;
    this.#entry = entry;
  }

  /**
   * Starts the thread and resolves with the port it serves. Rejects with a RelayFault whose
   * message names the address where it cannot listen: the process should not go on without probes.
   */
  async start(): Promise<number> {
    const port = await this.#launch();
    // A successor serves the same port, also where any free one was asked for.
    this.#data = { ...this.#data, listen: { ...this.#data.listen, port } };
    return port;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#restart?.cancel();
    await this.#worker?.terminate();
  }

  #launch(): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const { host, port } = this.#data.listen;
    const worker = new Worker(this.#entry, {
      name: 'relay-liveness',
      workerData: this.#data,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
    });
    this.#worker = worker;
    let servedSinceMs: number | undefined;
    let problem = 'the liveness thread ended';
    const deadline = this.#clock.after(START_MS_MAX, () => {
      problem = 'the liveness thread does not start';
      end(worker);
    });
    worker.on('message', (message: LivenessMessage) => {
      if (message.type === 'listening') {
        deadline.cancel();
        servedSinceMs = this.#clock.monoMs();
        resolve(message.port);
        return;
      }
      problem = `cannot serve probes on ${host}:${port}: ${message.problem}`;
      end(worker);
    });
    worker.on('error', (error) => {
      problem = `the liveness thread failed: ${errorText(error)}`;
    });
    worker.on('exit', () => {
      deadline.cancel();
      if (servedSinceMs === undefined) {
        reject(new RelayFault('liveness_failed', problem, { isRetryable: true }));
        return;
      }
      if (this.#clock.monoMs() - servedSinceMs > STEADY_MS_MIN) this.#deathsInRow = 0;
      this.#onDeath(problem);
    });
    return promise;
  }

  #onDeath(problem: string): void {
    if (this.#isStopping) return;
    const delayMs = backoffDelayMs(BACKOFF, this.#deathsInRow++, this.#prng);
    this.#metrics.add('relay_thread_restarts_total:liveness');
    this.#logger.error({ problem, delayMs }, 'liveness thread is replaced');
    this.#restart = this.#clock.after(delayMs, () => {
      this.#launch().catch((error: unknown) => this.#onDeath(errorText(error)));
    });
  }
}

/** Its exit is reported by the `exit` event; terminate() itself has nothing to add. */
function end(worker: Worker): void {
  worker.terminate().catch(() => {});
}
