/** H148, H149, D23…D25, D37, B10, B11: looking up DIDs where the world is bad. */
import t from 'tap';
import type { ResolveOutcome } from '../../lib/identity/outcome.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { startDns } from './dns-server.ts';
import { DID, documentOf } from './documents.ts';
import {
  directory,
  documentFor,
  type MetricKey,
  plcDid,
  QUICK,
  setUp,
  web,
} from './resolver-setup.ts';
import { drip, type Handler, startRaw } from './web-server.ts';

t.test(
  'answers that are no document: a failure of the directory, not of the account',
  async (t) => {
    const bodies = ['', '<html>', '{"id":', '\xff\xfe', '{} {}', `${'['.repeat(30_000)}`];
    const plc = await web(t, (_, response, count) => {
      response.end(Buffer.from(bodies[count - 1] ?? '', 'latin1'));
    });
    const { resolver, metrics } = setUp(t, plc, {
      limits: { ...QUICK, attemptMs: 5000, failuresMax: 100 },
    });
    for (const body of bodies) {
      const outcome = await resolver.resolve(DID);
      t.match(outcome, { kind: 'failed', why: 'answer_bad', detail: 'json' }, body.slice(0, 10));
    }
    t.equal(metrics.read('relay_identity_resolves_total:answer_bad'), bodies.length);
    const arrays = await web(t, (_, response) => response.end('[]'));
    const other = setUp(t, arrays);
    t.match(await other.resolver.resolve(DID), { kind: 'document_bad', why: 'not_object' });
  },
);

t.test('H149: did:web: 100 MB, slow drip, gzip bomb, redirects', async (t) => {
  const plc = await directory(t);
  const secret = await web(t, (_, response) => response.end('secret'));
  const cases: readonly (readonly [why: string, detail: string, handler: Handler])[] = [
    [
      'answer_bad',
      'too_large received',
      (_, response) => {
        const timer = setInterval(() => response.write(Buffer.alloc(1 << 20, 'x')), 1);
        response.on('close', () => clearInterval(timer));
      },
    ],
    [
      'answer_bad',
      'too_large 200',
      (_, response) => response.writeHead(200, { 'content-length': 100_000_000 }).write('{'),
    ],
    ['timeout', 'timeout', (_, response) => drip(response, ' ', 5)],
    [
      'answer_bad',
      'encoding 200',
      (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
    ],
    [
      'blocked',
      'redirect 302',
      (_, response) => response.writeHead(302, { location: secret.origin }).end(),
    ],
    [
      'blocked',
      'redirect 301',
      (_, response) => response.writeHead(301, { location: 'http://169.254.169.254/' }).end(),
    ],
  ];
  for (const [why, detail, handler] of cases) {
    const host = await web(t, handler);
    const { resolver, metrics } = setUp(t, plc, { limits: QUICK });
    const startMs = performance.now();
    t.match(await resolver.resolve(host.did), { kind: 'failed', why, detail }, detail);
    t.ok(performance.now() - startMs < 4000);
    t.equal(metrics.read(`relay_identity_resolves_total:${why}` as MetricKey), 1);
  }
  t.equal(secret.connectionCount(), 0);
});

t.test('H149, S2: did:web whose name leads inside is not connected to', async (t) => {
  const plc = await directory(t);
  const dns = await startDns({
    'loop.example.com': { a: ['127.0.0.1'], aaaa: ['::1'] },
    'meta.example.com': { a: ['169.254.169.254'] },
  });
  t.teardown(() => dns.close());
  const { resolver, metrics } = setUp(t, plc, { dnsServers: [dns.address] });
  for (const name of ['loop', 'meta']) {
    const outcome = await resolver.resolve(`did:web:${name}.example.com`);
    t.match(outcome, { kind: 'failed', why: 'blocked', detail: 'blocked dns_blocked' });
  }
  t.equal(metrics.read('relay_identity_retries_total'), 0, 'and not tried again');
  const none = await resolver.resolve('did:web:none.example.com');
  t.match(none, { kind: 'failed', why: 'network', detail: 'dns dns_not_found' });
});

t.test('D23: a server that hangs after the first request of a connection', async (t) => {
  const seen = new Map<number, number>();
  const plc = await web(t, (request, response) => {
    const { connection } = plc.requests[plc.requests.length - 1] ?? { connection: 0 };
    const count = (seen.get(connection) ?? 0) + 1;
    seen.set(connection, count);
    if (count === 1) response.end(documentFor(request.url));
  });
  const { resolver, metrics } = setUp(t, plc, { limits: { ...QUICK, attemptsMax: 1 } });
  const first = await resolver.resolve(plcDid(1));
  const startMs = performance.now();
  const second = await resolver.resolve(plcDid(2));
  t.ok(performance.now() - startMs < 5000);
  const third = await resolver.resolve(plcDid(3));
  t.same([first.kind, second.kind, third.kind], ['found', 'failed', 'found']);
  t.same(
    plc.requests.map(({ connection }) => connection),
    [1, 1, 2],
    'the third goes over a new connection',
  );
  t.equal(metrics.read('relay_identity_resolves_total:timeout'), 1);
  // With a second attempt allowed, nobody notices: it goes over a new connection by itself.
  const patient = setUp(t, plc, { limits: QUICK });
  for (let i = 10; i < 14; i++) {
    t.match(await patient.resolver.resolve(plcDid(i)), { kind: 'found' });
  }
  t.ok(patient.metrics.read('relay_identity_retries_total') >= 1);
});

t.test('B11: transient statuses are retried, permanent ones are not', async (t) => {
  const cases: readonly (readonly [status: number, requests: number])[] = [
    [400, 1],
    [401, 1],
    [403, 1],
    [422, 1],
    [501, 1],
    [408, 2],
    [425, 2],
    [500, 2],
    [502, 2],
    [503, 2],
    [504, 2],
  ];
  for (const [status, requestCount] of cases) {
    const plc = await web(t, (_, response) => response.writeHead(status).end());
    const { resolver } = setUp(t, plc);
    const outcome = await resolver.resolve(DID);
    t.match(outcome, { kind: 'failed', why: 'http', detail: String(status) });
    t.equal(plc.requests.length, requestCount, `status ${status}`);
  }
  const flaky = await web(t, (request, response, count) => {
    if (count === 1) response.writeHead(503).end();
    else response.end(documentFor(request.url));
  });
  const { resolver, metrics } = setUp(t, flaky);
  t.match(await resolver.resolve(DID), { kind: 'found' });
  t.equal(metrics.read('relay_identity_retries_total'), 1);
});

t.test('B10, S8: Retry-After of the directory is honoured, by all DIDs', async (t) => {
  const clock = new ManualClock();
  const plc = await web(t, (request, response, count) => {
    if (count === 1) response.writeHead(429, { 'retry-after': '7' }).end();
    else response.end(documentFor(request.url));
  });
  const { resolver, metrics, lines } = setUp(t, plc, {}, clock);
  const first = await resolver.resolve(DID);
  t.match(first, { kind: 'failed', why: 'throttled', detail: '429' });
  const waitMs = first.kind === 'failed' ? first.retryAfterMs : 0;
  t.ok(waitMs >= 7000 && waitMs <= 9000, `${waitMs} ms`);
  for (let i = 0; i < 100; i++) {
    t.match(await resolver.resolve(plcDid(i)), { kind: 'failed', why: 'paused' });
  }
  t.equal(plc.requests.length, 1);
  t.equal(metrics.read('relay_identity_pauses_total'), 1);
  t.equal(metrics.read('relay_identity_resolves_total:paused'), 100);
  t.equal(lines.length, 3, 'C13: one line a cause, not one a DID');
  await clock.advance(waitMs + 1);
  t.match(await resolver.resolve(DID), { kind: 'found' });
});

t.test('B10: Retry-After is clamped, and 429 without it is a pause too', async (t) => {
  for (const [header, leastMs, mostMs] of [
    ['999999999', 3_600_000, 3_600_000],
    ['0', 1000, 3000],
    [undefined, 5000, 7000],
  ] as const) {
    const plc = await web(t, (_, response) => {
      response.writeHead(429, header === undefined ? {} : { 'retry-after': header }).end();
    });
    const { resolver } = setUp(t, plc);
    const outcome = await resolver.resolve(DID);
    const waitMs = outcome.kind === 'failed' ? outcome.retryAfterMs : 0;
    t.ok(waitMs >= leastMs && waitMs <= mostMs, `${header}: ${waitMs} ms`);
    t.equal(plc.requests.length, 1);
  }
});

t.test('D23, D37: the directory is down: few requests, quick answers, then it heals', async (t) => {
  const clock = new ManualClock();
  let isDown = true;
  const plc = await web(t, (request, response) => {
    if (isDown) response.writeHead(500).end();
    else response.end(documentFor(request.url));
  });
  const limits = { ...QUICK, attemptsMax: 1, failuresMax: 5 };
  const { resolver, metrics, lines } = setUp(t, plc, { limits }, clock);
  const outcomes: ResolveOutcome[] = [];
  for (let i = 0; i < 200; i++) outcomes.push(await resolver.resolve(plcDid(i)));
  t.equal(plc.requests.length, 5);
  t.ok(
    outcomes.every(({ kind }) => kind === 'failed'),
    'and nothing passes for verified',
  );
  t.equal(metrics.read('relay_identity_resolves_total:http'), 5);
  t.equal(metrics.read('relay_identity_resolves_total:paused'), 195);
  t.match(
    lines.filter(([, message]) => /PLC directory/.test(message)),
    [[{ origin: plc.origin, why: 'http', detail: '500' }, /leaving it alone/]],
  );
  await clock.advance(1001);
  const probes = await Promise.all([1, 2, 3, 4].map((i) => resolver.resolve(plcDid(i))));
  t.equal(plc.requests.length, 6, 'one request tries it');
  t.ok(probes.every(({ kind }) => kind === 'failed'));
  isDown = false;
  await clock.advance(60_000);
  t.match(await resolver.resolve(DID), { kind: 'found' });
  const healed = await Promise.all([1, 2, 3, 4].map((i) => resolver.resolve(plcDid(i))));
  t.ok(healed.every(({ kind }) => kind === 'found'));
});

t.test('H148: the directory hangs: bounded time for everybody', async (t) => {
  const plc = await web(t, () => {});
  const { resolver } = setUp(t, plc, {
    limits: { ...QUICK, budgetMs: 500 },
    plcLane: { concurrencyMax: 2 },
  });
  const startMs = performance.now();
  const all = Array.from({ length: 40 }, (_, index) => resolver.resolve(plcDid(index)));
  const outcomes = await Promise.all(all);
  t.ok(outcomes.every((outcome) => outcome.kind === 'failed' && outcome.retryAfterMs >= 1000));
  t.ok(performance.now() - startMs < 3000, `${performance.now() - startMs} ms`);
  t.ok(plc.requests.length <= 8, `${plc.requests.length} requests`);
});

t.test('a long request time is not cut short by the budget', async (t) => {
  const plc = await web(t, (request, response) => {
    setTimeout(() => response.end(documentFor(request.url)), 200);
  });
  const { resolver } = setUp(t, plc, { limits: { ...QUICK, attemptMs: 5000, budgetMs: 50 } });
  t.match(await resolver.resolve(DID), { kind: 'found' });
});

t.test('a broken did:web host is left alone, the others are not', async (t) => {
  const plc = await directory(t);
  const bad = await startRaw((socket) => socket.destroy());
  t.teardown(bad.close);
  const good = await web(t, (_, response) => response.end(JSON.stringify(documentOf(good.did))));
  const { resolver, lines } = setUp(t, plc);
  for (let i = 0; i < 20; i++) await resolver.resolve(bad.did);
  t.ok(bad.connectionCount() <= 6, `${bad.connectionCount()} connections for 20 look-ups`);
  t.match(await resolver.resolve(bad.did), { kind: 'failed', why: 'paused' });
  t.match(await resolver.resolve(good.did), { kind: 'found' });
  t.match(await resolver.resolve(DID), { kind: 'found' });
  t.ok(lines.every(([, message]) => !/directory/.test(message)));
});

t.test('D24, D25: each way to fail moves its own counter only', async (t) => {
  const names = ['ok', 'not_found', 'tombstoned', 'bad_document', 'timeout', 'http', 'network'];
  const handlers: readonly (readonly [name: string, handler: Handler])[] = [
    ['ok', (request, response) => response.end(documentFor(request.url))],
    ['not_found', (_, response) => response.writeHead(404).end()],
    ['tombstoned', (_, response) => response.writeHead(410).end()],
    ['bad_document', (_, response) => response.end('{}')],
    ['timeout', () => {}],
    ['http', (_, response) => response.writeHead(500).end()],
    ['network', (request) => request.socket.destroy()],
    ['throttled', (_, response) => response.writeHead(429).end()],
    ['blocked', (_, response) => response.writeHead(307, { location: '/x' }).end()],
    ['answer_bad', (_, response) => response.end('x')],
  ];
  for (const [name, handler] of handlers) {
    const plc = await web(t, handler);
    const { resolver, metrics } = setUp(t, plc, { limits: { ...QUICK, attemptsMax: 1 } });
    await resolver.resolve(DID);
    const moved = [...names, 'throttled', 'blocked', 'answer_bad', 'paused', 'internal'].filter(
      (other) => metrics.read(`relay_identity_resolves_total:${other}` as MetricKey) === 1,
    );
    t.same(moved, [name]);
  }
});
