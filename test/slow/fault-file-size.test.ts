/** A limit on file size under a whole relay (G16): a short write first, then none at all. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { checkPaused, checkWell } from '../fault/bad-disk.ts';
import { runUnderLoad, type World } from '../fault/under-load.ts';
import type { RelayProcess } from '../helpers/relay-process.ts';

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
