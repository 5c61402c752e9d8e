/** The long kill loop: 100 kills by default, more with TEST_KILLS. */
import t from 'tap';
import { runKillLoop } from '../fault/kill-loop.ts';

const KILLS = Number(process.env['TEST_KILLS'] ?? 100);
const KILLS_PER_RUN = 10;

for (let run = 0; run * KILLS_PER_RUN < KILLS; run++) {
  t.test(`G1 G9 G13 kills ${run * KILLS_PER_RUN + 1} and on`, { timeout: 300_000 }, async (t) => {
    const seed = 1000 + run;
    const result = await runKillLoop({ kills: KILLS_PER_RUN, seed, eventsPerSecond: 300 });
    t.same(result.problems, []);
    t.comment(`seed ${seed}: ${result.events} events`);
  });
}
