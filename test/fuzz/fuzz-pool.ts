/** The threads of a fuzz run, each given one batch after the other. */
import { Worker } from 'node:worker_threads';
import type { FuzzRange } from './fuzz-thread.ts';
import { BATCH_INPUTS, InputSource } from './input.ts';
import { savedInput } from './saved-input.ts';
import { addFailure, emptyTally, merge, type Tally } from './tally.ts';

export type FuzzRun = {
  readonly seed: number;
  readonly from: number;
  readonly count: number;
  readonly jobs: number;
  /** Gives up when there are more failures than this. */
  readonly failuresMax: number;
  readonly onProgress: (tally: Tally) => void;
  /** Longest that one input may take; default two minutes, which no busy machine makes of 50 ms. */
  readonly stuckMsMax?: number;
  /** Code of the threads, unless a test has a worse one. */
  readonly thread?: URL;
};

const STUCK_MS_MAX = 120_000;
const WATCH_EVERY_MS = 500;
const THREAD = new URL('fuzz-thread.ts', import.meta.url);

/** Inputs `from` up to `from + count`, cut where batches end. */
export function* rangesOf(from: number, count: number): Generator<FuzzRange> {
  const end = from + count;
  for (let at = from; at < end; ) {
    const to = Math.min(end, (Math.floor(at / BATCH_INPUTS) + 1) * BATCH_INPUTS);
    yield { from: at, to };
    at = to;
  }
}

/** Runs them all; rejects where a thread breaks, which is a fault of the fuzzer. */
export async function runFuzz(run: FuzzRun): Promise<Tally> {
  const tally = emptyTally();
  const ranges = rangesOf(run.from, run.count);
  const nextRange = (): FuzzRange | undefined =>
    tally.failureCount > run.failuresMax ? undefined : ranges.next().value || undefined;
  const threads = Array.from({ length: run.jobs }, () => {
    const thread = new FuzzThread(run, nextRange, (part) => {
      merge(tally, part);
      run.onProgress(tally);
    });
    return thread.ended;
  });
  await Promise.all(threads);
  return tally;
}

class FuzzThread {
  readonly ended: Promise<void>;
  readonly #run: FuzzRun;
  readonly #nextRange: () => FuzzRange | undefined;
  readonly #onTally: (part: Tally) => void;
  readonly #cell = new Float64Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;
  readonly #watch: NodeJS.Timeout;
  /** The input it was at when somebody looked, and since when. */
  #index = -1;
  #sinceMs = performance.now();

  constructor(
    run: FuzzRun,
    nextRange: () => FuzzRange | undefined,
    onTally: (part: Tally) => void,
  ) {
    this.#run = run;
    this.#nextRange = nextRange;
    this.#onTally = onTally;
    const workerData = { seed: run.seed, place: this.#cell.buffer };
    this.#worker = new Worker(run.thread ?? THREAD, { workerData });
    this.#watch = setInterval(() => this.#look(), WATCH_EVERY_MS);
    this.ended = new Promise((resolve, reject) => {
      this.#worker.on('error', reject);
      this.#worker.on('exit', () => resolve());
      this.#worker.on('message', (part: Tally) => {
        this.#onTally(part);
        this.#feed();
      });
    });
    void this.ended.catch(() => undefined).then(() => clearInterval(this.#watch));
    this.#feed();
  }

  #feed(): void {
    const range = this.#nextRange();
    this.#sinceMs = performance.now();
    if (range === undefined) void this.#worker.terminate();
    else this.#worker.postMessage(range);
  }

  /** Ends a thread that does not come back from its input, which is then the one that failed. */
  #look(): void {
    const index = this.#cell[0] as number;
    if (index !== this.#index) {
      this.#index = index;
      this.#sinceMs = performance.now();
    }
    const { seed, stuckMsMax = STUCK_MS_MAX } = this.#run;
    if (performance.now() - this.#sinceMs < stuckMsMax) return;
    const what = `no verdict after ${stuckMsMax / 1000} s`;
    const input = new InputSource(seed, () => undefined).input(index);
    const tally = emptyTally();
    addFailure(tally, { index, what, saved: savedInput(seed, index, what, input) });
    this.#onTally(tally);
    void this.#worker.terminate();
  }
}
