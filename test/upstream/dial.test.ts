import net from 'node:net';
import tls from 'node:tls';
import t, { type Test } from 'tap';
import type { WebSocket } from 'ws';
import { SystemClock } from '../../lib/base/clock.ts';
import { RelayFault } from '../../lib/base/fault.ts';
import { DnsCache } from '../../lib/identity/dns.ts';
import { guardedDialOptions } from '../../lib/identity/guard.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import {
  DIALER_DEFAULTS,
  Dialer,
  type DialerOptions,
  type DialFailure,
  subscribeUrl,
} from '../../lib/upstream/dial.ts';
import { Gate } from '../../lib/upstream/gate.ts';
import { CERTIFICATE_PEM } from '../identity/certificate.ts';
import { Pds, type PdsOptions, settle, until } from './pds.ts';

const clock = new SystemClock();
const dns = new DnsCache({ clock, metrics: new MetricWriter(), isInsecureAllowed: true });
const trusting = tls.createSecureContext({ ca: CERTIFICATE_PEM });
t.teardown(() => dns.close());

type Outcome = DialFailure | 'open';
type Setup = {
  readonly options?: Partial<DialerOptions>;
  readonly context?: tls.SecureContext;
  readonly wide?: number;
  readonly narrow?: number;
  readonly lookup?: net.LookupFunction;
};

class Bench {
  readonly wideGate: Gate;
  readonly narrowGate: Gate;
  readonly dialer: Dialer;
  readonly opened: WebSocket[] = [];

  constructor(setup: Setup = {}) {
    this.wideGate = new Gate({ slotCount: setup.wide ?? 512, waitersMax: 1000 });
    this.narrowGate = new Gate({ slotCount: setup.narrow ?? 32, waitersMax: 1000 });
    const network = guardedDialOptions(dns, setup.context ?? trusting);
    this.dialer = new Dialer(
      { ...DIALER_DEFAULTS, userAgent: 'skyrelay/test', ...setup.options },
      {
        clock,
        network: setup.lookup === undefined ? network : { ...network, lookup: setup.lookup },
        wideGate: this.wideGate,
        narrowGate: this.narrowGate,
      },
    );
  }

  dial(hostname: string, cursor: number | null = null): Promise<Outcome> {
    return new Promise((resolve) => {
      this.dialer.dial(
        { hostname, cursor },
        {
          onOpen: (ws) => {
            this.opened.push(ws);
            ws.on('error', () => {});
            resolve('open');
          },
          onFailed: resolve,
        },
      );
    });
  }

  close(): void {
    for (const ws of this.opened) ws.terminate();
  }
}

/** Every name is this machine: what the guard would refuse, so that TLS can be tested. */
const loopback: net.LookupFunction = (_hostname, _options, callback) =>
  callback(null, [{ address: '127.0.0.1', family: 4 }]);

async function startPds(t: Test, options: PdsOptions = {}): Promise<Pds> {
  const pds = await Pds.start(options);
  t.teardown(() => pds.close());
  return pds;
}

function benchOf(t: Test, setup: Setup = {}): Bench {
  const bench = new Bench(setup);
  t.teardown(() => bench.close());
  return bench;
}

t.test(
  'FR-1, SQ-16: the URL: TLS except for localhost, cursor only when there is one',
  async (t) => {
    const path = '/xrpc/com.atproto.sync.subscribeRepos';
    t.equal(subscribeUrl({ hostname: 'a.org', cursor: null }), `wss://a.org${path}`);
    t.equal(subscribeUrl({ hostname: 'a.org', cursor: 0 }), `wss://a.org${path}?cursor=0`);
    t.equal(
      subscribeUrl({ hostname: 'localhost:80', cursor: 7 }),
      `ws://localhost:80${path}?cursor=7`,
    );
  },
);

t.test('opens, says who it is, offers no compression (S27)', async (t) => {
  const pds = await startPds(t);
  const bench = benchOf(t);
  t.equal(await bench.dial(pds.hostname, 42), 'open');
  const request = pds.requests[0];
  t.equal(request?.url, '/xrpc/com.atproto.sync.subscribeRepos?cursor=42');
  t.equal(request?.headers['user-agent'], 'skyrelay/test');
  t.equal(request?.headers['sec-websocket-extensions'], undefined);
  t.equal(request?.headers['sec-websocket-protocol'], undefined);
  t.equal(bench.wideGate.usedCount, 0);
});

t.test('a message in the same packet as the 101 is not missed', async (t) => {
  const pds = await startPds(t, { onConnection: ({ ws }) => ws.send('now') });
  const dialer = benchOf(t).dialer;
  const message = await new Promise<string>((resolve) => {
    dialer.dial(
      { hostname: pds.hostname, cursor: null },
      {
        onOpen: (ws) => {
          ws.on('message', (data: Buffer) => {
            ws.terminate();
            resolve(data.toString());
          });
        },
        onFailed: (failure) => resolve(failure.cause),
      },
    );
  });
  t.equal(message, 'now');
});

t.test('TLS: names are checked, the context is shared', async (t) => {
  const pds = await startPds(t, { isSecure: true });
  const setup = { options: { securePort: pds.port }, lookup: loopback };
  t.match(await benchOf(t, setup).dial('other.example.org'), { cause: 'tls' }, 'another name');
  const strict = benchOf(t, { ...setup, context: tls.createSecureContext() });
  t.match(await strict.dial('localhost'), { cause: 'tls' }, 'an unknown authority');
  const bench = benchOf(t, setup);
  t.equal(await bench.dial('localhost'), 'open');
  t.equal(bench.narrowGate.usedCount, 0);
});

t.test('S1, S2: private addresses and refused names are never connected to', async (t) => {
  const pds = await startPds(t);
  const strict = new DnsCache({ clock, metrics: new MetricWriter(), isInsecureAllowed: false });
  t.teardown(() => strict.close());
  const options = { securePort: pds.port };
  const bench = benchOf(t, { options, lookup: strict.lookup });
  for (const hostname of ['localhost', 'localhost.', 'metadata.internal', 'pds.local']) {
    t.match(await bench.dial(hostname), { cause: 'blocked', isPermanent: true }, hostname);
  }
  const private4: net.LookupFunction = (hostname, _options, callback) =>
    callback(new RelayFault('dns_blocked', `dns_blocked ${hostname}`, { isRetryable: false }), []);
  const blocked = await benchOf(t, { lookup: private4 }).dial('rebind.example.org');
  t.match(blocked, { cause: 'blocked', isPermanent: true });
  t.equal(pds.socketCount, 0);
});

t.test('S4: a redirect is not followed', async (t) => {
  const target = await startPds(t);
  const pds = await startPds(t, {
    onUpgrade: (_, socket) => {
      socket.end(`HTTP/1.1 302 Found\r\nLocation: ws://${target.hostname}/\r\n\r\n`);
      return true;
    },
  });
  t.match(await benchOf(t).dial(pds.hostname), { cause: 'redirect', isPermanent: true });
  await settle();
  t.equal(target.socketCount, 0);
});

function refusing(status: number, headers = ''): PdsOptions {
  return {
    onUpgrade: (_, socket) => {
      socket.end(`HTTP/1.1 ${status} X\r\n${headers}Content-Length: 2\r\n\r\n{}`);
      return true;
    },
  };
}

t.test('B10: Retry-After is honoured, as seconds first', async (t) => {
  const cases: [status: number, header: string, retryAfterMs: number | undefined][] = [
    [429, 'Retry-After: 7\r\n', 7000],
    [503, 'Retry-After: 1\r\n', 1000],
    [429, 'Retry-After: 999999\r\n', 3_600_000],
    [503, 'Retry-After: soon\r\n', undefined],
    [429, '', undefined],
  ];
  for (const [status, header, retryAfterMs] of cases) {
    const pds = await startPds(t, refusing(status, header));
    const failure = await benchOf(t).dial(pds.hostname);
    t.match(failure, { cause: 'throttled', isPermanent: false }, header);
    t.equal((failure as DialFailure).retryAfterMs, retryAfterMs, header);
  }
});

t.test('B11: permanent and transient answers are told apart', async (t) => {
  for (const status of [200, 400, 401, 403, 404, 410, 422, 500, 502, 504]) {
    const pds = await startPds(t, refusing(status));
    const failure = await benchOf(t).dial(pds.hostname);
    const isPermanent = status >= 400 && status < 500;
    t.match(failure, { cause: 'http', detail: `http ${status}`, isPermanent });
    await until(() => pds.openCount === 0, 'the socket to be gone');
  }
});

t.test('S10: a relay is refused by its Server header', async (t) => {
  const pds = await startPds(t, { headers: ['Server: indigo-relay/1 (atproto-relay)'] });
  const bench = benchOf(t);
  t.match(await bench.dial(pds.hostname), { cause: 'relay', isPermanent: true });
  t.equal(bench.opened.length, 0);
  await until(() => pds.openCount === 0, 'the socket to be gone');
});

t.test('nobody listens; nobody answers; the answer never ends', async (t) => {
  const options = { connectMs: 200, tlsMs: 200, upgradeMs: 200 };
  t.match(await benchOf(t).dial('localhost:9'), { cause: 'refused' });
  const silent = net.createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const { port } = silent.address() as net.AddressInfo;
  const upgrade = await benchOf(t, { options }).dial(`localhost:${port}`);
  t.match(upgrade, { cause: 'timeout', detail: 'upgrade' });
  const setup = { options: { ...options, securePort: port }, lookup: loopback };
  t.match(await benchOf(t, setup).dial('localhost'), { cause: 'timeout', detail: 'secureConnect' });
  const black: net.LookupFunction = () => {};
  const deaf = await benchOf(t, { options, lookup: black }).dial('a.example.org');
  t.match(deaf, { cause: 'timeout', detail: 'connect' });
  const drip = await startPds(t, {
    onUpgrade: (_, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nX: ');
      const timer = setInterval(() => socket.write('x'), 20);
      socket.on('close', () => clearInterval(timer));
      return true;
    },
  });
  const dripped = await benchOf(t, { options }).dial(drip.hostname);
  t.match(dripped, { cause: 'timeout' }, 'a byte now and then does not help');
  await until(() => drip.openCount === 0, 'the socket to be gone');
});

t.test('D1: the narrow gate bounds handshakes, the wide one connects', async (t) => {
  const pds = await startPds(t, { isSecure: true });
  const bench = benchOf(t, {
    options: { securePort: pds.port },
    lookup: loopback,
    narrow: 2,
    wide: 5,
  });
  let narrowMax = 0;
  let wideMax = 0;
  const watch = setInterval(() => {
    narrowMax = Math.max(narrowMax, bench.narrowGate.usedCount);
    wideMax = Math.max(wideMax, bench.wideGate.usedCount);
  }, 0);
  const outcomes = await Promise.all(Array.from({ length: 30 }, () => bench.dial('localhost')));
  clearInterval(watch);
  t.ok(outcomes.every((outcome) => outcome === 'open'));
  t.ok(narrowMax >= 1 && narrowMax <= 2, `narrow ${narrowMax}`);
  t.ok(wideMax >= 1 && wideMax <= 5, `wide ${wideMax}`);
  t.same([bench.narrowGate.usedCount, bench.wideGate.usedCount], [0, 0]);
});

t.test('C7: cancelled at any step, nothing opens and no slot or socket is left', async (t) => {
  const pds = await startPds(t, { isSecure: true });
  for (const delayMs of [-1, 0, 1, 2, 4, 8, 16]) {
    const setup = { options: { securePort: pds.port }, lookup: loopback };
    const bench = benchOf(t, setup);
    let isCalled = false;
    const isCancelled = { now: false };
    const attempt = bench.dialer.dial(
      { hostname: 'localhost', cursor: null },
      {
        onOpen: (ws) => {
          isCalled = isCancelled.now;
          ws.terminate();
        },
        onFailed: () => {
          isCalled = isCancelled.now;
        },
      },
    );
    if (delayMs >= 0) await settle(delayMs);
    isCancelled.now = true;
    attempt.cancel();
    await settle(30);
    t.notOk(isCalled, `${delayMs} ms`);
    t.same([bench.narrowGate.usedCount, bench.wideGate.usedCount], [0, 0]);
  }
  await until(() => pds.openCount === 0, 'all sockets to be gone');
});

t.test('C7: a cancelled attempt gives its slot back at once, not at its deadline', async (t) => {
  const black: net.LookupFunction = () => {};
  const bench = benchOf(t, { lookup: black });
  const handlers = { onOpen: () => t.fail('opened'), onFailed: () => t.fail('failed') };
  const attempt = bench.dialer.dial({ hostname: 'a.example.org', cursor: null }, handlers);
  await settle(5);
  t.equal(bench.wideGate.usedCount, 1);
  attempt.cancel();
  await settle(5);
  t.equal(bench.wideGate.usedCount, 0);
});
