/**
 * The long kill loop: 100 kills by default, another number with TEST_KILLS, from the seed
 * TEST_KILL_SEED on. One run in three has a crowd of badly behaved consumers (G20).
 */
import t from 'tap';
import { runKillLoop } from '../fault/kill-loop.ts';

const KILLS = Number(process.env['TEST_KILLS'] ?? 100);
const SEED_FIRST = Number(process.env['TEST_KILL_SEED'] ?? 1000);
const KILLS_PER_RUN = 25;

for (let run = 0; run * KILLS_PER_RUN < KILLS; run++) {
  const seed = SEED_FIRST + run;
  const kills = Math.min(KILLS_PER_RUN, KILLS - run * KILLS_PER_RUN);
  const hasCrowd = seed % 3 === 0;
  const title = `kill -9${hasCrowd ? ' with slow, stalled and bursting consumers' : ''}`;
  t.test(`G1 G9 G13 ${title}, seed ${seed}`, { timeout: 900_000 }, async (t) => {
    const result = await runKillLoop({ kills, seed, eventsPerSecond: 150, hasCrowd });
    t.same(result.problems, [], `seed ${seed}`);
    const moments = JSON.stringify(result.moments);
    t.comment(`fault ${JSON.stringify({ name: title, runs: kills, seed })}`);
    t.comment(
      `${result.events} events, ${moments}, slowest restart ${Math.round(result.restartMsMax)} ms`,
    );
  });
}
