/** What operators decide of hosts: stored first, then in force, never undone by an older row. */
import t, { type Test } from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import { MINUTE_MS } from '../../lib/base/units.ts';
import type { HostSettings } from '../../lib/hosts/host.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { upsertAccounts } from '../../lib/store/account-rows.ts';
import { findHost, insertHost } from '../../lib/store/host-rows.ts';
import type { Database, DatabasePool } from '../../lib/store/pool.ts';
import { HostDesk } from '../../lib/threads/host-desk.ts';
import type { Fleet } from '../../lib/upstream/fleet.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { startTestPostgres } from '../helpers/postgres.ts';

const postgres = await startTestPostgres(t);
const HOST = 'a.example';

class Bench {
  readonly clock = new ManualClock();
  readonly pool: DatabasePool;
  /** Settings that reached the fleet, in order. */
  readonly applied: HostSettings[] = [];
  /** Looks at a statement before it runs; may throw or wait. */
  before: (name: string) => unknown = () => {};
  readonly desk: HostDesk;
  hostId = 0;

  constructor(pool: DatabasePool) {
    this.pool = pool;
    const database: Database = {
      query: async (sql, values) => {
        await this.before(sql.name);
        return pool.query(sql, values);
      },
    };
    this.desk = new HostDesk({
      database,
      clock: this.clock,
      logger: silentLogger,
      metrics: new MetricWriter(),
      trustedDomains: ['*.trusted.example'],
      accountsPerHostMax: 100,
      discontinuousPerHourMax: 500,
    });
  }

  static async start(t: Test): Promise<Bench> {
    const bench = new Bench(await postgres.createPool(t));
    const { host } = await insertHost(bench.pool, { hostname: HOST, isInsecure: false });
    bench.hostId = host.id;
    const fleet = {
      setSettings: (_: number, settings: HostSettings) => bench.applied.push(settings),
      hostIds: () => [host.id],
      has: () => true,
      stats: () => undefined,
    };
    await bench.desk.toRecords(await bench.desk.loadRows());
    bench.desk.start(fleet as unknown as Fleet);
    t.teardown(() => bench.desk.stop());
    return bench;
  }

  get settings(): HostSettings | undefined {
    return this.applied.at(-1);
  }

  async addAccounts(from: number, count: number): Promise<void> {
    const rows = Array.from({ length: count }, (_, i) => ({
      did: `did:plc:${from + i}`,
      hostId: this.hostId,
      isUpstreamActive: true,
      upstreamStatus: null,
      localStatus: null,
      rev: null,
      commitCid: null,
      dataCid: null,
      seq: 1 + i,
    }));
    await upsertAccounts(this.pool, rows);
  }

  /** Moves time on and waits until the fleet was told something new. */
  async pass(ms: number): Promise<void> {
    const { length } = this.applied;
    await this.clock.advance(ms);
    for (let i = 0; i < 1000 && this.applied.length === length; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

t.test('LM-12: limits are stored, then in force; what is not named stays', async (t) => {
  const bench = await Bench.start(t);
  const { desk, pool } = bench;
  let wasInForce = false;
  bench.before = (name) => {
    if (name === 'hosts_set_limits') wasInForce ||= bench.applied.length > 0;
  };
  const first = { accountLimit: 5000, limits: { eventsPerDay: 7 }, formulae: [] };
  t.ok(await desk.changeLimits(HOST, first));
  t.notOk(wasInForce, 'not before it was stored');
  t.match(bench.settings, { isFull: false, isLenient: false });
  t.match(bench.settings?.limits, { eventsPerSecond: 55, eventsPerHour: 7500, eventsPerDay: 7 });
  t.ok(await desk.changeLimits(HOST, { limits: { bytesPerHour: 9 }, formulae: [] }));
  t.ok(await desk.changeLenient(HOST, true));
  const stored = { accountLimit: 5000, limits: { eventsPerDay: 7, bytesPerHour: 9 } };
  t.match(await findHost(pool, HOST), { ...stored, isLenient: true });
  t.match(bench.settings, { limits: { eventsPerDay: 7, bytesPerHour: 9 }, isLenient: true });
  const back = { accountLimit: null, limits: {}, formulae: ['eventsPerDay'] as const };
  t.ok(await desk.changeLimits(HOST, back));
  t.match(bench.settings?.limits, { eventsPerDay: 21_000, bytesPerHour: 9 });
  t.equal(bench.settings?.isLenient, true);
  t.equal(await desk.changeLimits('b.example', back), false);
  t.equal(await desk.changeLenient('b.example', true), false);
});

t.test('changes at the same time are all kept', async (t) => {
  const bench = await Bench.start(t);
  const { desk, pool } = bench;
  // Long enough for all to have read the row, if they did not wait for each other.
  bench.before = async (name) => {
    if (name.startsWith('hosts_set_')) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  await Promise.all([
    desk.changeLimits(HOST, { limits: { eventsPerDay: 1 }, formulae: [] }),
    desk.changeLimits(HOST, { limits: { eventsPerHour: 2 }, formulae: [] }),
    desk.changeLenient(HOST, true),
    desk.changeLimits(HOST, { accountLimit: 3, limits: {}, formulae: [] }),
  ]);
  const limits = { eventsPerDay: 1, eventsPerHour: 2 };
  t.match(await findHost(pool, HOST), { limits, isLenient: true, accountLimit: 3 });
});

t.test('G17: what could not be stored is refused and not in force', async (t) => {
  const bench = await Bench.start(t);
  bench.before = (name) => {
    if (name.startsWith('hosts_set_')) throw new RelayFault('down', 'x', { isRetryable: true });
  };
  const change = { limits: { eventsPerDay: 1 }, formulae: [] };
  await t.rejects(bench.desk.changeLimits(HOST, change), { code: 'down' });
  await t.rejects(bench.desk.changeLenient(HOST, true), { code: 'down' });
  t.same(bench.applied, []);
  bench.before = () => {};
  t.ok(await bench.desk.changeLenient(HOST, true), 'the next one is not held up');
  t.match(bench.settings, { isLenient: true, limits: { eventsPerDay: 21_000 } });
});

t.test('a row that was read before a change does not undo it', async (t) => {
  const { desk, pool } = await Bench.start(t);
  const old = await findHost(pool, HOST);
  t.ok(old !== undefined);
  await desk.changeLenient(HOST, true);
  await desk.changeLimits(HOST, { accountLimit: 1, limits: { eventsPerDay: 1 }, formulae: [] });
  if (old === undefined) return;
  const { settings } = desk.toRecord(old);
  t.match(settings, { isLenient: true, limits: { eventsPerDay: 1 } });
});

t.test('LM-12: limits follow the accounts of the host as they grow', async (t) => {
  const bench = await Bench.start(t);
  await bench.addAccounts(0, 900);
  // The first pass of the reconciliation comes after one period, the counts are fresh for five.
  await bench.pass(10 * MINUTE_MS);
  t.match(bench.settings?.limits, { eventsPerHour: 3400, eventsPerDay: 29_000 });
  t.equal(bench.settings?.isFull, true, 'it may have 100');
  // Nearer to the count they may be in it (account-counts.test.ts).
  await bench.pass(6000);
  bench.desk.noteNewAccounts(bench.hostId, 100);
  t.match(bench.settings?.limits, { eventsPerSecond: 51, eventsPerHour: 3500 }, 'at once');
});

t.test(
  'H150: full as soon as the last account is reported, and not when it may have more',
  async (t) => {
    const bench = await Bench.start(t);
    const { desk, hostId } = bench;
    await desk.changeLimits(HOST, { accountLimit: 10, limits: {}, formulae: [] });
    await bench.pass(6000);
    desk.noteNewAccounts(hostId, 9);
    t.equal(bench.settings?.isFull, false);
    desk.noteNewAccounts(hostId, 1);
    t.equal(bench.settings?.isFull, true);
    const { length } = bench.applied;
    desk.noteNewAccounts(hostId, 0);
    t.equal(bench.applied.length, length, 'nothing new');
    await desk.changeLimits(HOST, { accountLimit: 11, limits: {}, formulae: [] });
    t.equal(bench.settings?.isFull, false);
    const trusted = await insertHost(bench.pool, {
      hostname: 'x.trusted.example',
      isInsecure: false,
    });
    const { isTrusted, settings } = desk.toRecord(trusted.host);
    t.match({ isTrusted, ...settings }, { isTrusted: true, isFull: false });
    t.match(settings.limits, { eventsPerSecond: 5000, discontinuousPerHour: 500 });
  },
);

t.test('a limit that no relay of ours stored is left out', async (t) => {
  const { desk, pool } = await Bench.start(t);
  const row = await findHost(pool, HOST);
  if (row === undefined) throw new Error('no row');
  const strange = { eventsPerDay: 'many', eventsPerHour: -1, later: 5, bytesPerHour: 3 };
  const { limits } = desk.toRecord({ ...row, limits: strange as never }).settings;
  t.match(limits, { eventsPerDay: 21_000, eventsPerHour: 2600, bytesPerHour: 3 });
  t.notOk('later' in limits);
});
