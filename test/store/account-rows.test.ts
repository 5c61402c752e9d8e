import { randomBytes } from 'node:crypto';
import t from 'tap';
import {
  type AccountState,
  countAccounts,
  findAccount,
  loadAccounts,
  pageAccountsOfHost,
  pageRepos,
  upsertAccounts,
} from '../../lib/store/account-rows.ts';
import { cidFromColumn, cidToColumn } from '../../lib/store/columns.ts';
import { insertHost, setHostStatus } from '../../lib/store/host-rows.ts';
import {
  type IdentityRow,
  markIdentitiesStale,
  upsertIdentities,
} from '../../lib/store/identity-rows.ts';
import type { Database } from '../../lib/store/pool.ts';
import { statement } from '../../lib/store/statement.ts';
import { loadTakedowns, pageTakedowns } from '../../lib/store/takedown-rows.ts';
import { startTestPostgres } from '../helpers/postgres.ts';

const postgres = await startTestPostgres(t);
const did = (n: number): string => `did:plc:${String(n).padStart(24, '0')}`;
const cid = (n: number): string =>
  `\x01\x71\x12\x20${String.fromCharCode(n % 256, 0, 0xff)
    .repeat(11)
    .slice(0, 32)}`;

function account(n: number, seq: number, more: Partial<AccountState> = {}): AccountState {
  return {
    did: did(n),
    hostId: 7,
    isUpstreamActive: true,
    upstreamStatus: null,
    localStatus: null,
    rev: `3jzfcijpj${seq.toString(32).padStart(4, '2')}`,
    commitCid: cid(n),
    dataCid: cid(seq),
    seq,
    ...more,
  };
}

function identity(n: number, more: Partial<IdentityRow> = {}): IdentityRow {
  return {
    did: did(n),
    state: 'found',
    pds_host: 'pds.example',
    signing_key: 'k256:abc',
    handle: 'a.example',
    resolved_ms: 1_700_000_000_000,
    is_stale: false,
    ...more,
  };
}

t.test('AC-7: a host that is offline or banned changes none of its accounts', async (t) => {
  const pool = await postgres.createPool(t);
  const { host } = await insertHost(pool, { hostname: 'pds.example', isInsecure: false });
  const accounts = [account(1, 10), account(2, 11, { isUpstreamActive: false })].map((row) => {
    return { ...row, hostId: host.id };
  });
  await upsertAccounts(pool, accounts);
  const dids = accounts.map((row) => row.did);
  const before = await loadAccounts(pool, dids);
  t.equal(before.length, 2);
  for (const status of ['offline', 'idle', 'throttled', 'banned', 'active'] as const) {
    await setHostStatus(pool, host.id, status);
    t.same(await loadAccounts(pool, dids), before, status);
  }
});

t.test('a row comes back as it was written, joined with its identity in one query', async (t) => {
  const pool = await postgres.createPool(t);
  const whole = account(1, 10, { upstreamStatus: 'frozen', localStatus: 'takendown' });
  const bare = account(2, 2 ** 53 - 1, { rev: null, commitCid: null, dataCid: null });
  t.equal(await upsertAccounts(pool, [whole, bare]), 2);
  await upsertIdentities(pool, [identity(1), identity(3, { state: 'not_found', pds_host: null })]);

  let queryCount = 0;
  const counting: Database = {
    query: (sql, values) => {
      queryCount++;
      return pool.query(sql, values);
    },
  };
  const rows = await loadAccounts(counting, [1, 2, 3, 4].map(did));
  t.equal(queryCount, 1);
  const byDid = new Map(rows.map((row) => [row.did, row]));
  t.same(byDid.get(did(1)), { ...whole, identity: identity(1) });
  t.same(byDid.get(did(2)), { ...bare, identity: null });
  t.match(byDid.get(did(3)), { seq: 0, hostId: 0, identity: { state: 'not_found' } });
  t.equal(byDid.size, 3, 'nothing for a DID never seen');
  t.same(await findAccount(pool, did(2)), { ...bare, identity: null });
  t.equal(await findAccount(pool, did(3)), undefined, 'an identity is not an account');
});

t.test('G10: the log seq alone decides, whatever rev says', async (t) => {
  const pool = await postgres.createPool(t);
  await upsertAccounts(pool, [account(1, 10, { rev: '3zzz' })]);
  t.equal(await upsertAccounts(pool, [account(1, 9, { rev: '3zzzz' })]), 0, 'older: skipped');
  t.equal(await upsertAccounts(pool, [account(1, 10, { rev: '3aaa' })]), 0, 'repeated: skipped');
  const status = { rev: '3zzz', isUpstreamActive: false, upstreamStatus: 'deleted' };
  t.equal(await upsertAccounts(pool, [account(1, 11, status)]), 1, '#account, same rev');
  t.match(await findAccount(pool, did(1)), { seq: 11, ...status });
  t.equal(await upsertAccounts(pool, [account(1, 12, { rev: '3aaa' })]), 1, 'a rev that went back');
});

t.test('C5: fifty parallel batches that overlap leave the newest of each', async (t) => {
  const pool = await postgres.createPool(t, { connectionsMax: 16, timeoutMs: 20_000 });
  const batches = Array.from({ length: 50 }, (_, seq) => {
    const order = Array.from({ length: 40 }, (_, n) => n);
    // Each in another order: without an order of our own the batches would deadlock.
    order.sort(() => (randomBytes(1)[0] ?? 0) - 128);
    return order.map((n) => account(n, seq + 1));
  });
  batches.sort(() => (randomBytes(1)[0] ?? 0) - 128);
  await Promise.all(batches.map((rows) => upsertAccounts(pool, rows)));
  const rows = await loadAccounts(
    pool,
    Array.from({ length: 40 }, (_, n) => did(n)),
  );
  t.equal(rows.length, 40);
  t.ok(rows.every((row) => row.seq === 50));
});

t.test('a DID twice in one batch: the higher seq wins', async (t) => {
  const pool = await postgres.createPool(t);
  t.equal(await upsertAccounts(pool, [account(1, 5), account(1, 6), account(1, 4)]), 1);
  t.equal((await findAccount(pool, did(1)))?.seq, 6);
  await upsertIdentities(pool, [identity(1, { handle: 'old' }), identity(1, { handle: 'new' })]);
  t.equal((await findAccount(pool, did(1)))?.identity?.handle, 'new');
});

t.test('text that PostgreSQL refuses does not hold up a batch', async (t) => {
  const pool = await postgres.createPool(t);
  const odd = account(1, 1, { upstreamStatus: 'a\0b"\\{,}é漢😀\ud800' });
  await upsertAccounts(pool, [odd, account(2, 2)]);
  await upsertIdentities(pool, [identity(1, { handle: 'x\0', pds_host: '\0' })]);
  const row = await findAccount(pool, did(1));
  t.equal(row?.upstreamStatus, 'a\ufffdb"\\{,}é漢😀\ufffd');
  t.equal(row?.identity?.handle, 'x\ufffd');
  t.equal((await findAccount(pool, did(2)))?.seq, 2);
});

t.test('DD-1: a DID of 2,048 characters fits', async (t) => {
  const pool = await postgres.createPool(t);
  // Random text does not compress: the index must take it as it is.
  const long = `did:web:${randomBytes(1020).toString('hex')}`;
  t.equal(long.length, 2048);
  await upsertAccounts(pool, [account(1, 1, { did: long })]);
  await upsertIdentities(pool, [identity(1, { did: long })]);
  t.match(await findAccount(pool, long), { did: long, identity: { did: long } });
});

t.test('batches are bounded: 1,000 rows pass, 1,001 are a bug', async (t) => {
  const pool = await postgres.createPool(t);
  const rows = Array.from({ length: 1001 }, (_, n) => account(n, n + 1));
  const dids = rows.map((row) => row.did);
  t.equal(await upsertAccounts(pool, rows.slice(1)), 1000);
  t.equal((await loadAccounts(pool, dids.slice(1))).length, 1000);
  await t.rejects(upsertAccounts(pool, rows), { name: 'AssertionFailed' });
  await t.rejects(loadAccounts(pool, dids), { name: 'AssertionFailed' });
  await t.rejects(pageRepos(pool, 0, 1001), { name: 'AssertionFailed' });
  t.equal(await upsertAccounts(pool, []), 0);
  t.same(await loadAccounts(pool, []), []);
});

t.test('C21: listRepos pages by id to the end, without accounts that have no commit', async (t) => {
  const pool = await postgres.createPool(t);
  for (let n = 1; n <= 25; n++) {
    await upsertAccounts(pool, [account(n, n, n % 5 === 0 ? { rev: null } : {})]);
  }
  // Updates do not move a repo in the list.
  await upsertAccounts(pool, [account(1, 100)]);
  const seen: string[] = [];
  let afterId = 0;
  for (let pages = 0; pages < 10; pages++) {
    const page = await pageRepos(pool, afterId, 7);
    seen.push(...page.map((row) => row.did));
    afterId = page.at(-1)?.id ?? afterId;
    if (page.length < 7) break;
  }
  const wanted = Array.from({ length: 25 }, (_, n) => n + 1).filter((n) => n % 5 !== 0);
  t.same(seen, wanted.map(did));
  t.same(await pageRepos(pool, 0, 1), [
    {
      id: 1,
      did: did(1),
      rev: account(1, 100).rev,
      commitCid: cid(1),
      isUpstreamActive: true,
      upstreamStatus: null,
      localStatus: null,
    },
  ]);
});

t.test('counts per host are derived and leave out deleted accounts', async (t) => {
  const pool = await postgres.createPool(t);
  await upsertAccounts(pool, [
    account(1, 1, { hostId: 1 }),
    account(2, 2, { hostId: 1, localStatus: 'host-throttled' }),
    account(3, 3, { hostId: 1, upstreamStatus: 'deleted', isUpstreamActive: false }),
    account(4, 4, { hostId: 2 }),
  ]);
  const counts = async () =>
    new Map((await countAccounts(pool, [1, 2, 3])).map((row) => [row.hostId, row.accountCount]));
  t.same([...(await counts())].sort(), [
    [1, 2],
    [2, 1],
  ]);
  await upsertAccounts(pool, [account(4, 5, { hostId: 1 })]);
  t.same([...(await counts())], [[1, 3]], 'migration moves the account');
  t.match(await pageAccountsOfHost(pool, 1, 0, 2), [
    { did: did(1), localStatus: null },
    { did: did(2), localStatus: 'host-throttled' },
  ]);
  const rest = await pageAccountsOfHost(pool, 1, 2, 10);
  t.same(
    rest.map((row) => row.did),
    [did(4)],
  );
});

t.test('identities: a later row replaces, staleness is marked once', async (t) => {
  const pool = await postgres.createPool(t);
  await upsertIdentities(pool, [identity(1), identity(2)]);
  t.equal(await markIdentitiesStale(pool, [did(1), did(9)]), 1);
  t.equal(await markIdentitiesStale(pool, [did(1)]), 0);
  t.equal(await markIdentitiesStale(pool, []), 0);
  const load = async () => (await loadAccounts(pool, [did(1)]))[0]?.identity;
  t.match(await load(), { is_stale: true });
  // A clock that was set back must not lock the old document in (G21).
  await upsertIdentities(pool, [identity(1, { resolved_ms: 5.4, state: 'tombstoned' })]);
  t.match(await load(), { is_stale: false, state: 'tombstoned', resolved_ms: 5 });
});

t.test('C12: repeated updates stay in their page and touch no index', async (t) => {
  // One connection: it reports what it did itself.
  const pool = await postgres.createPool(t, { connectionsMax: 1 });
  const rows = (seq: number) => Array.from({ length: 500 }, (_, n) => account(n, seq));
  for (let seq = 1; seq <= 10; seq++) await upsertAccounts(pool, rows(seq));
  const flush = statement('test_flush')`SELECT pg_stat_force_next_flush()`;
  const stats = statement('test_stats')`
    SELECT n_tup_upd AS updated, n_tup_hot_upd AS hot
    FROM pg_stat_user_tables WHERE relname = 'accounts' LIMIT 1`;
  type Stats = { updated: number; hot: number };
  await pool.query(flush);
  const { updated, hot } = (await pool.query<Stats>(stats)).rows[0] ?? { updated: 0, hot: 0 };
  t.ok(updated >= 3000, `${updated} updates`);
  t.ok(hot / updated > 0.5, `${hot} of ${updated} are HOT`);
});

t.test('CIDs travel as 36 bytes', async (t) => {
  t.same(cidToColumn(cid(3))?.length, 36);
  t.equal(cidFromColumn(cidToColumn(cid(3))), cid(3));
  t.equal(cidToColumn(''), null);
  t.equal(cidFromColumn(null), null);
  t.throws(() => cidToColumn('short'), { name: 'AssertionFailed' });
});

t.test('G28: what is taken down here is found by pages, in the order of first sight', async (t) => {
  const pool = await postgres.createPool(t);
  const rows = Array.from({ length: 9 }, (_, index) => {
    const localStatus = index % 3 === 0 ? null : index % 3 === 1 ? 'takendown' : 'suspended';
    return account(index + 1, 1, { localStatus });
  });
  // One by one, so that the order of first sight is known.
  for (const row of rows) await upsertAccounts(pool, [row]);
  const wanted = rows.filter((row) => row.localStatus === 'takendown').map((row) => row.did);
  const first = await pageTakedowns(pool, 0, 2);
  t.same(
    first.map((row) => row.did),
    wanted.slice(0, 2),
  );
  const rest = await pageTakedowns(pool, first.at(-1)?.id ?? 0, 2);
  t.same(
    rest.map((row) => row.did),
    wanted.slice(2),
  );
  t.same(await loadTakedowns(pool), new Set(wanted));
  await upsertAccounts(pool, [account(2, 2, { localStatus: null })]);
  t.same(await loadTakedowns(pool), new Set(wanted.slice(1)));
});
