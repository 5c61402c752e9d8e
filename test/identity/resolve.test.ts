/** H142…H149, D23…D25, D37, B10, B11, S7, S8: looking up DIDs over real sockets. */
import t from 'tap';
import { type Clock, SystemClock } from '../../lib/base/clock.ts';
import { Prng } from '../../lib/base/prng.ts';
import type { ResolveOutcome } from '../../lib/identity/outcome.ts';
import { IdentityResolver, type ResolverOptions } from '../../lib/identity/resolve.ts';
import { type Logger, silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { startDns } from './dns-server.ts';
import { DID, documentOf, KEY, keyEntry, multikey, newKey, OTHER_DID } from './documents.ts';
import { drip, type Handler, startRaw, startWeb, type WebServer } from './web-server.ts';

type Teardown = { teardown(callback: () => void): void };
type Setup = { resolver: IdentityResolver; metrics: MetricWriter; lines: [object, string][] };

/** Short times, so that a test of a time limit lasts as long as that. */
const QUICK = { attemptMs: 300, budgetMs: 1000, attemptsMax: 2, retryDelayMs: 20 };

function setUp(
  t: Teardown,
  plc: WebServer,
  options: Partial<ResolverOptions> = {},
  clock: Clock = new SystemClock(),
): Setup {
  const metrics = new MetricWriter();
  const lines: [object, string][] = [];
  const warn = (fields: object, message: string): void => void lines.push([fields, message]);
  const logger: Logger = { ...silentLogger, warn, error: warn };
  const resolver = new IdentityResolver({
    plcUrl: plc.origin,
    isInsecureAllowed: true,
    userAgent: 'skyrelay-test',
    clock,
    prng: new Prng(1),
    logger,
    metrics,
    limits: QUICK,
    ...options,
  });
  t.teardown(() => resolver.close());
  return { resolver, metrics, lines };
}

async function web(t: Teardown, handler: Handler): Promise<WebServer> {
  const server = await startWeb(handler);
  t.teardown(server.close);
  return server;
}

/** A directory that knows every DID. */
const directory = (t: Teardown): Promise<WebServer> =>
  web(t, (request, response) => response.end(documentFor(request.url)));

function documentFor(url: string | undefined): string {
  return JSON.stringify(documentOf((url ?? '').slice(1)));
}

/** Different valid did:plc, as many as one likes. */
function plcDid(index: number): string {
  const digits = index.toString(32).replace(/[0189]/g, (d) => 'wxyz'['0189'.indexOf(d)] ?? 'w');
  return `did:plc:${digits.padStart(24, 'a')}`;
}

t.test('did:plc: found', async (t) => {
  const plc = await directory(t);
  const { resolver, metrics } = setUp(t, plc);
  t.same(await resolver.resolve(DID), {
    kind: 'found',
    did: DID,
    identity: {
      did: DID,
      pdsHost: 'pds.example.com',
      key: { curve: 'k256', bytes: KEY },
      handle: 'alice.example.com',
    },
    keyFault: null,
    pdsFault: null,
  });
  t.match(plc.requests, [{ url: `/${DID}`, headers: { 'accept-encoding': 'identity' } }]);
  t.equal(metrics.read('relay_identity_resolves_total:ok'), 1);
  t.equal(metrics.read('relay_identity_in_flight_count'), 0);
  t.equal(resolver.runningCount, 0);
});

t.test('the directory may lie below a path', async (t) => {
  const plc = await web(t, (request, response) =>
    response.end(documentFor(request.url?.replace('/mirror', ''))),
  );
  const { resolver } = setUp(t, plc, { plcUrl: `${plc.origin}/mirror/` });
  t.match(await resolver.resolve(DID), { kind: 'found' });
  t.equal(plc.requests[0]?.url, `/mirror/${DID}`);
});

t.test('did:web on localhost in insecure mode', async (t) => {
  const plc = await directory(t);
  const host = await web(t, (_, response) => response.end(JSON.stringify(documentOf(host.did))));
  const { resolver } = setUp(t, plc);
  t.match(await resolver.resolve(host.did), { kind: 'found', identity: { did: host.did } });
  t.equal(host.requests[0]?.url, '/.well-known/did.json');
  t.equal(plc.connectionCount(), 0);
  const { resolver: strict } = setUp(t, plc, { isInsecureAllowed: false });
  t.match(await strict.resolve(host.did), { kind: 'document_bad', why: 'did' });
  t.equal(host.connectionCount(), 1);
});

t.test('S7, H45…H49: a DID that cannot resolve causes no request', async (t) => {
  const plc = await directory(t);
  const { resolver, metrics } = setUp(t, plc);
  const dids = ['did:plc:../admin', 'did:web:127.0.0.1', 'did:key:zQ3sh', '', `${DID}?x=1`];
  for (const did of [...dids, 'did:web:example.com:u:a', 'did:web:a.internal']) {
    t.match(await resolver.resolve(did), { kind: 'document_bad', did, why: 'did' }, did);
  }
  t.equal(plc.connectionCount(), 0);
  t.equal(metrics.read('relay_identity_resolves_total:bad_document'), 7);
});

t.test('DD-7, H147: 404 is unknown, 410 of the directory is a tombstone', async (t) => {
  const plc = await web(t, (request, response) => {
    response.statusCode = request.url === `/${DID}` ? 404 : 410;
    response.end('{"message":"no"}');
  });
  const { resolver, metrics } = setUp(t, plc);
  t.same(await resolver.resolve(DID), { kind: 'not_found', did: DID });
  t.same(await resolver.resolve(OTHER_DID), { kind: 'tombstoned', did: OTHER_DID });
  t.equal(metrics.read('relay_identity_resolves_total:not_found'), 1);
  t.equal(metrics.read('relay_identity_resolves_total:tombstoned'), 1);
  const host = await web(t, (_, response) => {
    response.statusCode = 410;
    response.end();
  });
  const gone = await resolver.resolve(host.did);
  t.same(gone, { kind: 'not_found', did: host.did }, 'a web host cannot declare an account dead');
});

t.test('H144: a document for somebody else', async (t) => {
  const plc = await web(t, (_, response) => response.end(JSON.stringify(documentOf(OTHER_DID))));
  const { resolver } = setUp(t, plc);
  t.same(await resolver.resolve(DID), { kind: 'document_bad', did: DID, why: 'id_mismatch' });
});

t.test('H142, H145, H146: what the document lacks is told, not refused', async (t) => {
  const foreign = keyEntry(DID, multikey('k256', KEY), { controller: OTHER_DID });
  const plc = await web(t, (_, response) => {
    response.end(JSON.stringify(documentOf(DID, { service: [], verificationMethod: [foreign] })));
  });
  const { resolver } = setUp(t, plc);
  t.match(await resolver.resolve(DID), {
    kind: 'found',
    identity: { pdsHost: null, key: null },
    keyFault: 'controller',
    pdsFault: 'missing',
  });
});

t.test(
  'answers that are no document: a failure of the directory, not of the account',
  async (t) => {
    const bodies = ['', '<html>', '{"id":', '\xff\xfe', '{} {}', `${'['.repeat(30_000)}`];
    const plc = await web(t, (_, response, count) => {
      response.end(Buffer.from(bodies[count - 1] ?? '', 'latin1'));
    });
    const { resolver, metrics } = setUp(t, plc, { limits: { ...QUICK, failuresMax: 100 } });
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
    const { resolver, metrics } = setUp(t, plc);
    const startMs = performance.now();
    t.match(await resolver.resolve(host.did), { kind: 'failed', why, detail }, detail);
    t.ok(performance.now() - startMs < 2000);
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
  const patient = setUp(t, plc);
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

t.test('slow did:web hosts do not hold up the directory', async (t) => {
  const plc = await directory(t);
  const hosts = await Promise.all(Array.from({ length: 4 }, () => web(t, () => {})));
  const { resolver } = setUp(t, plc, { webLane: { concurrencyMax: 2, queueMax: 10 } });
  const slow = hosts.map((host) => resolver.resolve(host.did));
  const startMs = performance.now();
  t.match(await resolver.resolve(DID), { kind: 'found' });
  t.ok(performance.now() - startMs < 250, 'while all web turns are taken');
  t.ok((await Promise.all(slow)).every(({ kind }) => kind === 'failed'));
});

t.test('concurrent look-ups of one DID are one request', async (t) => {
  const plc = await web(t, (request, response) => {
    setTimeout(() => response.end(documentFor(request.url)), 50);
  });
  const { resolver, metrics } = setUp(t, plc);
  const outcomes = await Promise.all(Array.from({ length: 500 }, () => resolver.resolve(DID)));
  t.equal(new Set(outcomes).size, 1);
  t.equal(plc.requests.length, 1);
  t.equal(metrics.read('relay_identity_coalesced_total'), 499);
});

t.test('ID-1, H89: a fresh look-up is not answered by a request sent before', async (t) => {
  const newBytes = newKey('p256');
  const changed = documentOf(DID, {
    verificationMethod: [keyEntry(DID, multikey('p256', newBytes))],
  });
  const plc = await web(t, (_, response, count) => {
    const body = JSON.stringify(count === 1 ? documentOf(DID) : changed);
    setTimeout(() => response.end(body), 50);
  });
  const { resolver } = setUp(t, plc);
  const early = resolver.resolve(DID);
  while (plc.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  const late = Array.from({ length: 20 }, () => resolver.resolve(DID, true));
  t.match(await early, { identity: { key: { curve: 'k256' } } });
  for (const outcome of await Promise.all(late)) {
    t.match(outcome, { identity: { key: { curve: 'p256', bytes: newBytes } } });
  }
  t.equal(plc.requests.length, 2, 'and all of them share one');
  t.equal(plc.requests[1]?.headers['cache-control'], 'no-cache');
  t.equal(resolver.runningCount, 0);
});

t.test('D38, S8: so many at once, so many waiting, the rest is told to come back', async (t) => {
  let active = 0;
  let activeMax = 0;
  const plc = await web(t, (request, response) => {
    activeMax = Math.max(activeMax, ++active);
    setTimeout(() => {
      active--;
      response.end(documentFor(request.url));
    }, 20);
  });
  const plcLane = { concurrencyMax: 3, queueMax: 10, ratePerSecond: 1000, burst: 1000 };
  const { resolver, metrics } = setUp(t, plc, { plcLane });
  const all = Array.from({ length: 50 }, (_, index) => resolver.resolve(plcDid(index)));
  t.equal(metrics.read('relay_identity_queued_count'), 10);
  t.equal(metrics.read('relay_identity_in_flight_count'), 3);
  const outcomes = await Promise.all(all);
  t.equal(activeMax, 3);
  t.equal(plc.connectionCount(), 3, 'connections to the directory are kept');
  t.equal(outcomes.filter(({ kind }) => kind === 'found').length, 13);
  t.equal(metrics.read('relay_identity_resolves_total:overloaded'), 37);
  t.equal(metrics.read('relay_identity_queued_count'), 0);
  t.equal(resolver.runningCount, 0);
});

t.test('S8: the rate to the directory is bounded', async (t) => {
  const plc = await directory(t);
  const plcLane = { concurrencyMax: 50, ratePerSecond: 50, burst: 10 };
  const { resolver } = setUp(t, plc, { plcLane });
  const startMs = performance.now();
  await Promise.all(Array.from({ length: 30 }, (_, index) => resolver.resolve(plcDid(index))));
  const tookMs = performance.now() - startMs;
  t.ok(tookMs >= 380, `30 look-ups with 10 at once and 50 a second took ${tookMs} ms`);
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

type MetricKey = Parameters<MetricWriter['read']>[0];

t.test('close ends everything under way and waiting, and leaves nothing open', async (t) => {
  const plc = await web(t, () => {});
  const host = await web(t, () => {});
  const { resolver } = setUp(t, plc, { plcLane: { concurrencyMax: 1 } });
  const all = [plcDid(1), plcDid(2), plcDid(3), host.did].map((did) => resolver.resolve(did));
  while (plc.requests.length + host.requests.length < 2) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  resolver.close();
  for (const outcome of await Promise.all(all)) {
    t.match(outcome, { kind: 'failed', why: 'closed' });
  }
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.equal(plc.openCount() + host.openCount(), 0);
  t.equal(resolver.runningCount, 0);
  t.match(await resolver.resolve(DID), { kind: 'failed', why: 'closed' });
});

t.test('a PLC URL that is none is a mistake of ours', async (t) => {
  const plc = await directory(t);
  for (const plcUrl of ['', 'plc.directory', 'ftp://plc.directory']) {
    t.throws(() => setUp(t, plc, { plcUrl }), /PLC URL/);
  }
});
