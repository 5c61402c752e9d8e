/** Admin routes: who gets in, and the reference relay's JSON (H173, S20-S22). */
import t from 'tap';
import { SystemClock } from '../../lib/base/clock.ts';
import { RelayFault } from '../../lib/base/fault.ts';
import { type MonoMs, toEpochMs, toMonoMs } from '../../lib/base/units.ts';
import { ADMIN_AUTH_DEFAULTS, AdminAuth } from '../../lib/http/admin/auth.ts';
import { adminConsumerRoutes } from '../../lib/http/admin/consumers.ts';
import { JsonBody } from '../../lib/http/json-body.ts';
import { Params } from '../../lib/http/params.ts';
import { REJECTS } from '../../lib/reject/codes.ts';
import { Api, basic, host, PASSWORD } from './api.ts';

class HandClock extends SystemClock {
  nowMs = 0;
  override monoMs(): MonoMs {
    return toMonoMs(this.nowMs);
  }
}

t.test('H173, S21: missing and wrong credentials get the same 401', async (t) => {
  const api = await new Api().start({
    admin: {
      ...ADMIN_AUTH_DEFAULTS,
      passwords: ['an older one, also long enough', PASSWORD],
      failuresMax: 100,
    },
  });
  t.teardown(() => api.stop());
  const answers = new Set<string>();
  const wrong: Record<string, string>[] = [
    {},
    basic('wrong'),
    basic(''),
    basic(`${PASSWORD}x`),
    basic(PASSWORD.slice(0, -1)),
    basic(PASSWORD, 'root'),
    basic(PASSWORD, ''),
    { authorization: `Bearer ${PASSWORD}` },
    { authorization: 'Basic' },
    { authorization: 'Basic !!!' },
    { authorization: `Basic ${'A'.repeat(5000)}` },
    { authorization: PASSWORD },
  ];
  for (const headers of wrong) {
    for (const path of ['/admin/pds/list', '/admin/nothing', '/admin/']) {
      const answer = await api.call(path, { headers });
      t.equal(answer.status, 401, JSON.stringify(headers).slice(0, 60));
      t.match(answer.headers.get('www-authenticate') ?? '', /^Basic /);
      answers.add(await answer.text());
    }
  }
  t.equal(answers.size, 1, 'the very same body');
  for (const password of [PASSWORD, 'an older one, also long enough']) {
    t.equal((await api.call('/admin/pds/list', { headers: basic(password) })).status, 200);
  }
  const scheme = {
    authorization: basic(PASSWORD)['authorization']?.replace('Basic', 'basic') ?? '',
  };
  t.equal((await api.call('/admin/pds/list', { headers: scheme })).status, 200, 'any case');
  t.equal((await api.call('/admin/nothing', { headers: basic(PASSWORD) })).status, 404);
  t.equal(
    (await api.call('/admin/pds/list', { method: 'POST', headers: basic(PASSWORD) })).status,
    405,
  );
});

t.test('S20: without a password there are no admin routes', async (t) => {
  const api = await new Api().start({ admin: { ...ADMIN_AUTH_DEFAULTS, passwords: [] } });
  t.teardown(() => api.stop());
  for (const headers of [{}, basic(''), basic('undefined')]) {
    t.equal((await api.call('/admin/pds/list', { headers })).status, 404);
  }
});

t.test('S21: wrong guesses lock an address out, for a while, in bounded memory', async (t) => {
  const clock = new HandClock();
  const options = { passwords: [PASSWORD], failuresMax: 3, lockMs: 60_000, addressesMax: 5 };
  const auth = new AdminAuth(options, clock);
  const good = basic(PASSWORD)['authorization'];
  const bad = basic('guess')['authorization'];
  const status = (header: string | undefined, key = 'a') => auth.refuse(header, key)?.status ?? 200;
  t.same(
    [status(undefined), status(undefined), status(undefined)],
    [401, 401, 401],
    'no guess yet',
  );
  t.same([status(bad), status(bad), status(good)], [401, 401, 200], 'the right one forgives');
  t.same([status(bad), status(bad), status(bad)], [401, 401, 401]);
  t.equal(status(good), 429, 'locked out, even with the right one');
  t.match(auth.refuse(good, 'a')?.headers, { 'Retry-After': '60' });
  t.equal(status(good, 'b'), 200, 'others are not');
  clock.nowMs = 59_000;
  t.equal(status(good), 429);
  clock.nowMs = 60_001;
  t.equal(status(good), 200);
  for (let i = 0; i < 100; i++) status(bad, `x${i}`);
  t.equal(auth.addressCount, 5);
});

t.test('pds/list, subs/getUpstreamConns: JSON of the reference relay', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  for (let id = 1; id <= 1500; id++) api.hosts.push(host(id));
  api.hosts[1] = host(2, { status: 'banned', seq: null, accountCount: null });
  const list = await api.call('/admin/pds/list', { headers: basic(PASSWORD) });
  const rows = (await list.json()) as object[];
  t.equal(rows.length, 1500, 'over several pages');
  t.same(rows[0], {
    ID: 1,
    CreatedAt: '2023-11-14T22:13:20.000Z',
    Host: 'pds1.host.net',
    SSL: true,
    Cursor: 10,
    Registered: true,
    Blocked: false,
    CrawlRateLimit: 0,
    RepoCount: 1,
    RepoLimit: 100,
    HasActiveConnection: true,
    EventsSeenSinceStartup: 7,
    PerSecondEventRate: { Max: 50, Window: 1 },
    PerHourEventRate: { Max: 2600, Window: 3600 },
    PerDayEventRate: { Max: 21_000, Window: 86_400 },
    UserCount: 1,
    AccountLimitAlertsSilenced: false,
    Status: 'active',
    Lenient: false,
    State: 'paused',
    PauseReason: 'rate',
    Limits: {
      eventsPerSecond: { Max: 50, Used: 3.1 },
      eventsPerHour: { Max: 2600, Used: 2600 },
      eventsPerDay: { Max: 21_000, Used: 2600 },
    },
    Slowed: false,
    AccountsFull: true,
    Strikes: 2,
    VerifyMs: 12,
    DiscontinuousCommits: 4,
    WaivedCommits: 5,
    LastRejects: [
      {
        Code: 'commit_rev_bad',
        Reason: REJECTS.commit_rev_bad.doc,
        Seq: 9,
        At: '2023-11-14T22:13:20.000Z',
      },
    ],
  });
  t.match(rows[1], { Cursor: -1, Blocked: true, Registered: false, HasActiveConnection: false });
  t.equal(list.headers.get('cache-control'), 'no-store');
  const conns = await api.call('/admin/subs/getUpstreamConns', { headers: basic(PASSWORD) });
  t.equal(((await conns.json()) as string[])[0], 'pds1.host.net');
});

t.test('pds/requestCrawl: as an admin, with a line in the log', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const post = (body: string, headers: Record<string, string>) =>
    api.call('/admin/pds/requestCrawl', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', ...headers },
    });
  t.equal((await post('{"hostname":"a.net"}', {})).status, 401);
  t.same(api.crawled, []);
  t.equal((await post('{"hostname":"a.net"}', basic(PASSWORD))).status, 200);
  t.same(api.crawled, [{ hostname: 'a.net', caller: { clientKey: '127.0.0.1', isAdmin: true } }]);
  t.match(api.logged, [
    { action: 'requestCrawl', actor: 'admin', target: 'a.net', address: '127.0.0.1', status: 200 },
  ]);
  t.equal((await post('{}', basic(PASSWORD))).status, 400);
  const form = { ...basic(PASSWORD), 'content-type': 'text/plain' };
  t.equal((await post('{"hostname":"a.net"}', form)).status, 400, 'S22: JSON only');
});

t.test('pds/changeLimits: what the reference takes, and limits by name', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  api.hosts.push(host(1));
  const post = async (body: unknown, headers = basic(PASSWORD)): Promise<number> => {
    const answer = await api.call('/admin/pds/changeLimits', {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
    return answer.status;
  };
  const hostname = 'pds1.host.net';
  t.equal(await post({ host: hostname, repo_limit: 5 }, {}), 401);
  t.same(api.changed, []);
  t.equal(await post({ host: 'PDS1.host.net', repo_limit: 5 }), 200);
  t.equal(await post({ host: hostname, account_limit_alerts_silenced: true }), 200);
  const limits = { verifyMsPerMinute: 100, eventsPerDay: null };
  t.equal(await post({ host: hostname, repo_limit: null, limits }), 200);
  t.same(api.changed, [
    { hostname, accountLimit: 5, limits: {}, formulae: [] },
    { hostname, limits: {}, formulae: [] },
    {
      hostname,
      accountLimit: null,
      limits: { verifyMsPerMinute: 100 },
      formulae: ['eventsPerDay'],
    },
  ]);
  t.match(api.logged, [
    { action: 'changeLimits', actor: 'admin', target: 'PDS1.host.net', status: 200 },
  ]);
  const bad: unknown[] = [
    {},
    { host: hostname },
    { repo_limit: 5 },
    { host: 5, repo_limit: 5 },
    { host: 'not a host', repo_limit: 5 },
    { host: '10.0.0.1', repo_limit: 5 },
    ...[-1, 1.5, '5', 1e10, true, [5]].map((repo_limit) => ({ host: hostname, repo_limit })),
    { host: hostname, repo_limit: 5, account_limit_alerts_silenced: 'yes' },
    { host: hostname, limits: 5 },
    { host: hostname, limits: null },
    { host: hostname, limits: { nothing: 5 } },
    { host: hostname, limits: { eventsPerDay: -1 } },
    { host: hostname, limits: { eventsPerDay: '5' } },
    { host: hostname, repo_limit: 'x', limits: { eventsPerDay: 1 } },
  ];
  for (const body of bad) t.equal(await post(body), 400, JSON.stringify(body));
  t.equal(await post({ host: 'other.host.net', repo_limit: 5 }), 404);
  t.equal(api.changed.length, 3);
  api.failure = new RelayFault('down', 'down', { isRetryable: true });
  t.equal(await post({ host: hostname, repo_limit: 5 }), 503, 'not stored, not 200');
});

t.test('A12 pds/changeLenient', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  api.hosts.push(host(1));
  const post = async (body: unknown, headers = basic(PASSWORD)): Promise<number> => {
    const answer = await api.call('/admin/pds/changeLenient', {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
    return answer.status;
  };
  t.equal(await post({ host: 'pds1.host.net', lenient: true }, {}), 401);
  t.equal(await post({ host: 'pds1.host.net', lenient: true }), 200);
  t.equal(await post({ host: 'pds1.host.net', lenient: false }), 200);
  t.same(api.changed, [
    { hostname: 'pds1.host.net', isLenient: true },
    { hostname: 'pds1.host.net', isLenient: false },
  ]);
  for (const lenient of [undefined, null, 'true', 1]) {
    t.equal(await post({ host: 'pds1.host.net', lenient }), 400, String(lenient));
  }
  t.equal(await post({ host: 'other.host.net', lenient: true }), 404);
  api.failure = new RelayFault('down', 'down', { isRetryable: true });
  t.equal(await post({ host: 'pds1.host.net', lenient: true }), 503);
});

t.test('consumers/list', async (t) => {
  const consumer = {
    info: {
      id: 3,
      address: '192.0.2.1',
      addressKey: '192.0.2.1',
      userAgent: 'x/1',
      connectedMs: toEpochMs(0),
    },
    framesSent: 12,
    bytesSent: 3456,
    seq: 88,
    waitingBytes: 5,
  };
  const beside = { ...consumer, info: { ...consumer.info, id: 4 } };
  const unknown = { ...consumer, info: { ...consumer.info, id: 5 }, seq: 7 };
  let looks = 0;
  const [route] = adminConsumerRoutes({
    consumers: [consumer, beside, unknown] as never,
    headSeq: () => 100,
    secondsBehind: async ({ seq }) => {
      looks++;
      return seq === 88 ? 1.5 : undefined;
    },
  });
  const request = { params: new Params(''), body: new JsonBody({}), address: '', addressKey: '' };
  const rows = (await route?.handle(request))?.json as { id: number; lag_seconds: number }[];
  t.equal(looks, 2, 'one for each place');
  t.same(
    rows.map(({ id, lag_seconds }) => [id, lag_seconds]),
    [
      [3, 1.5],
      [4, 1.5],
      [5, null],
    ],
  );
  t.same(rows.slice(0, 1), [
    {
      id: 3,
      remote_addr: '192.0.2.1',
      user_agent: 'x/1',
      events_consumed: 12,
      connected_at: '1970-01-01T00:00:00.000Z',
      seq: 88,
      lag: 12,
      bytes_sent: 3456,
      waiting_bytes: 5,
      lag_seconds: 1.5,
    },
  ]);
});
