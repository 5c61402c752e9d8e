/** A full disk whose ballast is given back: the room is the database's, not the log's (G16). */
import { join } from 'node:path';
import t from 'tap';
import { MiB } from '../../lib/base/units.ts';
import { checkPaused, checkWell, WAIT_MS } from '../fault/bad-disk.ts';
import { databaseOf, runUnderLoad, untilMetric, type World } from '../fault/under-load.ts';
import { run } from '../helpers/postgres.ts';
import { Volume, whyNoMount } from '../helpers/volume.ts';

const skip = whyNoMount();

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
    // Not the few bytes that there were before.
    const isFew = (bytes: number): boolean => bytes > 30 * MiB && bytes < ballastBytes / 2;
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
