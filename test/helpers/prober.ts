/** Probes an address from a thread of its own, so that the load a test makes is not in the figure. */
import { Worker } from 'node:worker_threads';

export type Probed = {
  readonly count: number;
  readonly p99Ms: number;
  /** Every status that was seen, once. */
  readonly statuses: readonly number[];
};

/** Asks every 20 ms for `ms` milliseconds. */
export function probe(url: string, ms: number): Promise<Probed> {
  const worker = new Worker(new URL('./prober-thread.ts', import.meta.url), {
    workerData: { url, ms },
  });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
