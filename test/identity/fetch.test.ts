/** S2, S4, S5, S6, D23, H149: one GET against servers that mean harm. */
import { execFile } from 'node:child_process';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { SystemClock } from '../../lib/base/clock.ts';
import { DnsCache } from '../../lib/identity/dns.ts';
import { Fetcher } from '../../lib/identity/fetch.ts';
import {
  createGuard,
  createSharedSecureContext,
  createTrustedGuard,
} from '../../lib/identity/guard.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { CERTIFICATE_PEM, KEY_PEM } from './certificate.ts';
import { startDns } from './dns-server.ts';
import { drip, startRaw, startWeb } from './web-server.ts';

const clock = new SystemClock();
const secureContext = createSharedSecureContext();
const KiB = 1024;

type Teardown = { teardown(callback: () => void): void };

function guardedFetcher(t: Teardown, isInsecureAllowed = true, servers?: string[]): Fetcher {
  const dns = new DnsCache({
    clock,
    metrics: new MetricWriter(),
    isInsecureAllowed,
    ...(servers === undefined ? {} : { servers }),
  });
  const guard = createGuard({ dns, secureContext, isInsecureAllowed });
  return closing(t, new Fetcher({ clock, guard, userAgent: 'skyrelay-test' }));
}

function trustedFetcher(t: Teardown, origin: string, context = secureContext): Fetcher {
  const guard = createTrustedGuard({ origin, socketsMax: 8, secureContext: context });
  return closing(t, new Fetcher({ clock, guard, userAgent: 'skyrelay-test' }));
}

/** The other side notices a closed connection a moment later. */
async function allClosed(openCount: () => number): Promise<void> {
  for (let i = 0; i < 200 && openCount() > 0; i++) await clock.sleep(5);
}

function closing(t: Teardown, fetcher: Fetcher): Fetcher {
  t.teardown(() => fetcher.close());
  return fetcher;
}

t.test('a good answer, asked for without compression', async (t) => {
  const server = await startWeb((_, response) => response.end('{"a":1}'));
  t.teardown(server.close);
  const result = await guardedFetcher(t).get(`${server.origin}/x`, { isFresh: true });
  t.match(result, { status: 200, fault: undefined, retryAfterMs: undefined });
  t.equal(result.fault === undefined && result.body.toString(), '{"a":1}');
  t.match(server.requests, [
    {
      url: '/x',
      headers: {
        'accept-encoding': 'identity',
        'user-agent': 'skyrelay-test',
        'cache-control': 'no-cache',
      },
    },
  ]);
});

t.test('S6: the body limit, to the byte', async (t) => {
  const server = await startWeb((request, response) => {
    const [, bytes, mode] = (request.url ?? '').split('/');
    const body = Buffer.alloc(Number(bytes), 'x');
    if (mode === 'announced') response.setHeader('content-length', body.length);
    if (mode === 'chunked') response.write(body.subarray(0, 10));
    response.end(mode === 'chunked' ? body.subarray(10) : body);
  });
  t.teardown(server.close);
  const fetcher = guardedFetcher(t);
  for (const mode of ['announced', 'chunked']) {
    const full = await fetcher.get(`${server.origin}/${64 * KiB}/${mode}`);
    t.equal(full.fault === undefined && full.body.length, 64 * KiB, mode);
    const over = await fetcher.get(`${server.origin}/${64 * KiB + 1}/${mode}`);
    t.match(over, { fault: 'too_large', detail: mode === 'announced' ? '200' : 'received' });
  }
});

t.test('S6, H149: 100 MB: refused at the head or after 64 KiB, connection gone', async (t) => {
  let sentBytes = 0;
  const server = await startWeb((request, response) => {
    if (request.url === '/announced') response.setHeader('content-length', 100 * KiB * KiB);
    const chunk = Buffer.alloc(64 * KiB, 'x');
    const pump = (): void => {
      while (!response.destroyed && sentBytes < 100 * KiB * KiB) {
        sentBytes += chunk.length;
        if (!response.write(chunk)) return;
      }
    };
    response.on('drain', pump);
    pump();
  });
  t.teardown(server.close);
  const fetcher = guardedFetcher(t);
  for (const path of ['announced', 'chunked']) {
    sentBytes = 0;
    t.match(await fetcher.get(`${server.origin}/${path}`), { fault: 'too_large' });
    await allClosed(server.openCount);
    t.equal(server.openCount(), 0);
    t.ok(sentBytes < 16 * KiB * KiB, `${path}: ${sentBytes} bytes had left the server`);
  }
});

t.test('S6, H149: slow drip of body, head and status line ends with the time', async (t) => {
  const server = await startWeb((_, response) => drip(response, 'x', 10));
  const raw = await startRaw((socket) => drip(socket, 'H', 10));
  const head = await startRaw((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    drip(socket, 'x: y\r\n', 10);
  });
  const interim = await startRaw((socket) => drip(socket, 'HTTP/1.1 102 Processing\r\n\r\n', 10));
  const mute = await startRaw((socket) => socket.resume());
  const fetcher = guardedFetcher(t);
  for (const { origin, openCount, close } of [server, raw, head, interim, mute]) {
    t.teardown(close);
    const startMs = performance.now();
    const result = await fetcher.get(`${origin}/`, { totalMs: 300 });
    t.match(result.fault, /timeout|protocol/);
    t.ok(performance.now() - startMs < 3000);
    await allClosed(openCount);
    t.equal(openCount(), 0, 'the connection is gone');
  }
});

t.test('S6: compressed answers are refused unread', async (t) => {
  const bomb = gzipSync(Buffer.alloc(16 * KiB * KiB));
  const server = await startWeb((request, response) => {
    response.setHeader('content-encoding', (request.url ?? '').slice(1));
    response.end(request.url === '/identity' ? 'plain' : bomb);
  });
  t.teardown(server.close);
  const fetcher = guardedFetcher(t);
  for (const encoding of ['gzip', 'br', 'deflate', 'zstd', 'GZIP', 'identity,gzip', 'x']) {
    t.match(await fetcher.get(`${server.origin}/${encoding}`), { fault: 'encoding' }, encoding);
  }
  t.match(await fetcher.get(`${server.origin}/identity`), { status: 200 });
});

t.test('S4, H149: redirects are not followed', async (t) => {
  const secret = await startWeb((_, response) => response.end('secret'));
  const server = await startWeb((request, response) => {
    response.writeHead(Number((request.url ?? '').slice(1)), { location: secret.origin });
    response.end();
  });
  t.teardown(secret.close);
  t.teardown(server.close);
  const fetcher = guardedFetcher(t);
  for (const status of [300, 301, 302, 303, 304, 307, 308]) {
    const result = await fetcher.get(`${server.origin}/${status}`);
    t.match(result, { fault: 'redirect', detail: String(status) });
  }
  t.equal(secret.connectionCount(), 0);
});

t.test('other statuses come back without a body, whatever the body is', async (t) => {
  const server = await startWeb((request, response) => {
    const [, status, mode] = (request.url ?? '').split('/');
    if (status === '429') response.setHeader('retry-after', '7');
    if (mode === 'zip') response.setHeader('content-encoding', 'gzip');
    response.writeHead(Number(status));
    if (mode === 'huge') response.write(Buffer.alloc(KiB * KiB));
    if (mode === 'drip') drip(response, 'x', 10);
    else response.end('gone');
  });
  t.teardown(server.close);
  const fetcher = guardedFetcher(t);
  const get = (path: string) => fetcher.get(`${server.origin}/${path}`, { totalMs: 300 });
  for (const status of [400, 404, 410, 500]) {
    for (const mode of ['plain', 'huge', 'drip', 'zip']) {
      const result = await get(`${status}/${mode}`);
      t.equal(result.status, status, mode);
      t.equal(result.fault === undefined && result.body.length, 0);
    }
  }
  t.match(await get('429/plain'), { status: 429, retryAfterMs: 7000 });
});

t.test('answers that are none', async (t) => {
  const speeches: readonly (readonly [fault: string, text: string])[] = [
    ['protocol', 'SSH-2.0-OpenSSH_9.9\r\n'],
    ['protocol', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\nhello'],
    ['protocol', `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(20_000)}\r\n`],
    ['protocol', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
    ['reset', ''],
    ['reset', 'HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort'],
    ['reset', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['reset', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'],
  ];
  const fetcher = guardedFetcher(t);
  for (const [fault, text] of speeches) {
    const server = await startRaw((socket) => socket.end(text));
    t.teardown(server.close);
    const result = await fetcher.get(`${server.origin}/`, { totalMs: 2000 });
    t.equal(result.fault, fault, JSON.stringify(text.slice(0, 60)));
  }
});

t.test('nobody listens', async (t) => {
  const server = await startRaw(() => {});
  server.close();
  const result = await guardedFetcher(t).get(`${server.origin}/`);
  t.match(result, { fault: 'connect', detail: 'ECONNREFUSED' });
});

t.test('S1, S5: the guarded way out takes no other URL', async (t) => {
  const urls = [
    'http://example.com/',
    'https://example.com:8443/',
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://[::1]/',
    'https://user@example.com/',
    'https://example.com./',
    'https://localhost/',
    'https://metadata.google.internal/',
    'file:///etc/passwd',
    'ftp://example.com/',
    'not a url',
    '',
  ];
  const fetcher = guardedFetcher(t);
  for (const url of urls) t.match(await fetcher.get(url), { fault: 'blocked', detail: 'url' }, url);
  const server = await startWeb((_, response) => response.end('x'));
  t.teardown(server.close);
  t.match(await guardedFetcher(t, false).get(`${server.origin}/`), { fault: 'blocked' });
  t.match(await fetcher.get(`http://127.0.0.1:${server.port}/`), { fault: 'blocked' });
  t.equal(server.connectionCount(), 0);
});

t.test('S2, H149: a public name with a private address is not connected to', async (t) => {
  const dns = await startDns({
    'evil.example.com': { a: ['127.0.0.1'] },
    'meta.example.com': { a: ['169.254.169.254'] },
    'mute.example.com': { isSilent: true },
  });
  t.teardown(() => dns.close());
  const fetcher = guardedFetcher(t, false, [dns.address]);
  for (const name of ['evil', 'meta']) {
    const result = await fetcher.get(`https://${name}.example.com/.well-known/did.json`);
    t.match(result, { fault: 'blocked', detail: 'dns_blocked' }, name);
  }
  const none = await fetcher.get('https://none.example.com/');
  t.match(none, { fault: 'dns', detail: 'dns_not_found' });
  const mute = await fetcher.get('https://mute.example.com/', { totalMs: 200 });
  t.match(mute, { fault: 'timeout' }, 'the time includes the name look-up');
});

t.test('TLS is checked', async (t) => {
  const options = { key: KEY_PEM, cert: CERTIFICATE_PEM };
  const server = https.createServer(options, (_, response) => response.end('sealed'));
  await new Promise<void>((resolve) => server.listen(0, resolve));
  t.teardown(() => server.close());
  const origin = `https://localhost:${(server.address() as AddressInfo).port}`;
  t.match(await trustedFetcher(t, origin).get(`${origin}/`), {
    fault: 'tls',
    detail: 'DEPTH_ZERO_SELF_SIGNED_CERT',
  });
  const context = tls.createSecureContext({ ca: CERTIFICATE_PEM });
  const known = await trustedFetcher(t, origin, context).get(`${origin}/`);
  t.equal(known.fault === undefined && known.body.toString(), 'sealed');
  const plain = await startRaw((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
  t.teardown(plain.close);
  const wrong = plain.origin.replace('http:', 'https:');
  t.match(await trustedFetcher(t, wrong).get(`${wrong}/`), { fault: 'tls' });
});

t.test('the trusted way out goes to its origin only, private or not', async (t) => {
  const server = await startWeb((_, response) => response.end('x'));
  const other = await startWeb((_, response) => response.end('x'));
  t.teardown(server.close);
  t.teardown(other.close);
  const fetcher = trustedFetcher(t, `http://127.0.0.1:${server.port}`);
  t.match(await fetcher.get(`http://127.0.0.1:${server.port}/a`), { status: 200 });
  t.match(await fetcher.get(`${other.origin}/a`), { fault: 'blocked' });
  t.match(await fetcher.get(`http://u:p@127.0.0.1:${server.port}/a`), { fault: 'blocked' });
  t.equal(other.connectionCount(), 0);
});

t.test('the trusted way out keeps its connection; a failed one is not used again', async (t) => {
  const server = await startWeb((request, response, count) => {
    if (count === 3) request.socket.destroy();
    else if (count !== 5) response.end('x');
  });
  t.teardown(server.close);
  const fetcher = trustedFetcher(t, server.origin);
  const get = () => fetcher.get(`${server.origin}/`, { totalMs: 700 });
  const faults: (string | undefined)[] = [];
  for (let i = 0; i < 7; i++) faults.push((await get()).fault);
  t.same(faults, [undefined, undefined, 'reset', undefined, 'timeout', undefined, undefined]);
  t.same(
    server.requests.map(({ connection }) => connection),
    [1, 1, 1, 2, 2, 3, 3],
  );
});

t.test('D23: one dead connection takes the idle ones of its origin along', async (t) => {
  // A middle box that let five connections open and then forgot them all.
  let isDead = false;
  const server = await startWeb((request, response) => {
    const { connection } = server.requests[server.requests.length - 1] ?? { connection: 0 };
    if (isDead && connection <= 5) return;
    if (request.url === '/wait') setTimeout(() => response.end('x'), 50);
    else response.end('x');
  });
  t.teardown(server.close);
  const fetcher = trustedFetcher(t, server.origin);
  await Promise.all(Array.from({ length: 5 }, () => fetcher.get(`${server.origin}/wait`)));
  t.equal(server.connectionCount(), 5);
  isDead = true;
  const first = await fetcher.get(`${server.origin}/`, { totalMs: 700 });
  const second = await fetcher.get(`${server.origin}/`, { totalMs: 700 });
  t.same([first.fault, second.status], ['timeout', 200]);
  t.equal(server.connectionCount(), 6);
});

t.test('a guarded connection is not kept', async (t) => {
  const server = await startWeb((_, response) => response.end('x'));
  t.teardown(server.close);
  const fetcher = guardedFetcher(t);
  await fetcher.get(`${server.origin}/`);
  await fetcher.get(`${server.origin}/`);
  t.equal(server.connectionCount(), 2);
  await allClosed(server.openCount);
  t.equal(server.openCount(), 0);
});

t.test('close ends what is under way, and nothing begins after it', async (t) => {
  const server = await startWeb(() => {});
  t.teardown(server.close);
  const fetcher = guardedFetcher(t);
  const running = fetcher.get(`${server.origin}/`);
  await clock.sleep(30);
  t.equal(fetcher.activeCount, 1);
  fetcher.close();
  t.match(await running, { fault: 'closed' });
  t.equal(fetcher.activeCount, 0);
  t.match(await fetcher.get(`${server.origin}/`), { fault: 'closed' });
});

t.test('S5: proxies from the environment are ignored', async (t) => {
  const server = await startWeb((_, response) => response.end('direct'));
  t.teardown(server.close);
  const file = (name: string): string =>
    JSON.stringify(new URL(`../../lib/identity/${name}`, import.meta.url).href);
  const script = `
    import { SystemClock } from ${file('../base/clock.ts')};
    import { Fetcher } from ${file('fetch.ts')};
    import { createSharedSecureContext, createTrustedGuard } from ${file('guard.ts')};
    const origin = process.argv[1];
    const secureContext = createSharedSecureContext();
    const guard = createTrustedGuard({ origin, socketsMax: 1, secureContext });
    const fetcher = new Fetcher({ clock: new SystemClock(), guard, userAgent: 'x' });
    const own = await fetcher.get(origin + '/');
    const builtIn = await fetch(origin + '/').then((r) => r.text(), () => 'proxied');
    console.log(own.body?.toString() ?? own.fault, builtIn);
    fetcher.close();`;
  const proxy = 'http://127.0.0.1:9';
  const env = { ...process.env, NODE_USE_ENV_PROXY: '1', HTTP_PROXY: proxy, http_proxy: proxy };
  const args = ['--input-type=module-typescript', '-e', script, '--', server.origin];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  t.equal(stdout.trim(), 'direct proxied', 'while the built-in fetch does take the proxy');
});
