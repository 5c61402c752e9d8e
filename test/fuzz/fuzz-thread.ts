/**
 * One of the threads of a fuzz run: is told a range of inputs of one batch, says what came of it;
 * and meanwhile, in a shared cell, which input it is at.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Campaign } from './campaign.ts';

export type FuzzRange = { readonly from: number; readonly to: number };

/** `place`: one cell for the number of the input being judged. */
export type FuzzThreadData = { readonly seed: number; readonly place: SharedArrayBuffer };

const { seed, place }: FuzzThreadData = workerData;
const cell = new Float64Array(place);
const campaign = await Campaign.start(seed);
const onInput = (index: number): void => {
  cell[0] = index;
};

parentPort?.on('message', async ({ from, to }: FuzzRange) => {
  parentPort?.postMessage(await campaign.run(from, to, onInput));
});
