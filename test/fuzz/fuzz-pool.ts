/** The threads of a fuzz run, each given one batch after the other. */
import { Worker } from 'node:worker_threads';
import type { FuzzRange } from './fuzz-thread.ts';
import { BATCH_INPUTS } from './input.ts';
import { emptyTally, merge, type Tally } from './tally.ts';

export type FuzzRun = {
  readonly seed: number;
  readonly from: number;
  readonly count: number;
  readonly jobs: number;
  /** Gives up when there are more failures than this. */
  readonly failuresMax: number;
  readonly onProgress: (tally: Tally) => void;
};

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
  const threads = Array.from({ length: run.jobs }, () =>
    runThread(run.seed, nextRange, (part) => {
      merge(tally, part);
      run.onProgress(tally);
    }),
  );
  await Promise.all(threads);
  return tally;
}

function runThread(
  seed: number,
  nextRange: () => FuzzRange | undefined,
  onTally: (part: Tally) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('fuzz-thread.ts', import.meta.url), { workerData: { seed } });
    const feed = (): void => {
      const range = nextRange();
      if (range === undefined) void worker.terminate().then(() => resolve());
      else worker.postMessage(range);
    };
    worker.on('error', reject);
    worker.on('message', (part: Tally) => {
      onTally(part);
      feed();
    });
    feed();
  });
}
