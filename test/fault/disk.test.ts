/**
 * A real disk that goes bad under a whole relay (G16): full together with the database, without
 * inodes, read-only, with a limit on file size. Ingest pauses, consumers and probes go on, and when
 * the disk is well again the log continues at the next seq. Needs root for the mounts.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MiB } from '../../lib/base/units.ts';
import { run } from '../helpers/postgres.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, eventually } from '../helpers/stream-checker.ts';
import { Volume, whyNoMount } from '../helpers/volume.ts';
import { databaseOf, runUnderLoad, untilMetric, type World, wait } from './under-load.ts';

const skip = whyNoMount();
const WAIT_MS = 30_000;

/** While nothing can be written: paused and told so, probes green, the log served. */
async function checkPaused(t: Test, { relay, live }: World, causes: RegExp): Promise<void> {
  t.ok(await untilMetric(relay, 'relay_log_paused', (value) => value === 1, WAIT_MS), 'paused');
  const durable = await relay.metric('relay_log_durable_seq');
  t.ok(await eventually(() => live.lastSeq >= durable, WAIT_MS), 'what is durable is delivered');
  const replay = new RecordingConsumer(() => relay.streamUrl, 0);
  t.ok(await eventually(() => replay.lastSeq >= durable, WAIT_MS), 'the log is served');
  replay.stop();
  t.same(checkSame(live.received, replay.received), []);
  for (const path of ['/_healthz', '/_readyz']) {
    const { status } = await fetch(`http://127.0.0.1:${relay.metricsPort}${path}`);
    t.equal(status, 200, path);
  }
  await wait(1500);
  t.equal(await relay.metric('relay_log_durable_seq'), durable, 'nothing goes on');
  t.equal(live.lastSeq, durable, 'and nobody sees more');
  t.match(relay.stdout, causes);
  t.equal(relay.child.exitCode, null, 'no crash');
}

/** When it is well again: goes on at the next seq, and what is durable reaches the database. */
async function checkWell(t: Test, { relay, live }: World): Promise<void> {
  const last = live.lastSeq;
  t.ok(await untilMetric(relay, 'relay_log_paused', (value) => value === 0, WAIT_MS), 'goes on');
  t.ok(await eventually(() => live.lastSeq > last, WAIT_MS));
  t.equal(live.received.find(({ seq }) => seq > last)?.seq, last + 1, 'at the next seq');
  const durable = await relay.metric('relay_log_durable_seq');
  const isSaved = (seq: number): boolean => seq >= durable;
  t.ok(await untilMetric(relay, 'relay_store_checkpoint_seq', isSaved, WAIT_MS), 'database too');
}

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

t.test('G16 full: the ballast is for the database', { skip, timeout: 120_000 }, async (t) => {
  const volume = Volume.tmpfs(t, 'size=600m');
  const ballastBytes = 128 * MiB;
  const env = { RELAY_LOG_LEVEL: 'info', RELAY_BALLAST_BYTES: String(ballastBytes) };
  const trouble = async (world: World): Promise<void> => {
    const { relay } = world;
    const isWhole = (bytes: number): boolean => bytes === ballastBytes;
    t.ok(await untilMetric(relay, 'relay_log_ballast_bytes', isWhole, 60_000), 'it is built');
    volume.fill();
    const isGiven = (bytes: number): boolean => bytes === 0;
    t.ok(await untilMetric(relay, 'relay_log_ballast_bytes', isGiven, WAIT_MS), 'and given back');
    // Others take more than half of it: what is left is the database's, not the log's.
    volume.fill(60 * MiB);
    const isFew = (bytes: number): boolean => bytes < ballastBytes / 2;
    await untilMetric(relay, 'relay_log_free_bytes', isFew, WAIT_MS);
    await checkPaused(t, world, /"cause":"no_space"/);
    t.ok(volume.freeBytes > 30 * MiB, `${volume.freeBytes} bytes are left alone`);
    const isUp = (count: number): boolean => count > 0;
    t.ok(await untilMetric(relay, 'relay_store_up', isUp, WAIT_MS), 'the database is back');
    const rows = await run<{ count: string }>(
      databaseOf(relay.dataDir),
      'WITH made AS (SELECT 1 FROM generate_series(1, 1000)) SELECT count(*) FROM made',
    );
    t.equal(rows[0]?.count, '1000');
    volume.empty();
    await checkWell(t, world);
  };
  await runUnderLoad(t, 52, trouble, env, join(volume.path, 'data'));
});

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
