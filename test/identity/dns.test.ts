/** S2, H149: names to addresses, judged where they are looked up; the cache and its bounds. */
import http from 'node:http';
import net from 'node:net';
import t from 'tap';
import WebSocket from 'ws';
import { SystemClock } from '../../lib/base/clock.ts';
import { errorCode } from '../../lib/base/fault.ts';
import { DnsCache, type DnsLimits } from '../../lib/identity/dns.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { type DnsServer, startDns, type Zone } from './dns-server.ts';

type Teardown = { teardown(callback: () => void): void };
type Setup = { server: DnsServer; dns: DnsCache; clock: ManualClock; metrics: MetricWriter };

async function setUp(
  t: Teardown,
  zone: Zone,
  limits: Partial<DnsLimits> = {},
  isInsecureAllowed = false,
): Promise<Setup> {
  const server = await startDns(zone);
  const clock = new ManualClock();
  const metrics = new MetricWriter();
  const quick = { attemptMs: 200, attemptsMax: 1, ...limits };
  const servers = [server.address];
  const dns = new DnsCache({ clock, metrics, isInsecureAllowed, servers, limits: quick });
  t.teardown(() => {
    dns.close();
    server.close();
  });
  return { server, dns, clock, metrics };
}

t.test('public addresses of both families, IPv4 first', async (t) => {
  const { dns, metrics } = await setUp(t, {
    'pds.example.com': { a: ['8.8.8.8', '8.8.4.4'], aaaa: ['2606:4700::1111'] },
  });
  t.same(await dns.resolve('pds.example.com'), {
    addresses: [
      { address: '8.8.8.8', family: 4 },
      { address: '8.8.4.4', family: 4 },
      { address: '2606:4700::1111', family: 6 },
    ],
  });
  t.equal(metrics.read('relay_identity_dns_queries_total:ok'), 1);
});

t.test('S2, H149: private addresses never come out, of whatever family', async (t) => {
  const zone: Zone = {
    'loop.example.com': { a: ['127.0.0.1'] },
    'meta.example.com': { a: ['169.254.169.254'] },
    'six.example.com': { aaaa: ['::1', 'fd00::1', '64:ff9b::7f00:1', '2002:7f00:1::'] },
    'mapped.example.com': { aaaa: ['0:0:0:0:0:ffff:7f00:1'] },
    'mixed.example.com': { a: ['10.0.0.1', '8.8.8.8'], aaaa: ['fe80::1'] },
  };
  const { dns, metrics, server } = await setUp(t, zone);
  for (const name of ['loop', 'meta', 'six', 'mapped']) {
    t.same(await dns.resolve(`${name}.example.com`), { fault: 'blocked' }, name);
  }
  t.same(await dns.resolve('mixed.example.com'), {
    addresses: [{ address: '8.8.8.8', family: 4 }],
  });
  t.equal(metrics.read('relay_identity_dns_queries_total:blocked'), 4);
  const before = server.questions.length;
  await dns.resolve('loop.example.com');
  t.equal(server.questions.length, before, 'the refusal is remembered');
});

t.test('S2: rebinding: what is connected to is what was judged', async (t) => {
  const { dns, server, clock } = await setUp(t, {
    'flip.example.com': { a: ['8.8.8.8'], ttl: 0 },
  });
  t.match(await dns.resolve('flip.example.com'), { addresses: [{ address: '8.8.8.8' }] });
  server.zone['flip.example.com'] = { a: ['127.0.0.1'], ttl: 0 };
  t.match(await dns.resolve('flip.example.com'), { addresses: [{ address: '8.8.8.8' }] });
  await clock.advance(5001);
  t.same(await dns.resolve('flip.example.com'), { fault: 'blocked' });
});

t.test('S2: net, http and ws cannot reach a loopback service by a name', async (t) => {
  const { dns } = await setUp(t, { 'evil.example.com': { a: ['127.0.0.1'], aaaa: ['::1'] } });
  let connections = 0;
  const target = http.createServer((_, response) => response.end('secret'));
  target.on('connection', () => connections++);
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  t.teardown(() => target.close());
  const { port } = target.address() as net.AddressInfo;
  const host = 'evil.example.com';
  const failureOf = (emitter: NodeJS.EventEmitter): Promise<string> =>
    new Promise((resolve) => {
      emitter.on('error', (error) => resolve(errorCode(error)));
      for (const event of ['connect', 'response', 'open']) emitter.on(event, () => resolve(event));
    });
  const dials = (lookup: net.LookupFunction): (() => NodeJS.EventEmitter)[] => [
    () => net.connect({ host, port, lookup }),
    () => http.get({ host, port, lookup, agent: false }),
    () => new WebSocket(`ws://${host}:${port}/`, { lookup }),
  ];
  for (const dial of dials(dns.lookup)) t.equal(await failureOf(dial()), 'dns_blocked');
  t.equal(connections, 0);
  // The same without the guard gets through: the test would notice a guard that is gone.
  const unguarded: net.LookupFunction = (_name, options, callback) =>
    options.all
      ? callback(null, [{ address: '127.0.0.1', family: 4 }])
      : callback(null, '127.0.0.1', 4);
  const open = net.connect({ host, port, lookup: unguarded });
  t.equal(await failureOf(open), 'connect');
  open.destroy();
});

t.test('S1: names that we would not talk to are not even asked for', async (t) => {
  const { dns, server } = await setUp(t, {});
  const names = ['localhost', 'printer.local', 'metadata.google.internal', '127.0.0.1', '::1'];
  for (const name of [...names, '0x7f.1', 'a_b.com', '', 'x'.repeat(300)]) {
    t.same(await dns.resolve(name), { fault: 'blocked' }, name);
  }
  t.same(server.questions, []);
});

t.test('insecure mode: localhost is this machine, and no other name is', async (t) => {
  const { dns } = await setUp(t, { 'evil.example.com': { a: ['127.0.0.1'] } }, {}, true);
  t.match(await dns.resolve('localhost'), {
    addresses: [{ address: '127.0.0.1' }, { address: '::1' }],
  });
  t.same(await dns.resolve('evil.example.com'), { fault: 'blocked' });
  t.same(await dns.resolve('x.localhost'), { fault: 'blocked' });
});

t.test('lookup honours `all` and `family`', async (t) => {
  const { dns } = await setUp(t, {
    'two.example.com': { a: ['8.8.8.8'], aaaa: ['2606:4700::1111'] },
    'four.example.com': { a: ['8.8.8.8'] },
  });
  const look = (host: string, options: object): Promise<unknown> =>
    new Promise((resolve) => {
      dns.lookup(host, options, (error, address, family) =>
        resolve(error === null ? [address, family] : errorCode(error)),
      );
    });
  t.same(await look('two.example.com', {}), ['8.8.8.8', 4]);
  t.same(await look('TWO.example.com.', { family: 6 }), ['2606:4700::1111', 6]);
  t.same(await look('two.example.com', { family: 'IPv6' }), ['2606:4700::1111', 6]);
  t.same(await look('two.example.com', { all: true, family: 0 }), [
    [
      { address: '8.8.8.8', family: 4 },
      { address: '2606:4700::1111', family: 6 },
    ],
    undefined,
  ]);
  t.equal(await look('four.example.com', { all: true, family: 6 }), 'dns_not_found');
  t.equal(await look('none.example.com', {}), 'dns_not_found');
  t.equal(await look('a.internal', { all: true }), 'dns_blocked');
});

t.test('the TTL is honoured within its bounds', async (t) => {
  const { dns, server, clock } = await setUp(t, {
    'short.example.com': { a: ['8.8.8.8'], ttl: 1 },
    'long.example.com': { a: ['8.8.8.8'], ttl: 604_800 },
    'mid.example.com': { a: ['8.8.8.8'], ttl: 30 },
  });
  const ask = async (): Promise<number[]> => {
    const names = ['short.example.com', 'mid.example.com', 'long.example.com'];
    for (const name of names) await dns.resolve(name);
    return names.map((name) => server.count(name) / 2);
  };
  t.same(await ask(), [1, 1, 1]);
  await clock.advance(4000);
  t.same(await ask(), [1, 1, 1]);
  await clock.advance(1001);
  t.same(await ask(), [2, 1, 1]);
  await clock.advance(25_000);
  t.same(await ask(), [3, 2, 1]);
  await clock.advance(3_600_000);
  t.same(await ask(), [4, 3, 2]);
});

t.test('failures: no such name, a failing server, silence; each for its own time', async (t) => {
  const { dns, server, clock, metrics } = await setUp(
    t,
    { 'fail.example.com': { code: 2 }, 'mute.example.com': { isSilent: true } },
    { attemptMs: 100 },
  );
  t.same(await dns.resolve('none.example.com'), { fault: 'not_found' });
  t.same(await dns.resolve('fail.example.com'), { fault: 'failed' });
  t.same(await dns.resolve('mute.example.com'), { fault: 'timeout' });
  t.equal(metrics.read('relay_identity_dns_queries_total:timeout'), 1);
  const asked = server.questions.length;
  await dns.resolve('none.example.com');
  await dns.resolve('fail.example.com');
  await dns.resolve('mute.example.com');
  t.equal(server.questions.length, asked, 'all are remembered');
  server.zone['fail.example.com'] = { a: ['8.8.8.8'] };
  server.zone['none.example.com'] = { a: ['8.8.8.8'] };
  await clock.advance(5001);
  t.match(await dns.resolve('fail.example.com'), { addresses: [{}] });
  t.same(await dns.resolve('none.example.com'), { fault: 'not_found' });
  await clock.advance(60_000);
  t.match(await dns.resolve('none.example.com'), { addresses: [{}] });
});

t.test('a server that never answers for AAAA does not hold up IPv4', async (t) => {
  const { dns, clock } = await setUp(
    t,
    { 'half.example.com': { a: ['8.8.8.8'], isSilent6: true } },
    { attemptMs: 20_000 },
  );
  const result = dns.resolve('half.example.com');
  while (clock.waiterCount() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await clock.advance(250);
  t.same(await result, { addresses: [{ address: '8.8.8.8', family: 4 }] });
});

t.test('concurrent questions for one name are one query', async (t) => {
  const { dns, server } = await setUp(t, { 'pds.example.com': { a: ['8.8.8.8'] } });
  await Promise.all(Array.from({ length: 100 }, () => dns.resolve('pds.example.com')));
  t.equal(server.count('pds.example.com'), 2, 'A and AAAA');
});

t.test('bounds: names kept, names asked for at once, addresses of one name', async (t) => {
  const zone: Zone = {};
  for (let i = 0; i < 20; i++) zone[`h${i}.example.com`] = { a: ['8.8.8.8'] };
  const many = Array.from({ length: 25 }, (_, index) => `8.8.8.${index + 1}`);
  zone['many.example.com'] = { a: many };
  const { dns } = await setUp(t, zone, { namesMax: 10, pendingMax: 5 });
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, index) => dns.resolve(`h${index}.example.com`)),
  );
  t.equal(results.filter((result) => result.fault === 'overloaded').length, 15);
  for (let i = 0; i < 20; i++) await dns.resolve(`h${i}.example.com`);
  t.equal(dns.nameCount, 10);
  t.equal((await dns.resolve('many.example.com')).addresses?.length, 8);
});

t.test('close ends what is under way', async (t) => {
  const { dns } = await setUp(t, { 'mute.example.com': { isSilent: true } }, { attemptMs: 20_000 });
  const result = dns.resolve('mute.example.com');
  const startMs = performance.now();
  dns.close();
  t.same(await result, { fault: 'closed' });
  t.ok(performance.now() - startMs < 5000, 'long before the query would give up');
  t.same(await dns.resolve('pds.example.com'), { fault: 'closed' });
});

t.test('the system resolver of this machine is taken when none is named', async (t) => {
  const options = { clock: new SystemClock(), metrics: new MetricWriter() };
  const dns = new DnsCache({ ...options, isInsecureAllowed: false });
  t.same(await dns.resolve('localhost'), { fault: 'blocked' });
  dns.close();
});
