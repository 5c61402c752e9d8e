/**
 * A real disk that goes bad under a whole relay (G16): without inodes, read-only. Ingest pauses,
 * consumers and probes go on, and when the disk is well again the log continues at the next seq.
 * Needs root for the mounts.
 */
import { join } from 'node:path';
import t from 'tap';
import { MiB } from '../../lib/base/units.ts';
import { checkPaused, checkWell, WAIT_MS } from '../fault/bad-disk.ts';
import { runUnderLoad, type World } from '../fault/under-load.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { eventually } from '../helpers/stream-checker.ts';
import { Volume, whyNoMount } from '../helpers/volume.ts';

const skip = whyNoMount();

t.test('G16 no inodes: no new segment', { skip, timeout: 120_000 }, async (t) => {
  const data = Volume.tmpfs(t, 'size=400m');
  const volume = Volume.tmpfs(t, 'size=64m,nr_inodes=400');
  const env = {
    RELAY_LOG_LEVEL: 'info',
    RELAY_PERSIST_DIR: join(volume.path, 'log'),
    RELAY_SEGMENT_BYTES: '256KiB',
  };
  const trouble = async (world: World): Promise<void> => {
    volume.fillInodes();
    await checkPaused(t, world, /"cause":"no_space"/);
    volume.empty();
    await checkWell(t, world);
  };
  await runUnderLoad(t, 53, trouble, env, join(data.path, 'data'));
});

t.test('G13 G16 an error of the disk makes it read-only', { skip, timeout: 120_000 }, async (t) => {
  const volume = Volume.ext4(t, 200 * MiB);
  const env = { RELAY_LOG_LEVEL: 'info', RELAY_PERSIST_DIR: join(volume.path, 'log') };
  const trouble = async (world: World): Promise<void> => {
    const { relay } = world;
    volume.breakDown();
    let isOver = false;
    void relay.exited.then(() => {
      isOver = true;
    });
    const isPaused = (): boolean => /"cause":"read_only"/.test(relay.stdout);
    await eventually(() => isOver || isPaused(), WAIT_MS);
    // Met by a write it pauses; met by a sync it ends (G15). Only another mount helps either.
    t.ok(isOver || isPaused(), 'noticed');
    if (isOver) t.not((await relay.exited).code, 0);
    else await checkPaused(t, world, /"cause":"read_only"/);
    await relay.kill();
    volume.repair();
    world.relay = await RelayProcess.start({
      dataDir: relay.dataDir,
      env: { ...env, RELAY_PLC_HOST: world.fleet.directory.url },
    });
  };
  await runUnderLoad(t, 54, trouble, env);
});
