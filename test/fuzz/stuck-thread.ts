/** A thread of a fuzz run that never comes back from input 7, for the test of who watches it. */
import { parentPort, workerData } from 'node:worker_threads';
import type { FuzzThreadData } from './fuzz-thread.ts';

const { place }: FuzzThreadData = workerData;

parentPort?.on('message', () => {
  new Float64Array(place)[0] = 7;
  for (;;);
});
