import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { startEmbedded } from '../../lib/store/embedded.ts';
import { connectionFromUrl, createPool, type DatabasePool } from '../../lib/store/pool.ts';
import { clusterProcesses } from '../../lib/store/postmaster.ts';
import { statement } from '../../lib/store/statement.ts';
import { isTransient } from '../../lib/store/store-fault.ts';
import {
  clock,
  embeddedOptions,
  poolOptions,
  run,
  signalAll,
  startTestPostgres,
  tempDir,
  until,
} from '../helpers/postgres.ts';

const postgres = await startTestPostgres(t);
const clusterDir = postgres.server.connection.host ?? '';

const ONE = statement('test_one')`SELECT 1 AS one`;
const SLEEP = statement('test_sleep')`SELECT pg_sleep($1)`;
const BIG = statement('test_big')`SELECT 9007199254740991::bigint AS big`;
const TOO_BIG = statement('test_too_big')`SELECT 9007199254740992::bigint AS big`;
const ADD = statement('test_add')`INSERT INTO domain_bans (domain) VALUES ($1)`;
const DATABASE = statement('test_database')`SELECT current_database() AS name`;
const COUNT = statement('test_count')`SELECT count(*) AS n FROM domain_bans`;
const LOCK = statement('test_lock')`LOCK TABLE domain_bans IN ACCESS EXCLUSIVE MODE`;

/** Many times any limit set here; only ever waited for by a call that has no limit. */
const FAR_MS = 60_000;

/**
 * How the call ends, which it must do before a timer that began with it and stands far behind the
 * call's own limit: an order of events on one loop, which a busy machine does not change.
 */
async function ended(work: () => Promise<unknown>): Promise<{ error: unknown; isInTime: boolean }> {
  const late = new AbortController();
  const isLate = sleep(FAR_MS, true, { signal: late.signal }).catch(() => false);
  const end = work().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const isInTime = await Promise.race([end.then(() => true), isLate.then((is) => !is)]);
  late.abort();
  return { error: isInTime ? await end : undefined, isInTime };
}

t.test('a query gives rows, bigint as a number, and counts', async (t) => {
  const metrics = new MetricWriter();
  const pool = await postgres.createPool(t, { metrics });
  t.same(await pool.query(ONE), { rows: [{ one: 1 }], rowCount: 1 });
  t.same((await pool.query(BIG)).rows, [{ big: 2 ** 53 - 1 }]);
  await t.rejects(pool.query(TOO_BIG), { name: 'AssertionFailed' }, 'never a rounded seq');
  t.equal(metrics.read('relay_store_queries_total:ok'), 2);
  t.equal(metrics.read('relay_store_up'), 1);
  t.ok(pool.isUp);
});

t.test('the session carries its limits (G17)', async (t) => {
  const pool = await postgres.createPool(t, { timeoutMs: 4000, applicationName: 'skyrelay x' });
  const settings = statement('test_settings')`
    SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[]) ORDER BY name LIMIT 9`;
  const names = [
    'application_name',
    'idle_in_transaction_session_timeout',
    'lock_timeout',
    'statement_timeout',
  ];
  const { rows } = await pool.query<{ name: string; setting: string }>(settings, [names]);
  t.same(
    rows.map((row) => row.setting),
    ['skyrelay x', '8000', '2000', '4000'],
  );
});

t.test('errors are faults that say whether to try again', async (t) => {
  const pool = await postgres.createPool(t, { timeoutMs: 300 });
  await pool.query(ADD, ['a.example']);
  const again = pool.query(ADD, ['a.example']);
  await t.rejects(again, { name: 'RelayFault', code: 'store_error', isRetryable: false });
  const late = pool.query(SLEEP, [5]);
  await t.rejects(late, { code: 'store_timeout', isRetryable: true });
  await t.rejects(pool.query(ADD, ['a\0b']), { code: 'store_error', isRetryable: false });
  const away = createPool(poolOptions({ host: '127.0.0.1', port: 1, user: 'x', database: 'x' }));
  await t.rejects(away.query(ONE), { code: 'store_unreachable', isRetryable: true });
  t.equal(await away.ping(), false);
  await away.close();
  const { connection } = postgres.server;
  const nobody = createPool(poolOptions({ ...connection, user: 'nobody_here' }));
  await t.rejects(nobody.query(ONE), { code: 'store_refused', isRetryable: false });
  await nobody.close();
  const nowhere = createPool(poolOptions({ ...connection, database: 'none_here' }));
  await t.rejects(nowhere.query(ONE), { code: 'store_refused', isRetryable: false });
  await nowhere.close();
  t.equal(isTransient(new TypeError('a bug')), false);
});

t.test('a wrong password or a secret URL does not show in the message', async (t) => {
  const url = 'postgres://someone:hunter22hunter22@127.0.0.1:1/relay';
  const pool = createPool(poolOptions(connectionFromUrl(url)));
  const { error } = await ended(() => pool.query(ONE));
  t.notMatch(String(error), /hunter22/);
  await pool.close();
});

t.test('a transaction is committed or rolled back, and its connection is used on', async (t) => {
  const pool = await postgres.createPool(t, { connectionsMax: 1 });
  const value = await pool.withTransaction(async (database) => {
    await database.query(ADD, ['kept.example']);
    return 7;
  });
  t.equal(value, 7);
  const broken = pool.withTransaction(async (database) => {
    await database.query(ADD, ['lost.example']);
    throw new TypeError('a bug in between');
  });
  await t.rejects(broken, { name: 'TypeError' });
  const doubled = pool.withTransaction((database) => database.query(ADD, ['kept.example']));
  await t.rejects(doubled, { code: 'store_error' });
  t.same((await pool.query(COUNT)).rows, [{ n: 1 }]);
});

t.test('G17: a lock held by a migration fails fast', async (t) => {
  const pool = await postgres.createPool(t, { timeoutMs: 400 });
  await pool.withTransaction(async (database) => {
    await database.query(LOCK);
    // The lock is held until the end of this function: nobody has waited for it to be free.
    const { error, isInTime } = await ended(() => pool.query(COUNT));
    t.ok(isInTime);
    t.match(error, { code: 'store_timeout', isRetryable: true, message: /lock timeout/ });
  });
});

t.test('D28: with all connections taken callers fail in time and nothing hangs', async (t) => {
  const metrics = new MetricWriter();
  const pool = await postgres.createPool(t, { connectionsMax: 2, timeoutMs: 300, metrics });
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const holders = [1, 2].map(() =>
    pool.withTransaction(async (database) => {
      await database.query(ONE);
      await held;
    }),
  );
  t.ok(await until(() => metrics.read('relay_store_queries_total:ok') === 4));
  const waiters = await Promise.all([1, 2, 3].map(() => ended(() => pool.query(ONE))));
  for (const { error, isInTime } of waiters) {
    t.match(error, { code: 'store_timeout', isRetryable: true });
    t.ok(isInTime, 'while both connections are still taken');
  }
  t.equal(pool.waitingCount, 0);
  release();
  await Promise.all(holders);
  t.same((await pool.query(ONE)).rows, [{ one: 1 }]);
});

t.test('D27: a hundred first queries make one pool of its size', async (t) => {
  const pool = await postgres.createPool(t, { connectionsMax: 3, applicationName: 'skyrelay d27' });
  const answers = await Promise.all(Array.from({ length: 100 }, () => pool.query(ONE)));
  t.equal(answers.length, 100);
  const sql = 'SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = $1';
  t.match(await run(postgres.server.connection, sql, ['skyrelay d27']), [{ n: 3 }]);
});

t.test('3.5.5, G17: a frozen server costs the timeout, not the process', async (t) => {
  const pool = await postgres.createPool(t, { timeoutMs: 300, connectionsMax: 3 });
  await pool.query(ONE);
  const frozen = signalAll(clusterProcesses(clusterDir), 'SIGSTOP');
  try {
    // A transaction on an open connection, two queries that must connect first.
    const work = [() => pool.withTransaction((database) => database.query(ADD, ['lost.example']))];
    const calls = await Promise.all(
      [...work, () => pool.query(ONE), () => pool.query(ONE)].map((call) => ended(call)),
    );
    for (const { error, isInTime } of calls) {
      t.match(error, { code: 'store_timeout', isRetryable: true });
      t.ok(isInTime, 'while the server is still frozen');
    }
    t.equal(pool.isUp, false);
  } finally {
    signalAll(frozen, 'SIGCONT');
  }
  t.ok(await until(() => pool.ping()), 'works again after the thaw');
  t.equal(pool.isUp, true);
  const added = ['a.example', 'b.example', 'c.example', 'd.example'];
  for (const name of added) await pool.query(ADD, [name]);
  // A connection left in the old transaction would take these with it into a rollback.
  const database = (await pool.query<{ name: string }>(DATABASE)).rows[0]?.name ?? '';
  const connection = { ...postgres.server.connection, database };
  const kept = await run<{ domain: string }>(connection, 'SELECT domain FROM domain_bans');
  t.same(kept.map((row) => row.domain).sort(), added);
});

t.test('a connection that went silent is not used again', async (t) => {
  const pool = await postgres.createPool(t, { timeoutMs: 300, connectionsMax: 1 });
  const backend = statement('test_backend')`SELECT pg_backend_pid() AS pid`;
  const pid = (await pool.query<{ pid: number }>(backend)).rows[0]?.pid ?? 0;
  process.kill(pid, 'SIGSTOP');
  try {
    await t.rejects(pool.query(ONE), { code: 'store_timeout' });
    t.same((await pool.query(ONE)).rows, [{ one: 1 }], 'the next one is another');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

t.test('close() does not wait for a frozen server', async (t) => {
  const pool = await postgres.createPool(t, { timeoutMs: 60_000 });
  await pool.query(ONE);
  const frozen = signalAll(clusterProcesses(clusterDir), 'SIGSTOP');
  try {
    const stuck = pool.query(ONE).catch(() => {});
    let isAnswered = false;
    void stuck.then(() => {
      isAnswered = true;
    });
    const { error, isInTime } = await ended(() => pool.close(200));
    t.same([error, isInTime], [undefined, true]);
    t.equal(isAnswered, false, 'the statement under way has no answer yet');
  } finally {
    signalAll(frozen, 'SIGCONT');
  }
});

t.test(
  '3.5.5: an immediate stop with idle and busy clients does not end the process',
  async (t) => {
    const dataDir = tempDir(t);
    const server = await startEmbedded(embeddedOptions(dataDir));
    const pool = createPool(poolOptions(server.connection, { connectionsMax: 6 }));
    await Promise.all([1, 2, 3, 4].map(() => pool.query(SLEEP, [0.05])));
    const busy = [ended(() => pool.query(SLEEP, [20])), ended(() => inTransaction(pool))];
    await clock.sleep(100);
    process.kill(server.pid, 'SIGQUIT');
    for (const { error } of await Promise.all(busy)) {
      t.match(error, { code: 'store_unreachable', isRetryable: true });
    }
    t.ok(await until(() => pool.ping()), 'G17: heals by itself when the server is back');
    t.ok(await until(() => server.restartCount >= 1));
    await pool.close();
    await server.stop();
  },
);

function inTransaction(pool: DatabasePool): Promise<unknown> {
  return pool.withTransaction((database) => database.query(SLEEP, [20]));
}

t.test('D26: a relay that starts before its database heals when that comes', async (t) => {
  const dataDir = tempDir(t);
  const first = await startEmbedded(embeddedOptions(dataDir));
  await first.stop();
  const pool = createPool(poolOptions(first.connection));
  await t.rejects(pool.query(ONE), { code: 'store_unreachable', isRetryable: true });
  const second = await startEmbedded(embeddedOptions(dataDir));
  t.same((await pool.query(ONE)).rows, [{ one: 1 }]);
  await pool.close();
  await second.stop();
});

t.test('a peer that accepts and never speaks costs the timeout', async (t) => {
  const mute = createServer(() => {});
  const { promise, resolve } = Promise.withResolvers<void>();
  mute.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = mute.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const connection = { host: '127.0.0.1', port, user: 'x', database: 'x' };
  const pool = createPool(poolOptions(connection, { timeoutMs: 300 }));
  const { error, isInTime } = await ended(() => pool.query(ONE));
  t.match(error, { code: 'store_timeout', isRetryable: true });
  t.ok(isInTime, 'though the peer still says nothing');
  await pool.close();
  mute.close();
});
