/** A PostgreSQL whose tables somebody has locked (G17): no crash, no loss, probes green. */
import pg from 'pg';
import t from 'tap';
import { untilCheckpoint } from './outage.ts';
import { databaseOf, runUnderLoad, type World, wait } from './under-load.ts';

t.test('G17 somebody holds a lock on all tables', { timeout: 120_000 }, async (t) => {
  const trouble = async (world: World): Promise<void> => {
    const { relay, live } = world;
    const client = new pg.Client(databaseOf(relay.dataDir));
    await client.connect();
    const { rows } = await client.query<{ name: string }>(
      "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'",
    );
    const names = rows.map(({ name }) => name).join(', ');
    await client.query(`BEGIN; LOCK TABLE ${names} IN ACCESS EXCLUSIVE MODE`);
    const saved = await relay.metric('relay_store_checkpoint_seq');
    const before = live.received.length;
    for (let i = 0; i < 5; i++) {
      for (const path of ['/_healthz', '/_readyz']) {
        const { status } = await fetch(`http://127.0.0.1:${relay.metricsPort}${path}`);
        t.equal(status, 200, path);
      }
      await wait(1000);
    }
    t.ok(live.received.length > before, 'accounts in memory were served meanwhile');
    t.equal(await relay.metric('relay_store_checkpoint_seq'), saved, 'nothing could be saved');
    await client.query('COMMIT');
    await client.end();
    t.ok(await untilCheckpoint(world), 'checkpoints go on');
    t.equal(relay.child.exitCode, null, 'no crash');
  };
  await runUnderLoad(t, 34, trouble, { RELAY_DATABASE_TIMEOUT: '500ms' });
});
