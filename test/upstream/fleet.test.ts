import t from 'tap';
import { nextTurn, type Timer } from '../../lib/base/clock.ts';
import { RelayFault } from '../../lib/base/fault.ts';
import { Prng } from '../../lib/base/prng.ts';
import { DAY_MS, MINUTE_MS, type MonoMs, SECOND_MS, toMonoMs } from '../../lib/base/units.ts';
import type { HostRecord } from '../../lib/hosts/host.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { startupDelayMs } from '../../lib/upstream/fleet.ts';
import { reconcile, startReconciling } from '../../lib/upstream/reconcile.ts';
import { RETRY_DEFAULTS, Retry } from '../../lib/upstream/retry.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { Harness, hostOf, startPds } from './harness.ts';
import { eventFrame, Pds, settle, until } from './pds.ts';

const NOBODY = { hostname: 'localhost:9' };

t.test(
  'D1, C10: start-up jitter is even: no 100 ms has more than 2 % of 2,800 hosts',
  async (t) => {
    const windowMs = 30 * SECOND_MS;
    const buckets = new Array<number>(300).fill(0);
    for (let hostId = 1; hostId <= 2800; hostId++) {
      const delayMs = startupDelayMs(hostId, windowMs);
      t.equal(delayMs, startupDelayMs(hostId, windowMs), 'the same at every start');
      buckets[Math.floor(delayMs / 100)] = (buckets[Math.floor(delayMs / 100)] ?? 0) + 1;
    }
    t.equal(
      buckets.reduce((sum, count) => sum + count, 0),
      2800,
    );
    t.ok(Math.max(...buckets) <= 56, `${Math.max(...buckets)}`);
    t.ok(buckets.filter((count) => count === 0).length < 5, 'and nearly no hole');
  },
);

t.test('D1: hosts dial over the window, those that were offline after it', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  const hosts: HostRecord[] = [];
  for (let hostId = 1; hostId <= 60; hostId++) {
    hosts.push(hostOf(pds, { hostId, status: hostId <= 30 ? 'active' : 'offline' }));
  }
  h.fleet.start(hosts);
  t.equal(h.dialed.length, 0);
  await h.pass(15 * SECOND_MS);
  t.ok(h.dialed.length > 5 && h.dialed.length < 25, `${h.dialed.length} at half time`);
  await h.pass(15.2 * SECOND_MS);
  const early = h.dialed.length;
  t.ok(early >= 30 && early < 35, `${early} after the window`);
  await h.pass(91 * SECOND_MS);
  t.equal(h.dialed.length, 60);
});

t.test('D2: a host just asked for dials at once, while others wait for their turn', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.start([hostOf(NOBODY, { hostId: 1 }), hostOf(NOBODY, { hostId: 2 })]);
  h.fleet.add(hostOf(pds, { hostId: 3 }));
  await h.connected(pds, 1, 3);
  t.equal(h.dialed.length, 1, 'with no tick in between');
  h.fleet.add(hostOf(pds, { hostId: 1 }));
  t.equal(h.dialed.length, 2, 'one that waits for its turn need not');
});

t.test('D2: asking again and again does not dial again and again', async (t) => {
  const h = new Harness(t);
  h.fleet.add(hostOf(NOBODY));
  for (let i = 0; i < 50; i++) {
    await until(() => h.stats().state !== 'dialing');
    h.fleet.add(hostOf(NOBODY));
  }
  t.equal(h.dialed.length, 1);
  await h.pass(10.1 * SECOND_MS);
  const before = h.dialed.length;
  await until(() => h.stats().state === 'backoff');
  await h.pass(10.1 * SECOND_MS);
  await until(() => h.stats().state === 'backoff');
  t.ok(h.dialed.length - before < 5);
});

t.test('C7: a ban during the back-off: no further connection', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  pds.last.ws.close();
  await until(() => h.stats().state === 'backoff');
  h.fleet.ban(1);
  t.same(h.statuses, [], 'the row says so already');
  await h.pass(2 * 60 * MINUTE_MS);
  await settle();
  t.equal(pds.socketCount, 1);
  t.equal(h.fleet.add(hostOf(pds)), false, 'a row read before the ban does not bring it back');
  t.equal(h.fleet.hostCount, 0);
  h.fleet.unban(hostOf(pds));
  await until(() => pds.connections.length === 2);
});

t.test('C7: a ban during the dial and while open ends both', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  t.equal(h.stats().state, 'dialing');
  h.fleet.ban(1);
  await settle();
  t.equal(pds.connections.length, 0);
  h.fleet.unban(hostOf(pds));
  await h.connected(pds);
  h.fleet.ban(1);
  await until(() => pds.openCount === 0);
  pds.connections[0]?.ws.send(eventFrame(101));
  await settle();
  t.same(h.sink.taken, []);
});

t.test('S10: a relay is banned when it answers, and an operator can take it back', async (t) => {
  const pds = await startPds(t, { headers: ['Server: x (atproto-relay)'] });
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await until(() => h.stats().state === 'stopped');
  t.match(h.stats(), { status: 'banned', lastError: { cause: 'relay' } });
  t.same(h.statuses, [[1, 'banned']], 'to be stored');
  await h.pass(DAY_MS / 24);
  t.equal(pds.socketCount, 1);
  t.equal(h.fleet.add(hostOf(pds)), false);
  t.equal(h.fleet.unban(hostOf(pds)), true);
  await until(() => pds.socketCount === 2);
});

t.test('D3, D30: dormant hosts hold no socket and no timer', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  const timersBefore = h.clock.waiterCount();
  const resources = (): number =>
    process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout/.test(name)).length;
  const before = resources();
  for (let hostId = 1; hostId <= 200; hostId++) h.fleet.add(hostOf(pds, { hostId }));
  await until(() => pds.connections.length === 200);
  for (const { ws } of pds.connections) ws.terminate();
  await until(() => [...h.fleet.hostIds()].every((id) => h.stats(id).state === 'backoff'));
  await until(() => pds.openCount === 0);
  t.equal(h.clock.waiterCount(), timersBefore);
  await until(() => resources() <= before + 2, `resources to fall from ${resources()}`);
});

/** A manual clock that runs periodic timers without promises: a week takes a second. */
class WeekClock extends ManualClock {
  #nowMs = 0;
  readonly #timers = new Set<{ readonly periodMs: number; nextMs: number; run: () => void }>();

  override monoMs(): MonoMs {
    return toMonoMs(this.#nowMs);
  }

  override every(periodMs: number, run: () => void): Timer {
    const timer = { periodMs, nextMs: this.#nowMs + periodMs, run };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  step(): void {
    this.#nowMs += SECOND_MS;
    for (const timer of this.#timers) {
      if (timer.nextMs > this.#nowMs) continue;
      timer.nextMs = this.#nowMs + timer.periodMs;
      timer.run();
    }
  }
}

t.test('D4: seven days of outage, and the host is back within 35 minutes', async (t) => {
  const gone = await Pds.start();
  const { port, hostname } = gone;
  gone.close();
  const clock = new WeekClock();
  const h = new Harness(t, { tickMs: SECOND_MS }, clock);
  h.fleet.add(hostOf({ hostname }));
  /** Runs the clock to the next attempt and lets it end. */
  const attempt = async (): Promise<void> => {
    await until(() => h.stats().state !== 'dialing');
    while (h.stats().state === 'backoff') clock.step();
    await until(() => h.stats().state !== 'dialing');
  };
  while (clock.monoMs() < 7 * DAY_MS) await attempt();
  t.ok(h.dialed.length > 300, `${h.dialed.length} attempts in a week`);
  t.equal(h.stats().status, 'offline');
  const back = new Pds({});
  await back.listen(port);
  t.teardown(() => back.close());
  const returnedMs = clock.monoMs();
  while (h.stats().state !== 'open') await attempt();
  t.ok(clock.monoMs() - returnedMs <= 35 * MINUTE_MS);
  t.equal(h.stats().status, 'active');
});

t.test(
  'a host that is silent for a day but answers pings is idle, and stays connected',
  async (t) => {
    const pds = await startPds(t);
    const clock = new WeekClock();
    const h = new Harness(t, { tickMs: SECOND_MS }, clock);
    h.fleet.add(hostOf(pds));
    await h.connected(pds);
    const stepTo = async (endMs: number): Promise<void> => {
      while (clock.monoMs() < endMs) {
        clock.step();
        if (clock.monoMs() % (5 * SECOND_MS) === 0) await nextTurn();
      }
    };
    await stepTo(DAY_MS - MINUTE_MS);
    t.match(h.stats(), { status: 'active', state: 'open', connects: 1 });
    await stepTo(DAY_MS + MINUTE_MS);
    t.match(h.stats(), { status: 'idle', state: 'open', connects: 1 });
    pds.last.ws.send(eventFrame(101));
    await until(() => h.stats().status === 'active');
  },
);

t.test('B10: Retry-After: 7 means 7 to 9 seconds', async (t) => {
  const pds = await startPds(t, {
    onUpgrade: (_, socket) => {
      socket.end('HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n');
      return true;
    },
  });
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await until(() => h.stats().state === 'backoff');
  const waitMs = h.stats().nextRetryInMs ?? 0;
  t.ok(waitMs >= 7000 && waitMs <= 9000, `${waitMs}`);
  await h.pass(waitMs - 200);
  t.equal(pds.requests.length, 1);
  await h.pass(500);
  await until(() => pds.requests.length === 2);
});

t.test('B10: no crawl request goes over a Retry-After', async (t) => {
  const pds = await startPds(t, {
    onUpgrade: (_, socket) => {
      socket.end('HTTP/1.1 503 X\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n');
      return true;
    },
  });
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await until(() => h.stats().state === 'backoff');
  await h.pass(30 * SECOND_MS);
  h.fleet.add(hostOf(pds));
  t.equal(h.stats().state, 'backoff');
  t.equal(h.dialed.length, 1);
});

t.test('D19: hosts beyond the slots are refused and counted, freed slots are used', async (t) => {
  const h = new Harness(t, { hostsMax: 3 });
  for (let hostId = 1; hostId <= 5; hostId++) h.fleet.add(hostOf(NOBODY, { hostId }));
  t.equal(h.fleet.hostCount, 3);
  t.equal(h.metrics.read('relay_upstream_slots_exhausted_total'), 2);
  h.fleet.remove(2);
  t.equal(h.fleet.add(hostOf(NOBODY, { hostId: 4 })), true);
  for (let i = 0; i < 5000; i++) {
    h.fleet.remove(i + 4);
    t.equal(h.fleet.add(hostOf(NOBODY, { hostId: i + 5 })), true);
  }
});

t.test('the cursor of a removed host still goes to the next checkpoint', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  pds.last.ws.send(eventFrame(101));
  await until(() => h.sink.taken.length === 1);
  h.fleet.remove(1);
  t.same(h.fleet.cursors.takeChanged(), [{ hostId: 1, hostSeq: 101 }]);
});

t.test('paused hosts go on one after another, the longest waiting first', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  for (let hostId = 1; hostId <= 6; hostId++) {
    h.fleet.add(hostOf(pds, { hostId }));
    await until(() => pds.connections.length === hostId);
  }
  h.sink.roomLeft = 0;
  for (const [index, { ws }] of pds.connections.entries()) {
    for (const seq of [101, 102]) ws.send(eventFrame(seq));
    await until(() => h.stats(index + 1).framesParked === 2);
  }
  for (let round = 0; round < 12; round++) {
    h.sink.roomLeft = 1;
    await h.pass(10);
  }
  const order = h.sink.taken.map(({ hostId }) => hostId);
  t.same(order, [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6], 'round and round, nobody first twice');
});

t.test('gauges say what is', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds, { hostId: 1 }));
  h.fleet.add(hostOf(NOBODY, { hostId: 2, status: 'offline' }));
  await h.connected(pds);
  await until(() => h.stats(2).state === 'backoff');
  await h.pass(SECOND_MS);
  t.equal(h.metrics.read('relay_upstream_connections_count'), 1);
  t.equal(h.metrics.read('relay_hosts_state_count:active'), 1);
  t.equal(h.metrics.read('relay_hosts_state_count:offline'), 1);
  t.equal(h.metrics.read('relay_upstream_connect_failures_total:refused') >= 1, true);
  h.fleet.stop();
  t.equal(h.metrics.read('relay_upstream_connections_count'), 0);
  t.equal(h.clock.waiterCount(), 0, 'no timer outlives the fleet');
});

t.test('G25: after stop nothing is taken any more', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  const closed = new Promise<number>((resolve) => pds.last.ws.on('close', resolve));
  h.fleet.stop();
  pds.last.ws.send(eventFrame(101));
  t.equal(await closed, 1001);
  t.same(h.sink.taken, []);
  await until(() => pds.openCount === 0);
});

t.test('G25: our own stop is no failure of the host', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t, { retry: { ...RETRY_DEFAULTS, offlineAfterFailures: 1 } });
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  h.fleet.stop();
  t.same(h.statuses, []);
});

t.test('a host is offline after several failures, and active once it answers', async (t) => {
  const pds = await Pds.start();
  const { port, hostname } = pds;
  pds.close();
  const h = new Harness(t);
  h.fleet.add(hostOf({ hostname }));
  for (let failures = 1; failures < RETRY_DEFAULTS.offlineAfterFailures; failures++) {
    await until(() => h.stats().failures === failures && h.stats().state === 'backoff');
    t.equal(h.stats().status, 'active');
    await h.retry();
  }
  await until(() => h.stats().status === 'offline');
  const back = new Pds({});
  await back.listen(port);
  t.teardown(() => back.close());
  await until(() => h.stats().state === 'backoff');
  await h.retry();
  await h.connected(back);
  t.same(h.statuses, [
    [1, 'offline'],
    [1, 'active'],
  ]);
});

t.test(
  'C10: the back-off doubles to 30 minutes with jitter and stays there for ever',
  async (t) => {
    const retry = new Retry(RETRY_DEFAULTS, new Prng(1));
    const waits = Array.from({ length: 400 }, () => retry.afterFailureMs({ isPermanent: false }));
    for (const [attempt, waitMs] of waits.entries()) {
      const ceilingMs = Math.min(30 * MINUTE_MS, SECOND_MS * 2 ** attempt);
      t.ok(waitMs >= ceilingMs / 2 && waitMs <= ceilingMs, `${attempt}: ${waitMs}`);
    }
    t.ok(new Set(waits.slice(20)).size > 300, 'no two hosts in step');
    t.ok(retry.isOffline);
    t.ok(retry.afterEndMs(MINUTE_MS, false) <= SECOND_MS, 'a good connection starts it anew');
    t.ok(retry.afterEndMs(59_999, false) > 500, 'a short one does not');
    t.equal(retry.failures, 2);
  },
);

t.test('B11: a permanent answer waits five minutes at least', async (t) => {
  const retry = new Retry(RETRY_DEFAULTS, new Prng(1));
  const waitMs = retry.afterFailureMs({ isPermanent: true });
  t.ok(waitMs >= 5 * MINUTE_MS && waitMs <= 6.25 * MINUTE_MS);
});

t.test('D4: the reconciliation pass finds what was forgotten and ends what is gone', async (t) => {
  const h = new Harness(t);
  const rows = new Map<number, HostRecord>();
  for (let hostId = 1; hostId <= 25; hostId++) {
    const status = hostId === 7 || hostId === 8 ? 'banned' : 'active';
    rows.set(hostId, hostOf(NOBODY, { hostId, status }));
  }
  for (const hostId of [1, 2, 3]) h.fleet.addLater(rows.get(hostId) as HostRecord);
  h.fleet.addLater(hostOf(NOBODY, { hostId: 8 }));
  h.fleet.addLater(hostOf(NOBODY, { hostId: 99 }));
  const pages: number[] = [];
  const deps = {
    clock: h.clock,
    logger: silentLogger,
    metrics: h.metrics,
    fleet: h.fleet,
    listHosts: async (afterHostId: number, countMax: number) => {
      const page = [...rows.values()].filter(({ hostId }) => hostId > afterHostId);
      pages.push(Math.min(countMax, page.length));
      // Added while the pass runs: not in the rows that were read, and not ended for that.
      if (afterHostId >= 20) h.fleet.add(hostOf(NOBODY, { hostId: 50 }));
      return page.slice(0, countMax);
    },
  };
  const counts = await reconcile(deps, { periodMs: 1000, pageCountMax: 10 });
  t.same(counts, { seen: 25, added: 20, ended: 2 });
  t.same(pages, [10, 10, 5, 0]);
  t.notOk(h.fleet.has(7));
  t.notOk(h.fleet.has(8), 'banned in the rows');
  t.notOk(h.fleet.has(99), 'gone from the rows');
  t.ok(h.fleet.has(50), 'new');
  t.equal(h.fleet.hostCount, 24);
});

t.test('C1: the reconciliation loop survives faults and runs again', async (t) => {
  const h = new Harness(t);
  let passes = 0;
  const loop = startReconciling(
    {
      clock: h.clock,
      logger: silentLogger,
      metrics: h.metrics,
      fleet: h.fleet,
      listHosts: async () => {
        if (++passes < 3) throw new RelayFault('store_down', 'down', { isRetryable: true });
        return [];
      },
    },
    { periodMs: 1000, pageCountMax: 10 },
  );
  await h.pass(500);
  t.equal(passes, 0, 'not at the start: that has just read all rows');
  await h.pass(10_000);
  t.ok(passes > 5);
  t.equal(h.metrics.read('relay_loop_failures_total:reconcile'), 2);
  t.ok(h.metrics.read('relay_loop_success_timestamp_seconds:reconcile') > 0);
  await loop.stop();
});
