/** PostgreSQL gone for 30 s under load (G17): no crash, no loss, consumers served, probes green. */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import t, { type Test } from 'tap';
import { startEmbedded } from '../../lib/store/embedded.ts';
import { embeddedOptions, signalAll, tempDir } from '../helpers/postgres.ts';
import { databaseOf, postmasterPid, runUnderLoad, type World, wait } from './under-load.ts';

const OUTAGE_MS = 30_000;

/** The outage itself: probes and consumers all the while, then back within 5 s. */
async function checkOutage(
  t: Test,
  world: World,
  outage: { begin(): Promise<void>; end(): Promise<void> },
): Promise<void> {
  const { relay, live } = world;
  const probe = async (path: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${relay.metricsPort}${path}`)).status;
  const before = live.received.length;
  await outage.begin();
  const endMs = performance.now() + OUTAGE_MS;
  let isDownSeen = false;
  while (performance.now() < endMs) {
    t.equal(await probe('/_healthz'), 200, 'live');
    t.equal(await probe('/_readyz'), 200, 'ready: a database is reported, not required');
    if ((await relay.metric('relay_store_up')) === 0) isDownSeen = true;
    await wait(1000);
  }
  t.ok(isDownSeen, 'the outage was noticed');
  t.ok(live.received.length > before, 'accounts in memory were served meanwhile');
  t.equal(relay.child.exitCode, null, 'no crash');
  const upMs = performance.now();
  await outage.end();
  t.ok(await untilCheckpoint(world), 'checkpoints go on');
  const tookMs = performance.now() - upMs;
  t.ok(tookMs < 5000, `recovered after ${Math.round(tookMs)} ms`);
}

/** Everything durable now is in PostgreSQL too. */
async function untilCheckpoint({ relay }: World): Promise<boolean> {
  const durable = await relay.metric('relay_log_durable_seq');
  for (let i = 0; i < 400; i++) {
    if ((await relay.metric('relay_store_checkpoint_seq')) >= durable) return true;
    await wait(50);
  }
  return false;
}

/** A process and its children, as long as they live. */
function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return [pid, ...(children === '' ? [] : children.split(' ').map(Number))];
}

t.test('G17 the embedded server is frozen for 30 s', { timeout: 120_000 }, async (t) => {
  await runUnderLoad(t, 31, async (world) => {
    const pids = family(postmasterPid(world.relay.dataDir));
    await checkOutage(t, world, {
      begin: async () => void signalAll(pids, 'SIGSTOP'),
      end: async () => void signalAll(pids, 'SIGCONT'),
    });
  });
});

t.test('G17 an external server is stopped for 30 s', { timeout: 120_000 }, async (t) => {
  const dataDir = tempDir(t);
  let server = await startEmbedded(embeddedOptions(dataDir));
  t.teardown(() => server.stop());
  const { user, host, database } = server.connection;
  const env = { DATABASE_URL: `postgres://${user}@localhost/${database}?host=${host}` };
  const outage = {
    // Nobody starts it again, and it ends at once, as with `-m immediate`.
    begin: async () => {
      const pid = postmasterPid(dataDir);
      await server.release();
      process.kill(pid, 'SIGQUIT');
    },
    end: async () => {
      server = await startEmbedded(embeddedOptions(dataDir));
    },
  };
  await runUnderLoad(t, 32, (world) => checkOutage(t, world, outage), env);
});

t.test(
  'G17 the embedded server ends at once: it is started again',
  { timeout: 120_000 },
  async (t) => {
    await runUnderLoad(t, 33, async (world) => {
      const { relay, live } = world;
      const pid = postmasterPid(relay.dataDir);
      process.kill(pid, 'SIGQUIT');
      const before = live.received.length;
      await wait(2000);
      t.ok(await untilCheckpoint(world), 'checkpoints go on');
      t.not(postmasterPid(relay.dataDir), pid);
      t.ok(live.received.length > before);
    });
  },
);

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
