/** A run over several threads is the same as one without. */
import t from 'tap';
import { Campaign } from './campaign.ts';
import { rangesOf, runFuzz } from './fuzz-pool.ts';
import { BATCH_INPUTS } from './input.ts';
import { inputOf } from './saved-input.ts';
import { merge } from './tally.ts';

t.test('ranges end where batches do', async (t) => {
  t.same(
    [...rangesOf(1000, 1100)],
    [
      { from: 1000, to: 1024 },
      { from: 1024, to: 2048 },
      { from: 2048, to: 2100 },
    ],
  );
});

t.test('the same inputs whatever the number of threads', async (t) => {
  const run = { seed: 1, from: 900, count: 300, failuresMax: 0, onProgress: () => undefined };
  const tally = await runFuzz({ ...run, jobs: 2 });
  const campaign = await Campaign.start(1);
  const alone = await campaign.run(900, BATCH_INPUTS);
  merge(alone, await campaign.run(BATCH_INPUTS, 1200));
  t.same(tally.failures, []);
  t.equal(tally.inputs, 300);
  t.same(tally.verdicts, alone.verdicts);
  t.equal(tally.frameBytes, alone.frameBytes);
});

t.test('a thread that does not come back is ended, and its input saved', async (t) => {
  const tally = await runFuzz({
    seed: 1,
    from: 0,
    count: 100,
    jobs: 1,
    failuresMax: 0,
    onProgress: () => undefined,
    stuckMsMax: 1000,
    thread: new URL('stuck-thread.ts', import.meta.url),
  });
  t.match(tally.failures, [{ index: 7, what: 'no verdict after 1 s' }]);
  t.ok(inputOf(tally.failures[0]?.saved ?? '').frame.length > 0);
});
