/**
 * System calls that fail under a whole relay, by way of libfiu (Debian: fiu-utils): an fdatasync
 * that fails once ends it (G15), writes that find no room now and then do nothing (G16). The same
 * faults come through the disk seam in test/log/fault-loop.test.ts, which needs no tool.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runUnderLoad, untilMetric, type World, wait } from '../fault/under-load.ts';
import { tempDir } from '../helpers/postgres.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { eventually } from '../helpers/stream-checker.ts';

/** Where Debian, and libfiu's own makefile, put it. */
const DIRECTORIES = ['/usr/lib/fiu', '/usr/local/lib/fiu', '/usr/local/lib'];
const directory = DIRECTORIES.find((path) => existsSync(join(path, 'fiu_posix_preload.so')));
const skip = directory === undefined ? 'libfiu is not installed (Debian package fiu-utils)' : false;

function preloadEnv(fifoPrefix: string): Record<string, string> {
  const libraries = ['fiu_run_preload.so', 'fiu_posix_preload.so'];
  return {
    LD_PRELOAD: libraries.map((name) => join(directory ?? '', name)).join(' '),
    FIU_ENABLE: '',
    FIU_CTRL_FIFO: fifoPrefix,
    RELAY_LOG_LEVEL: 'info',
  };
}

/** `enable name=…`, `enable_random name=…`, `disable name=…`: see fiu-ctrl(1). */
function control({ child }: RelayProcess, fifoPrefix: string, command: string): void {
  const args = ['-f', fifoPrefix, '-c', command, String(child.pid)];
  const { status, stderr } = spawnSync('fiu-ctrl', args, { encoding: 'utf8', timeout: 10_000 });
  if (status !== 0) throw new Error(`fiu-ctrl: ${stderr}`);
}

t.test('G15 fdatasync fails once: the process ends', { skip, timeout: 120_000 }, async (t) => {
  const fifo = join(tempDir(t), 'fiu');
  const trouble = async (world: World): Promise<void> => {
    const { relay, live, fleet } = world;
    const startMs = performance.now();
    control(relay, fifo, 'enable name=posix/io/sync/fdatasync,failinfo=5,onetime');
    const { code } = await relay.exited;
    const tookMs = performance.now() - startMs;
    t.ok(tookMs < 5000, `ended after ${Math.round(tookMs)} ms`);
    t.equal(code, 70);
    t.match(relay.stderr, /log sync failed.*EIO/);
    const { lastSeq } = live;
    const { dataDir } = relay;
    const env = { RELAY_PLC_HOST: fleet.directory.url, RELAY_LOG_LEVEL: 'info' };
    world.relay = await RelayProcess.start({ dataDir, env });
    t.ok(await eventually(() => live.lastSeq > lastSeq, 30_000), 'goes on');
  };
  await runUnderLoad(t, 61, trouble, preloadEnv(fifo));
});

t.test('G16 writes find no room at random: retried', { skip, timeout: 120_000 }, async (t) => {
  const fifo = join(tempDir(t), 'fiu');
  const names = ['posix/io/rw/pwrite', 'posix/io/rw/pwritev'];
  const trouble = async (world: World): Promise<void> => {
    const { relay } = world;
    for (const name of names) {
      control(relay, fifo, `enable_random name=${name},probability=0.05,failinfo=28`);
    }
    const isHit = (count: number): boolean => count >= 3;
    const wasHit = await untilMetric(relay, 'relay_log_append_failures_total', isHit, 60_000);
    for (const name of names) control(relay, fifo, `disable name=${name}`);
    t.ok(wasHit, 'three appends failed');
    const isWell = (value: number): boolean => value === 0;
    t.ok(await untilMetric(relay, 'relay_log_paused', isWell, 30_000));
    t.equal(relay.child.exitCode, null, 'no crash');
    await wait(500);
  };
  await runUnderLoad(t, 62, trouble, preloadEnv(fifo));
});
