import t from 'tap';
import { banCandidates } from '../../lib/hosts/crawl-limits.ts';
import {
  addDomainBan,
  findDomainBan,
  pageDomainBans,
  removeDomainBan,
} from '../../lib/store/ban-rows.ts';
import {
  countHostsAddedSince,
  findHost,
  insertHost,
  loadHosts,
  pageHosts,
  resetHostCursor,
  saveFirstCursors,
  saveHostChanges,
  setHostLenient,
  setHostLimits,
  setHostStatus,
} from '../../lib/store/host-rows.ts';
import type { Database, DatabasePool } from '../../lib/store/pool.ts';
import { statement } from '../../lib/store/statement.ts';
import { clock, startTestPostgres } from '../helpers/postgres.ts';

const postgres = await startTestPostgres(t);
const FILL = statement('test_fill')`
  INSERT INTO hosts (hostname) SELECT 'h' || n || '.example' FROM generate_series(1, $1::int) n`;

async function addHost(database: Database, hostname: string): Promise<number> {
  return (await insertHost(database, { hostname, isInsecure: false })).host.id;
}

function counted(pool: DatabasePool): { database: Database; count: () => number } {
  let queryCount = 0;
  const database: Database = {
    query: (sql, values) => {
      queryCount++;
      return pool.query(sql, values);
    },
  };
  return { database, count: () => queryCount };
}

t.test('insert-or-get: fifty callers at once, one row, one of them new (C5)', async (t) => {
  const pool = await postgres.createPool(t, { connectionsMax: 10 });
  const host = { hostname: 'a.example', isInsecure: false };
  const results = await Promise.all(Array.from({ length: 50 }, () => insertHost(pool, host)));
  t.equal(results.filter((result) => result.isNew).length, 1);
  t.equal(new Set(results.map((result) => result.host.id)).size, 1);
  const nowMs = clock.epochMs();
  const found = await findHost(pool, 'a.example');
  t.match(found, {
    hostname: 'a.example',
    status: 'active',
    isInsecure: false,
    cursor: null,
    failures: 0,
    accountLimit: null,
    limits: {},
    lastConnectedMs: null,
  });
  t.ok(Math.abs((found?.createdMs ?? 0) - nowMs) < 60_000);
  t.equal(await findHost(pool, 'b.example'), undefined);
  t.equal(await countHostsAddedSince(pool, nowMs - 60_000), 1);
  t.equal(await countHostsAddedSince(pool, nowMs + 60_000), 0);
});

t.test('D34: 2,800 hosts are loaded in one query', async (t) => {
  const pool = await postgres.createPool(t);
  await pool.query(FILL, [2800]);
  const { database, count } = counted(pool);
  const hosts = await loadHosts(database);
  t.equal(hosts.length, 2800);
  t.equal(count(), 1);
  const ids = hosts.map((host) => host.id);
  t.same(
    ids,
    [...ids].sort((a, b) => a - b),
  );
  const second = await pageHosts(pool, ids[9] ?? 0, 5);
  t.same(
    second.map((host) => host.id),
    ids.slice(10, 15),
  );
  await t.rejects(pageHosts(pool, 0, 0), { name: 'AssertionFailed' });
});

t.test('loadHosts goes on past its first page', async (t) => {
  const pool = await postgres.createPool(t);
  await pool.query(FILL, [10_001]);
  t.equal((await loadHosts(pool)).length, 10_001);
});

t.test('a flush moves status and failures, and cannot undo a ban', async (t) => {
  const pool = await postgres.createPool(t);
  const first = await addHost(pool, 'a.example');
  const second = await addHost(pool, 'b.example');
  const change = { status: 'offline', failures: 3, lastConnectedMs: 1_700_000_000_123 } as const;
  await saveHostChanges(pool, [{ id: first, ...change }]);
  t.match(await findHost(pool, 'a.example'), change);
  t.ok(await setHostStatus(pool, first, 'banned'));
  await saveHostChanges(pool, [
    { id: first, status: 'active', failures: 0, lastConnectedMs: null },
    { id: second, status: 'idle', failures: 1, lastConnectedMs: null },
  ]);
  t.match(await findHost(pool, 'a.example'), { status: 'banned', failures: 3 });
  t.match(await findHost(pool, 'b.example'), { status: 'idle', lastConnectedMs: null });
  t.ok(await setHostStatus(pool, first, 'active'), 'an operator can');
  await saveHostChanges(pool, [{ id: first, ...change, lastConnectedMs: null }]);
  const kept = { lastConnectedMs: change.lastConnectedMs };
  t.match(await findHost(pool, 'a.example'), kept, 'no new time keeps the old one');
  t.equal(await setHostStatus(pool, 999, 'banned'), false);
  await saveHostChanges(pool, []);
});

t.test('limits of a host are set and cleared', async (t) => {
  const pool = await postgres.createPool(t);
  const id = await addHost(pool, 'a.example');
  t.ok(await setHostLimits(pool, id, 500, { eventsPerSecond: 20 }));
  const set = { accountLimit: 500, limits: { eventsPerSecond: 20 } };
  t.match(await findHost(pool, 'a.example'), set);
  t.ok(await setHostLimits(pool, id, null, {}));
  t.same((await findHost(pool, 'a.example'))?.limits, {});
  t.equal(await setHostLimits(pool, 999, 1, {}), false);
});

t.test('A12: the lenient switch of a host is off until it is set', async (t) => {
  const pool = await postgres.createPool(t);
  const id = await addHost(pool, 'a.example');
  t.equal((await findHost(pool, 'a.example'))?.isLenient, false);
  t.ok(await setHostLenient(pool, id, true));
  t.equal((await findHost(pool, 'a.example'))?.isLenient, true);
  t.equal((await loadHosts(pool))[0]?.isLenient, true);
  t.ok(await setHostLenient(pool, id, false));
  t.equal((await findHost(pool, 'a.example'))?.isLenient, false);
  t.equal(await setHostLenient(pool, 999, true), false);
});

t.test('the first cursor is stored once; an operator may reset it', async (t) => {
  const pool = await postgres.createPool(t);
  const id = await addHost(pool, 'a.example');
  await saveFirstCursors(pool, [{ hostId: id, hostSeq: 41 }]);
  await saveFirstCursors(pool, [{ hostId: id, hostSeq: 7 }]);
  t.equal((await findHost(pool, 'a.example'))?.cursor, 41, 'a late second write is harmless');
  t.ok(await resetHostCursor(pool, id, null));
  t.equal((await findHost(pool, 'a.example'))?.cursor, null);
  t.ok(await resetHostCursor(pool, id, 0));
  t.equal((await findHost(pool, 'a.example'))?.cursor, 0, 'zero is a cursor');
  await saveFirstCursors(pool, []);
});

t.test('S23: a domain ban covers the name and all below it, in one query', async (t) => {
  const pool = await postgres.createPool(t);
  t.ok(await addDomainBan(pool, 'bad.example'));
  t.equal(await addDomainBan(pool, 'bad.example'), false, 'C4: adding twice');
  await addDomainBan(pool, 'deep.bad.example');
  await addDomainBan(pool, '%.example');
  const { database, count } = counted(pool);
  const banOf = (name: string) => findDomainBan(database, banCandidates(name));
  t.equal(await banOf('bad.example'), 'bad.example');
  t.equal(await banOf('x.y.bad.example'), 'bad.example');
  t.equal(await banOf('x.deep.bad.example'), 'deep.bad.example');
  t.equal(await banOf('notbad.example'), undefined);
  t.equal(await banOf('good.example'), undefined, 'no pattern');
  t.equal(count(), 5);
  t.same(await pageDomainBans(pool, '', 2), ['%.example', 'bad.example']);
  t.same(await pageDomainBans(pool, 'bad.example', 2), ['deep.bad.example']);
  t.ok(await removeDomainBan(pool, 'bad.example'));
  t.equal(await removeDomainBan(pool, 'bad.example'), false, 'C4: removing twice');
});
