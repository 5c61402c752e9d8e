import t from 'tap';
import { DAY_MS, MINUTE_MS } from '../../lib/base/units.ts';
import {
  type CrawlDeps,
  CrawlDesk,
  type CrawlOptions,
  type CrawlResult,
} from '../../lib/hosts/crawl.ts';
import { banCandidates, registeredDomain } from '../../lib/hosts/crawl-limits.ts';
import type { HostRecord, HostStatus } from '../../lib/hosts/host.ts';
import type { ProbeFinding } from '../../lib/hosts/probe.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { hostRecord } from '../helpers/host-record.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const OPTIONS: CrawlOptions = {
  isInsecureAllowed: false,
  newHostsPerDayMax: 50,
  newHostsPerDomainDayMax: 5,
  inFlightMax: 64,
};

/** Rows, bans and a probe in memory; writes down the order of what was asked of them. */
class Desk {
  readonly clock = new ManualClock();
  readonly metrics = new MetricWriter();
  readonly rows = new Map<string, HostRecord>();
  readonly bans = new Set<string>();
  readonly asked: string[] = [];
  readonly subscribed: string[] = [];
  finding: ProbeFinding = 'pds';
  gate: Promise<void> = Promise.resolve();
  rowsFault: Error | undefined;
  readonly desk: CrawlDesk;

  constructor(options: Partial<CrawlOptions> = {}) {
    const deps: CrawlDeps = {
      clock: this.clock,
      logger: silentLogger,
      metrics: this.metrics,
      rows: {
        find: async (hostname) => {
          this.asked.push('find');
          if (this.rowsFault !== undefined) throw this.rowsFault;
          return this.rows.get(hostname);
        },
        countAddedSince: async () => this.rows.size,
        insert: async (hostname) => {
          this.asked.push('insert');
          return this.put(hostname, 'active');
        },
      },
      bans: {
        isAnyBanned: async (names) => {
          this.asked.push('bans');
          return names.some((name) => this.bans.has(name));
        },
      },
      probe: async () => {
        this.asked.push('probe');
        await this.gate;
        return this.finding;
      },
      subscribe: (host) => this.subscribed.push(host.hostname),
    };
    this.desk = new CrawlDesk({ ...OPTIONS, ...options }, deps);
  }

  put(hostname: string, status: HostStatus): HostRecord {
    const hostId = this.rows.size + 1;
    const host = hostRecord(hostname, { hostId, status });
    this.rows.set(hostname, host);
    return host;
  }

  ask(hostname: string, clientKey = '192.0.2.1', isAdmin = false): Promise<CrawlResult> {
    return this.desk.request(hostname, { clientKey, isAdmin });
  }
}

const nameOf = (result: CrawlResult): string => result.refused?.name ?? 'accepted';

t.test('H167: what is no public host name is refused before anything is asked', async (t) => {
  const desk = new Desk();
  const bad = [
    '127.0.0.1',
    '0x7f.1',
    '2130706433',
    '[::1]',
    'localhost',
    'localhost:2583',
    'localhost.',
    'a',
    'pds.example.org:8443',
    'http://pds.example.org',
    'ftp://pds.example.org',
    'a@pds.example.org',
    'pds.example.org/path',
    'pds.local',
    'pds.internal',
    'x.onion',
    '',
    'x'.repeat(10_000),
  ];
  for (const hostname of bad) {
    const result = await desk.ask(hostname);
    t.match(result, { refused: { name: 'InvalidRequest', status: 400 } }, hostname.slice(0, 40));
  }
  t.same(desk.asked, []);
});

t.test('S9: bans, limits and the probe come before the row', async (t) => {
  const desk = new Desk();
  t.match(await desk.ask('HTTPS://PDS.Example.ORG./'), {
    accepted: { hostname: 'pds.example.org' },
    isNew: true,
  });
  t.same(desk.asked, ['bans', 'find', 'probe', 'insert']);
  t.same(desk.subscribed, ['pds.example.org']);
});

t.test('H169: a relay, no PDS, an unreachable or private host gets no row', async (t) => {
  const findings: ProbeFinding[] = ['relay', 'not_pds', 'http_status', 'blocked', 'timeout', 'dns'];
  for (const finding of findings) {
    const desk = new Desk();
    desk.finding = finding;
    const message = finding === 'relay' ? /is a relay/ : new RegExp(`failed: ${finding}`);
    const refused = { name: 'HostNotFound', status: 400, message };
    t.match(await desk.ask('pds.example.org'), { refused });
    t.equal(desk.rows.size, 0, finding);
    t.same(desk.subscribed, []);
  }
});

t.test('H168: a banned domain bans every name below it, by its lexicon name', async (t) => {
  const desk = new Desk();
  desk.bans.add('example.org');
  for (const hostname of ['example.org', 'pds.example.org', 'a.b.example.org']) {
    t.equal(nameOf(await desk.ask(hostname)), 'HostBanned', hostname);
  }
  t.equal(nameOf(await desk.ask('notexample.org')), 'accepted');
  desk.put('bad.example.com', 'banned');
  t.equal(nameOf(await desk.ask('bad.example.com')), 'HostBanned');
  t.same(desk.subscribed, ['notexample.org']);
  t.same(banCandidates('a.b.example.org'), [
    'a.b.example.org',
    'b.example.org',
    'example.org',
    'org',
  ]);
});

t.test('a known host is woken without a probe and without counting as new', async (t) => {
  const desk = new Desk({ newHostsPerDayMax: 0 });
  desk.put('pds.example.org', 'offline');
  t.match(await desk.ask('pds.example.org'), { isNew: false });
  t.same(desk.subscribed, ['pds.example.org']);
  t.notOk(desk.asked.includes('probe'));
});

t.test('S9: a client has ten requests, then one a minute', async (t) => {
  const desk = new Desk();
  desk.put('pds.example.org', 'active');
  for (let i = 0; i < 10; i++) t.equal(nameOf(await desk.ask('pds.example.org')), 'accepted');
  const refused = await desk.ask('pds.example.org');
  t.match(refused, { refused: { name: 'RateLimitExceeded', status: 429, retryAfterSeconds: 60 } });
  t.equal(nameOf(await desk.ask('pds.example.org', '192.0.2.2')), 'accepted', 'another client');
  t.equal(nameOf(await desk.ask('pds.example.org', '192.0.2.1', true)), 'accepted', 'an operator');
  await desk.clock.advance(MINUTE_MS);
  t.equal(nameOf(await desk.ask('pds.example.org')), 'accepted');
  t.equal(nameOf(await desk.ask('pds.example.org')), 'RateLimitExceeded');
});

t.test('S9: new hosts per day, over all and per registered domain', async (t) => {
  const desk = new Desk({ newHostsPerDayMax: 8 });
  for (let i = 0; i < 5; i++) {
    t.equal(nameOf(await desk.ask(`p${i}.example.co.uk`, `c${i}`)), 'accepted');
  }
  t.equal(nameOf(await desk.ask('p5.example.co.uk', 'd')), 'RateLimitExceeded', 'domain is full');
  for (let i = 0; i < 3; i++) {
    t.equal(nameOf(await desk.ask(`other${i}.co.uk`, `e${i}`)), 'accepted', 'not its neighbours');
  }
  t.equal(nameOf(await desk.ask('more.example.com', 'f')), 'RateLimitExceeded', 'the day is full');
  t.equal(nameOf(await desk.ask('more.example.com', 'f', true)), 'accepted', 'but not an operator');
  t.equal(registeredDomain('a.b.example.co.uk'), 'example.co.uk');
  t.equal(registeredDomain('a.b.example.com'), 'example.com');
  await desk.clock.advance(2 * DAY_MS);
  desk.rows.clear();
  t.equal(nameOf(await desk.ask('p5.example.co.uk', 'd')), 'accepted', 'two days later');
});

t.test('concurrent requests cannot pass the limit per day together', async (t) => {
  const desk = new Desk({ newHostsPerDayMax: 3 });
  const open = Promise.withResolvers<void>();
  desk.gate = open.promise;
  const asks = Array.from({ length: 10 }, (_, i) => desk.ask(`pds.example${i}.com`, `c${i}`));
  open.resolve();
  const names = (await Promise.all(asks)).map(nameOf);
  t.equal(names.filter((name) => name === 'accepted').length, 3);
  t.equal(desk.rows.size, 3);
});

t.test('S9: requests for one host join the one under way', async (t) => {
  const desk = new Desk();
  const open = Promise.withResolvers<void>();
  desk.gate = open.promise;
  const asks = Array.from({ length: 20 }, (_, i) => desk.ask('pds.example.org', `c${i}`));
  open.resolve();
  const results = await Promise.all(asks);
  t.ok(results.every((result) => result.accepted !== undefined));
  t.same(desk.asked, ['bans', 'find', 'probe', 'insert'], 'one probe, one row');
});

t.test('C8: too many admissions under way are refused, not queued', async (t) => {
  const desk = new Desk({ inFlightMax: 2 });
  const open = Promise.withResolvers<void>();
  desk.gate = open.promise;
  const first = [desk.ask('a.example.org', 'a'), desk.ask('b.example.org', 'b')];
  t.match(await desk.ask('c.example.org', 'c'), {
    refused: { name: 'NotEnoughResources', status: 503 },
  });
  open.resolve();
  await Promise.all(first);
  t.equal(nameOf(await desk.ask('c.example.org', 'c')), 'accepted');
});

t.test(
  'G17: a store that is down is 503 with Retry-After, and no host is lost to it',
  async (t) => {
    const desk = new Desk();
    desk.rowsFault = new Error('connection terminated');
    t.match(await desk.ask('pds.example.org'), {
      refused: { name: 'NotEnoughResources', status: 503, retryAfterSeconds: 30 },
    });
    desk.rowsFault = undefined;
    t.equal(nameOf(await desk.ask('pds.example.org')), 'accepted');
  },
);

t.test('the switch stops strangers, not the operator', async (t) => {
  const desk = new Desk();
  desk.desk.setEnabled(false);
  t.match(await desk.ask('pds.example.org'), { refused: { name: 'Forbidden', status: 403 } });
  t.equal(nameOf(await desk.ask('pds.example.org', 'x', true)), 'accepted');
});

t.test('every outcome has its own count', async (t) => {
  const desk = new Desk();
  await desk.ask('pds.example.org');
  await desk.ask('pds.example.org');
  await desk.ask('localhost');
  desk.finding = 'timeout';
  await desk.ask('gone.example.com');
  const count = (outcome: 'added' | 'known' | 'refused' | 'unreachable'): number =>
    desk.metrics.read(`relay_hosts_crawl_requests_total:${outcome}`);
  t.same([count('added'), count('known'), count('refused'), count('unreachable')], [1, 1, 1, 1]);
});

t.test('localhost with a port is a host where test set-ups allow it', async (t) => {
  const desk = new Desk({ isInsecureAllowed: true });
  t.match(await desk.ask('localhost:2583'), { accepted: { hostname: 'localhost:2583' } });
});
