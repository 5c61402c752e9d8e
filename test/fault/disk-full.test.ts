/** A disk that is full, with log and database on it (G16). Needs root for the mount. */
import { join } from 'node:path';
import t from 'tap';
import { Volume, whyNoMount } from '../helpers/volume.ts';
import { checkPaused, checkWell } from './bad-disk.ts';
import { runUnderLoad, type World } from './under-load.ts';

const skip = whyNoMount();

t.test('G16 full, with the database on it', { skip, timeout: 120_000 }, async (t) => {
  const volume = Volume.tmpfs(t, 'size=256m');
  const trouble = async (world: World): Promise<void> => {
    volume.fill();
    // A checkpoint of the database may give some back.
    const filling = setInterval(() => volume.fill(), 100);
    await checkPaused(t, world, /"cause":"no_space"/);
    clearInterval(filling);
    volume.empty();
    await checkWell(t, world);
  };
  const env = { RELAY_LOG_LEVEL: 'info' };
  await runUnderLoad(t, 51, trouble, env, join(volume.path, 'data'));
});
