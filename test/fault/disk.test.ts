/**
 * A real disk that goes bad under a whole relay (G16): without inodes, read-only, with a limit on
 * file size. Ingest pauses, consumers and probes go on, and when the disk is well again the log
 * continues at the next seq. Needs root for the mounts.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { MiB } from '../../lib/base/units.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { eventually } from '../helpers/stream-checker.ts';
import { Volume, whyNoMount } from '../helpers/volume.ts';
import { checkPaused, checkWell, WAIT_MS } from './bad-disk.ts';
import { runUnderLoad, type World } from './under-load.ts';

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

t.test('G16 a limit on file size: short writes, then none', { timeout: 120_000 }, async (t) => {
  const env = { RELAY_LOG_LEVEL: 'info' };
  const trouble = async (world: World): Promise<void> => {
    const active = await world.relay.metric('relay_log_active_bytes');
    limitFileSize(world.relay, String(active + 50_001));
    await checkPaused(t, world, /"cause":"no_space"/);
    limitFileSize(world.relay, 'unlimited');
    await checkWell(t, world);
  };
  await runUnderLoad(t, 55, trouble, env);
});

/** As `ulimit -f`, of a process that runs. */
function limitFileSize({ child }: RelayProcess, limit: string): void {
  const args = ['--pid', String(child.pid), `--fsize=${limit}:unlimited`];
  const { status, stderr } = spawnSync('prlimit', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
}
