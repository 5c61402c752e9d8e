import t from 'tap';
import type { Logger } from '../../lib/logging/logger.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { tryAdvisoryLock } from '../../lib/store/advisory-lock.ts';
import { CheckpointWriter, readCheckpoint } from '../../lib/store/checkpoint-rows.ts';
import { findHost, insertHost, loadHosts, saveReplays } from '../../lib/store/host-rows.ts';
import type { Database } from '../../lib/store/pool.ts';
import { statement } from '../../lib/store/statement.ts';
import { clock, run, startTestPostgres, until } from '../helpers/postgres.ts';

const postgres = await startTestPostgres(t);
const FILL = statement('test_fill')`
  INSERT INTO hosts (hostname) SELECT 'h' || n || '.example' FROM generate_series(1, $1::int) n`;

async function addHost(database: Database, hostname: string): Promise<number> {
  return (await insertHost(database, { hostname, isInsecure: false })).host.id;
}

const cursorOf = async (database: Database, hostname: string) =>
  (await findHost(database, hostname))?.cursor;

t.test('G9, G10: cursors and checkpoint are written together, and read back', async (t) => {
  const pool = await postgres.createPool(t);
  const a = await addHost(pool, 'a.example');
  const b = await addHost(pool, 'b.example');
  t.match(await readCheckpoint(pool), { seq: 0 });
  const writer = await CheckpointWriter.claim(pool);
  t.equal(writer.startSeq, 0);
  const cursors = [
    { hostId: a, hostSeq: 100 },
    { hostId: b, hostSeq: 2 ** 53 - 1 },
  ];
  t.equal(await writer.save(50, cursors), 2);
  t.equal(await cursorOf(pool, 'b.example'), 2 ** 53 - 1);
  t.equal(await writer.save(60, cursors), 0, 'cursors that did not move are not written');
  t.equal(await writer.save(61, []), 0);
  const read = await readCheckpoint(pool);
  t.equal(read.seq, 61);
  t.ok(Math.abs(read.writtenMs - clock.epochMs()) < 60_000);
  t.equal(await writer.save(70, [{ hostId: a, hostSeq: 3 }]), 1, 'a host that renumbered');
  t.equal(await cursorOf(pool, 'a.example'), 3);
  t.equal((await CheckpointWriter.claim(pool)).startSeq, 70);
});

t.test('G9: a host that has yet to send again keeps its note until it is past', async (t) => {
  const pool = await postgres.createPool(t);
  const a = await addHost(pool, 'a.example');
  const b = await addHost(pool, 'b.example');
  const noteOf = async (hostname: string) => (await findHost(pool, hostname))?.replayFrom;
  await saveReplays(pool, [{ hostId: a, logSeq: 40 }]);
  await saveReplays(pool, [{ hostId: a, logSeq: 90 }]);
  t.equal(await noteOf('a.example'), 40, 'the older note stays');
  t.equal(await noteOf('b.example'), null);
  const writer = await CheckpointWriter.claim(pool);
  await writer.save(100, [
    { hostId: a, hostSeq: 7, isReplaying: true },
    { hostId: b, hostSeq: 7 },
  ]);
  t.match(await findHost(pool, 'a.example'), { cursor: 7, replayFrom: 40 });
  t.equal(await writer.save(101, [{ hostId: a, hostSeq: 7, isReplaying: true }]), 0);
  t.equal(await writer.save(102, [{ hostId: a, hostSeq: 7 }]), 1, 'past it, same cursor');
  t.equal(await noteOf('a.example'), null);
  await saveReplays(pool, []);
});

t.test('a write of an older process is refused, whenever it lands', async (t) => {
  const pool = await postgres.createPool(t);
  const a = await addHost(pool, 'a.example');
  const old = await CheckpointWriter.claim(pool);
  await old.save(10, [{ hostId: a, hostSeq: 10 }]);
  const now = await CheckpointWriter.claim(pool);
  const late = old.save(11, [{ hostId: a, hostSeq: 11 }]);
  await t.rejects(late, { code: 'checkpoint_fenced', isRetryable: false });
  t.equal(await cursorOf(pool, 'a.example'), 10);
  t.match(await readCheckpoint(pool), { seq: 10 });
  await now.save(12, [{ hostId: a, hostSeq: 12 }]);
  t.equal(await cursorOf(pool, 'a.example'), 12);
});

t.test('a write that a frozen server lets through late cannot put cursors back', async (t) => {
  const pool = await postgres.createPool(t);
  const a = await addHost(pool, 'a.example');
  // The first save of this writer is kept back and let through after the second.
  const sent: Array<() => Promise<unknown>> = [];
  let isHolding = false;
  const delaying: Database = {
    query: (sql, values) => {
      if (isHolding) sent.push(() => pool.query(sql, values));
      return isHolding ? Promise.reject(new Error('timeout')) : pool.query(sql, values);
    },
  };
  const writer = await CheckpointWriter.claim(delaying);
  isHolding = true;
  await t.rejects(writer.save(10, [{ hostId: a, hostSeq: 10 }]));
  isHolding = false;
  await writer.save(20, [{ hostId: a, hostSeq: 20 }]);
  for (const land of sent) await land();
  t.equal(await cursorOf(pool, 'a.example'), 20);
  t.match(await readCheckpoint(pool), { seq: 20 });
  t.equal(await writer.save(30, [{ hostId: a, hostSeq: 30 }]), 1);
});

t.test('two writes in flight: the newer one stands, in either order', async (t) => {
  const pool = await postgres.createPool(t, { connectionsMax: 8 });
  const a = await addHost(pool, 'a.example');
  const writer = await CheckpointWriter.claim(pool);
  const saves = Array.from({ length: 20 }, (_, n) =>
    writer.save(n + 1, [{ hostId: a, hostSeq: n + 1 }]).catch((error: unknown) => error),
  );
  await Promise.all(saves);
  t.match(await readCheckpoint(pool), { seq: 20 });
  t.equal(await cursorOf(pool, 'a.example'), 20);
});

t.test('C12: 2,800 hosts, one statement per checkpoint, changed rows only, HOT', async (t) => {
  // One connection: it reports what it did itself.
  const pool = await postgres.createPool(t, { connectionsMax: 1 });
  await pool.query(FILL, [2800]);
  const ids = (await loadHosts(pool)).map((host) => host.id);
  let statementCount = 0;
  const counting: Database = {
    query: (sql, values) => {
      statementCount++;
      return pool.query(sql, values);
    },
  };
  const writer = await CheckpointWriter.claim(counting);
  statementCount = 0;
  for (let round = 1; round <= 12; round++) {
    const moved = round % 2 === 0 ? ids : ids.slice(0, 100);
    await writer.save(
      round * 1000,
      moved.map((hostId) => ({ hostId, hostSeq: round })),
    );
  }
  t.equal(statementCount, 12);
  const flush = statement('test_flush')`SELECT pg_stat_force_next_flush()`;
  const stats = statement('test_stats')`
    SELECT n_tup_upd AS updated, n_tup_hot_upd AS hot
    FROM pg_stat_user_tables WHERE relname = 'hosts' LIMIT 1`;
  type Stats = { updated: number; hot: number };
  await pool.query(flush);
  const { updated, hot } = (await pool.query<Stats>(stats)).rows[0] ?? { updated: 0, hot: 0 };
  t.equal(updated, 6 * 2800 + 6 * 100);
  t.ok(hot / updated > 0.8, `${hot} of ${updated} are HOT`);
});

t.test('a checkpoint row that was removed by hand is a clear fault', async (t) => {
  const pool = await postgres.createPool(t);
  await pool.query(statement('test_delete')`DELETE FROM checkpoint`);
  await t.rejects(CheckpointWriter.claim(pool), { code: 'store_error', isRetryable: false });
});

t.test('G23: one relay per database; the lock goes with its session', async (t) => {
  const connection = await postgres.createDatabase();
  const lines: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (_fields, message) => lines.push(message) };
  const options = { connection, clock, logger, timeoutMs: 2000, waitMs: 0 };
  const first = await tryAdvisoryLock(options);
  t.equal(first?.isHeld, true);
  t.equal(await tryAdvisoryLock(options), undefined);
  const other = await tryAdvisoryLock({ ...options, connection: await postgres.createDatabase() });
  t.equal(other?.isHeld, true, 'another database is another lock');
  await other?.release();

  const waiting = tryAdvisoryLock({ ...options, waitMs: 5000 });
  const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'skyrelay lock' AND datname = $1
      AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)`;
  await run(connection, kill, [connection.database]);
  t.ok(await until(() => first?.isHeld === false), 'losing it is noticed');
  t.match(lines, [/lost the advisory lock/]);
  const second = await waiting;
  t.equal(second?.isHeld, true, 'who waits gets it');
  await second?.release();
  t.equal(second?.isHeld, false);
  const third = await tryAdvisoryLock(options);
  t.ok(third?.isHeld);
  const show = `SELECT setting FROM pg_settings WHERE name = 'tcp_keepalives_idle'`;
  t.equal((await run(connection, show)).length, 1);
  await third?.release();
  t.equal(lines.length, 1, 'a release is no loss');
});

t.test('G23: without a database the lock is a fault that may heal', async (t) => {
  const connection = { host: '127.0.0.1', port: 1, user: 'x', database: 'x' };
  const options = { connection, clock, logger: silentLogger, timeoutMs: 500, waitMs: 0 };
  await t.rejects(tryAdvisoryLock(options), { code: 'store_unreachable', isRetryable: true });
});
