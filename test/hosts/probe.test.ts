import type { IncomingMessage, ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { SystemClock } from '../../lib/base/clock.ts';
import { createProbe, isRelayServer } from '../../lib/hosts/probe.ts';
import { DnsCache } from '../../lib/identity/dns.ts';
import { Fetcher } from '../../lib/identity/fetch.ts';
import { createGuard, createSharedSecureContext } from '../../lib/identity/guard.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { startWeb } from '../identity/web-server.ts';

const clock = new SystemClock();
const dns = new DnsCache({ clock, metrics: new MetricWriter(), isInsecureAllowed: true });
const secureContext = createSharedSecureContext();
const guard = createGuard({ dns, secureContext, isInsecureAllowed: true });
const fetcher = new Fetcher({ clock, guard, userAgent: 'test' });
const probe = createProbe(fetcher);
t.teardown(() => {
  fetcher.close();
  dns.close();
});

const DESCRIPTION = JSON.stringify({ did: 'did:web:pds.example.org', availableUserDomains: [] });

async function probeOf(
  t: Test,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const web = await startWeb(handler);
  t.teardown(() => web.close());
  return probe(web.host);
}

t.test('a PDS describes itself', async (t) => {
  const finding = await probeOf(t, (request, response) => {
    t.equal(request.url, '/xrpc/com.atproto.server.describeServer');
    response.setHeader('content-type', 'application/json').end(DESCRIPTION);
  });
  t.equal(finding, 'pds');
});

t.test('S10: a relay is told by its Server header, whatever the status', async (t) => {
  for (const status of [200, 404]) {
    const finding = await probeOf(t, (_, response) => {
      response.writeHead(status, { server: 'indigo-relay/1.2 (atproto-relay)' }).end(DESCRIPTION);
    });
    t.equal(finding, 'relay');
  }
  t.ok(isRelayServer('Skyrelay/0.1.0'));
  t.notOk(isRelayServer('nginx/1.25 (relay)'));
  t.notOk(isRelayServer(undefined));
});

t.test('H169: what is not a PDS', async (t) => {
  t.equal(await probeOf(t, (_, response) => response.writeHead(404).end('{}')), 'http_status');
  for (const body of ['{}', '[]', 'null', '"x"', '<html>', '{"did":7}', '{"did":"nothing"}']) {
    t.equal(await probeOf(t, (_, response) => response.end(body)), 'not_pds', body);
  }
  t.equal(await probe('localhost:9'), 'connect');
  t.equal(await probe('127.0.0.1'), 'blocked');
});

t.test('S4, S6: redirects, compression and large bodies end it', async (t) => {
  const redirect = await probeOf(t, (_, response) => {
    response.writeHead(302, { location: 'http://localhost:9/' }).end();
  });
  t.equal(redirect, 'redirect');
  const large = await probeOf(t, (_, response) => response.end('x'.repeat(70_000)));
  t.equal(large, 'too_large');
});
