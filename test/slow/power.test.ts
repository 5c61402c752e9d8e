/** 10,000 seeds of power cuts on the simulated disk by default, another number with TEST_CUTS. */
import t from 'tap';
import { runSeeds, summary } from '../log/power-rig.ts';

const SEEDS = Number(process.env['TEST_CUTS'] ?? 10_000);
/** Seeds of the short run in test/log are not run again. */
const SEED_FIRST = 1001;
const SEEDS_PER_TEST = 500;

for (let done = 0; done < SEEDS; done += SEEDS_PER_TEST) {
  const first = SEED_FIRST + done;
  const count = Math.min(SEEDS_PER_TEST, SEEDS - done);
  const title = `G1 G4 G7 G13 G14 power cuts, seeds from ${first}`;
  t.test(title, { timeout: 1_800_000 }, async (t) => {
    const campaign = await runSeeds(first, count);
    t.same(campaign.violations, []);
    t.comment(summary(first, count, campaign));
  });
}
