/** kill -9 while the disk is full, for the log and the database alike, and starts on it (G13, G16). */
import { join } from 'node:path';
import t from 'tap';
import { runKillLoop } from '../fault/kill-loop.ts';
import { Volume, whyNoMount } from '../helpers/volume.ts';

const skip = whyNoMount();
const KILLS = Number(process.env['TEST_DISK_KILLS'] ?? 20);

t.test('G13 G16 kill -9 while the disk is full', { skip, timeout: 900_000 }, async (t) => {
  const volume = Volume.tmpfs(t, 'size=600m');
  const seed = 7001;
  const result = await runKillLoop({
    kills: KILLS,
    seed,
    eventsPerSecond: 150,
    dataDir: join(volume.path, 'data'),
    // Three times in four: to the last byte, or so that a little is left to fail half-way.
    beforeKill: (prng) => {
      if (prng.nextBelow(4) > 0) volume.fill(prng.nextBelow(3) * 100_000);
    },
    calm: () => volume.empty(),
  });
  t.same(result.problems, [], `seed ${seed}`);
  t.comment(
    `fault ${JSON.stringify({ name: 'kill -9 while the disk is full', runs: KILLS, seed })}`,
  );
  t.comment(`${result.events} events, ${JSON.stringify(result.moments)}`);
});
