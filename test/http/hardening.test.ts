/** What hostile or broken clients get (S11-S17, S30, D16, D17). */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Api, bodyOf } from './api.ts';

const CRAWL = '/xrpc/com.atproto.sync.requestCrawl';
const SUBSCRIBE = '/xrpc/com.atproto.sync.subscribeRepos';
const get = (path: string, headers: readonly string[] = []): string =>
  [`GET ${path} HTTP/1.1`, 'Host: relay', 'Connection: close', ...headers, '\r\n'].join('\r\n');
const statusOf = (answer: string): number => Number(answer.split(' ', 2)[1]);
const jsonOf = (answer: string): { error: string } => JSON.parse(answer.slice(answer.indexOf('{')));

/** So many pieces at 20 ms are many times the limits set here: nobody gets to send them all. */
const PIECES = 500;

t.test('S11: a slow client is cut off with 408', async (t) => {
  const api = await new Api().start({ headersMsMax: 200, requestMsMax: 400, checkMs: 50 });
  t.teardown(() => api.stop());
  const post = `POST ${CRAWL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
  const slow = async (head: string, piece: string) => {
    let sent = 0;
    const pieces = function* (): Generator<string> {
      yield head;
      for (; sent < PIECES; sent++) yield piece;
    };
    return { answer: await api.raw(pieces(), 20), isCutOff: sent < PIECES };
  };
  const ends = await Promise.all([
    slow('GET / HTTP/1.1\r\nHost: x\r\nX-A: ', 'a'),
    slow(`${post}Content-Length: ${2 * PIECES}\r\n\r\n{`, ' '),
  ]);
  for (const { answer, isCutOff } of ends) {
    t.ok(isCutOff, 'while it was still sending');
    t.equal(statusOf(answer), 408);
    t.equal(jsonOf(answer).error, 'InvalidRequest');
    t.match(answer, /Server: skyrelay \(atproto-relay\)/i);
  }
});

t.test('S11: headers have a shorter limit than the whole request', async (t) => {
  const api = await new Api().start({ headersMsMax: 150, requestMsMax: 60_000, checkMs: 50 });
  t.teardown(() => api.stop());
  const body = api.socket();
  let isBodyCut = false;
  body.on('close', () => {
    isBodyCut = true;
  });
  body.write(`POST ${CRAWL} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{`);
  const answer = await api.raw(['GET / HTTP/1.1\r\nHost: x\r\nX-A: ']);
  t.equal(statusOf(answer), 408);
  t.equal(isBodyCut, false, 'who began before and owes only the body has more time');
  body.destroy();
});

t.test('S12: long targets, large and many headers: 431', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `a${i}: 1`);
  const table: readonly (readonly [request: string, status: number, what: string])[] = [
    [get(`/?${'x'.repeat(20_000)}`), 431, '20 kB target'],
    [get('/', [`X-A: ${'x'.repeat(20_000)}`]), 431, '20 kB header'],
    [get('/', [`X-A: ${'x'.repeat(9000)}`]), 431, '9 kB header'],
    [get('/', many(63)), 431, '65 headers'],
    [get('/', many(500)), 431, '500 headers'],
    [get('/', many(62)), 200, '64 headers'],
  ];
  for (const [request, status, what] of table) {
    const answer = await api.raw([request]);
    t.equal(statusOf(answer), status, what);
    if (status !== 200) t.equal(jsonOf(answer).error, 'InvalidRequest');
  }
});

t.test('S13: malformed framing of requests is refused', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const post = `POST ${CRAWL} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n`;
  const body = '{"hostname":"a.net"}';
  const table: readonly (readonly [request: string, status: number, what: string])[] = [
    [`${post}Content-Length: 20\r\nTransfer-Encoding: chunked\r\n\r\n${body}`, 400, 'CL and TE'],
    [`${post}Content-Length: 20\r\nContent-Length: 21\r\n\r\n${body}`, 400, 'two lengths'],
    [`${post}Content-Length: -1\r\n\r\n${body}`, 400, 'negative length'],
    ['GET / HTTP/1.1\nHost: x\n\n', 400, 'bare line feeds'],
    ['GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'no Host'],
    ['GET / HTTP/9.9\r\nHost: x\r\n\r\n', 400, 'unknown version'],
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'TLS on a plain port'],
    ['rubbish\r\n\r\n', 400, 'rubbish'],
    [get('/', ['X-A: a\x00b']), 400, 'NUL in a header'],
    [get('/', ['Content-Length: 3', '', 'abc']), 400, 'GET with a body'],
    [get('/', ['Transfer-Encoding: chunked', '', '0', '']), 400, 'GET with an empty chunked body'],
    [get('/%zz'), 400, 'bad percent encoding'],
    [get('/%61dmin/pds/list'), 404, 'an encoded path is another path'],
    [get('http://relay/admin/pds/list'), 404, 'absolute form'],
    [get('/admin/pds/list#x'), 401, 'a fragment'],
    [get('//admin/pds/list'), 404, 'two slashes'],
    [get('/ADMIN/pds/list'), 404, 'upper case'],
  ];
  for (const [request, status, what] of table) {
    const answer = await api.raw([Buffer.from(request, 'latin1')]);
    t.equal(statusOf(answer), status, what);
    t.type(jsonOf(answer).error, 'string');
    t.match(answer, /^Server: skyrelay \(atproto-relay\)\r$/im);
    t.match(answer, /^X-Content-Type-Options: nosniff\r$/im);
    t.notMatch(answer, /at .*\.(js|ts)|node_modules|fastify|Error:/i, 'no traces');
  }
  const options = await api.raw(['OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n']);
  t.equal(statusOf(options), 404);
});

t.test('S13, H167: a body of 10 MB is refused before it is read', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const head = `POST ${CRAWL} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
  const sized = await api.raw([`${head}Content-Length: 10000000\r\n\r\n${'x'.repeat(100_000)}`]);
  t.equal(statusOf(sized), 413);
  t.equal(jsonOf(sized).error, 'PayloadTooLarge');
  const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
  const chunked = await api.raw([`${head}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}`]);
  t.equal(statusOf(chunked), 413);
  t.same(api.crawled, []);
});

t.test('D16, D17: requests in pieces of one byte, chunked, with Expect, pipelined', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const body = '{"hostname":"a.net"}';
  const head = `POST ${CRAWL} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n`;
  const sized = `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
  t.equal(statusOf(await api.raw([...sized], 1)), 200, 'byte by byte');
  const chunks = [...body].map((char) => `1\r\n${char}\r\n`).join('');
  t.equal(
    statusOf(await api.raw([`${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`])),
    200,
  );
  const expecting = `${head}Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`;
  const expected = await api.raw([expecting, body], 30);
  t.match(expected, /^HTTP\/1\.1 100 Continue[\s\S]*HTTP\/1\.1 200 OK/);
  const keep = sized.replace('Connection: close\r\n', '');
  t.equal((await api.raw([`${keep}${keep}${sized}`])).match(/HTTP\/1\.1 200/g)?.length, 3);
  t.equal(api.crawled.length, 6);
});

t.test('S17: headers of every answer', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const paths = ['/', '/nothing', '/xrpc/com.atproto.sync.listHosts', `${SUBSCRIBE}`, '/xrpc/x'];
  for (const path of paths) {
    const { headers } = await api.call(path);
    t.equal(headers.get('access-control-allow-origin'), '*', path);
    t.equal(headers.get('x-content-type-options'), 'nosniff', path);
    t.match(headers.get('server') ?? '', /atproto-relay/, path);
    t.equal(headers.get('x-powered-by'), null);
  }
  for (const [path, method] of [
    ['/admin/pds/list', 'GET'],
    ['/admin/nothing', 'GET'],
    ['/admin/pds/list', 'OPTIONS'],
    [CRAWL, 'POST'],
    ['/admin/pds/requestCrawl', 'POST'],
  ] as const) {
    const { headers } = await api.call(path, { method });
    t.equal(headers.get('access-control-allow-origin'), null, `${method} ${path}`);
    t.equal(headers.get('x-content-type-options'), 'nosniff');
  }
  const preflight = await api.call('/xrpc/com.atproto.sync.listHosts', { method: 'OPTIONS' });
  t.equal(preflight.status, 204);
  t.equal(preflight.headers.get('access-control-allow-methods'), 'GET, HEAD');
  t.equal((await api.call(CRAWL, { method: 'OPTIONS' })).status, 405, 'no preflight for POST');
  t.equal((await api.call('/')).headers.get('content-type'), 'text/plain; charset=utf-8');
});

t.test('S16: too many requests of one address: 429 with Retry-After', async (t) => {
  const options = { requestsPerSecond: 0.1, requestsBurst: 3, trustedProxies: ['127.0.0.0/8'] };
  const api = await new Api().start(options);
  t.teardown(() => api.stop());
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });
  for (let i = 0; i < 3; i++) t.equal((await api.call('/', from('198.51.100.1'))).status, 200);
  const refused = await api.call('/', from('198.51.100.1'));
  t.equal(refused.status, 429);
  t.equal(refused.headers.get('retry-after'), '10');
  t.equal((await bodyOf(refused)).error, 'RateLimitExceeded');
  t.equal((await api.call('/', from('198.51.100.2'))).status, 200, 'another address');
  t.equal((await api.call('/', from('2001:db8::1'))).status, 200);
  t.equal((await api.call('/', from('2001:db8::2'))).status, 200);
  t.equal((await api.call('/', from('2001:db8::3'))).status, 200);
  t.equal((await api.call('/', from('2001:db8::4'))).status, 429, 'one /64');
});

t.test('S14: connections of one address are bounded, those of a proxy are not', async (t) => {
  const api = await new Api().start({ connectionsPerAddressMax: 3 });
  t.teardown(() => api.stop());
  /** The socket once it has got an answer, or undefined when it was closed without one. */
  const open = async (port: number): Promise<Socket | undefined> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    const { promise, resolve } = Promise.withResolvers<Socket | undefined>();
    socket.once('data', () => resolve(socket));
    socket.once('close', () => resolve(undefined));
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    return await promise;
  };
  const openFive = async (port: number): Promise<(Socket | undefined)[]> => {
    const sockets = [];
    for (let i = 0; i < 5; i++) sockets.push(await open(port));
    return sockets;
  };
  const isOpen = (socket: Socket | undefined): boolean => socket !== undefined;
  const sockets = await openFive(api.port);
  t.same(sockets.map(isOpen), [true, true, true, false, false]);
  for (const socket of sockets) socket?.destroy();
  let again = await open(api.port);
  for (; again === undefined; again = await open(api.port)) await sleep(10);
  t.ok(again, 'places are given back');
  again.destroy();
  const behind = await new Api().start({
    connectionsPerAddressMax: 3,
    trustedProxies: ['127.0.0.1'],
  });
  t.teardown(() => behind.stop());
  const proxied = await openFive(behind.port);
  t.same(proxied.map(isOpen), [true, true, true, true, true]);
  for (const socket of proxied) socket?.destroy();
});

t.test('S30: only a websocket GET of exactly this path is an upgrade', async (t) => {
  const api = await new Api().start({ trustedProxies: ['127.0.0.1'] });
  t.teardown(() => api.stop());
  const upgrade = (method: string, path: string, protocol: string): string =>
    [
      `${method} ${path} HTTP/1.1`,
      'Host: x',
      'X-Forwarded-For: 10.9.9.9, 198.51.100.7',
      'Connection: Upgrade',
      `Upgrade: ${protocol}`,
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      '\r\n',
    ].join('\r\n');
  const status = async (method: string, path: string, protocol = 'websocket'): Promise<number> => {
    const socket = api.socket();
    socket.write(upgrade(method, path, protocol));
    const answer = await new Promise<string>((resolve) => {
      socket.once('data', (data) => resolve(data.toString('latin1')));
    });
    socket.destroy();
    return statusOf(answer);
  };
  t.equal(await status('GET', `${SUBSCRIBE}?cursor=5`), 418, 'reaches the hub');
  t.same(api.upgraded, [`${SUBSCRIBE}?cursor=5 198.51.100.7`], "with the client's address");
  t.equal(await status('GET', SUBSCRIBE, 'WebSocket'), 418, 'in any case');
  api.upgraded.length = 0;
  t.equal(await status('POST', SUBSCRIBE), 405);
  t.equal(await status('GET', `${SUBSCRIBE}/`), 404);
  t.equal(await status('GET', '/xrpc/com.atproto.sync.listHosts'), 200, 'a plain answer');
  t.equal(await status('GET', '/', 'h2c'), 200, 'h2c is declined in silence');
  t.equal(await status('GET', SUBSCRIBE, 'h2c'), 426);
  t.equal(await status('GET', '/admin/pds/list'), 401);
  t.same(api.upgraded, []);
});

t.test('a handler that never answers is given up', async (t) => {
  const stuck = {
    method: 'GET',
    path: '/stuck',
    handle: () => new Promise<never>(() => {}),
  } as const;
  const api = await new Api().start({ handlerMsMax: 100 }, [stuck]);
  t.teardown(() => api.stop());
  const answer = await api.call('/stuck');
  t.equal(answer.status, 503);
  t.equal((await bodyOf(answer)).error, 'NotEnoughResources');
  t.equal((await api.call('/')).status, 200);
});

t.test('stop(): no new connections, busy ones get a moment', async (t) => {
  const { promise: done, resolve: release } = Promise.withResolvers<{
    status: number;
    text: string;
  }>();
  const { promise: isBusy, resolve: noteBusy } = Promise.withResolvers<void>();
  const slow = {
    method: 'GET',
    path: '/slow',
    handle: () => {
      noteBusy();
      return done;
    },
  } as const;
  const api = await new Api().start({}, [slow]);
  const idle = api.socket();
  await new Promise((resolve) => idle.once('connect', resolve));
  const pending = api.call('/slow', { headers: { connection: 'close' } });
  await isBusy;
  const stopped = api.server.stop(60_000);
  setTimeout(() => release({ status: 200, text: 'done' }), 50);
  t.equal(await (await pending).text(), 'done');
  await stopped;
  await t.rejects(api.call('/'), 'nobody listens any more');
  idle.destroy();
});
