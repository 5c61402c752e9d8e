/** One of the threads of a fuzz run: is told a range of inputs of one batch, says what came of it. */
import { parentPort, workerData } from 'node:worker_threads';
import { Campaign } from './campaign.ts';

export type FuzzRange = { readonly from: number; readonly to: number };

const campaign = await Campaign.start((workerData as { readonly seed: number }).seed);

parentPort?.on('message', async ({ from, to }: FuzzRange) => {
  parentPort?.postMessage(await campaign.run(from, to));
});
