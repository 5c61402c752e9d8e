/** AC-12, DD-8: asking a host for the status of an account; the host may mean harm. */
import t from 'tap';
import { RepoStatusClient } from '../../lib/accounts/repo-status.ts';
import { SystemClock } from '../../lib/base/clock.ts';
import { DnsCache } from '../../lib/identity/dns.ts';
import { Fetcher } from '../../lib/identity/fetch.ts';
import { createGuard, createSharedSecureContext } from '../../lib/identity/guard.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { FleetHost } from '../../scripts/fleet/fleet-host.ts';
import { startWeb } from '../identity/web-server.ts';

const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa';
const WEB_DID = 'did:web:localhost%3A3000';

type Teardown = { teardown(callback: () => void | Promise<void>): void };

function client(t: Teardown, timeoutMs = 10_000, isInsecureAllowed = true): RepoStatusClient {
  const clock = new SystemClock();
  const dns = new DnsCache({ clock, metrics: new MetricWriter(), isInsecureAllowed });
  const secureContext = createSharedSecureContext();
  const guard = createGuard({ dns, secureContext, isInsecureAllowed });
  const fetcher = new Fetcher({ clock, guard, userAgent: 'skyrelay-test' });
  t.teardown(() => {
    fetcher.close();
    dns.close();
  });
  return new RepoStatusClient(fetcher, timeoutMs);
}

t.test('AC-12: what a host says of its accounts', async (t) => {
  const host = await FleetHost.start('a');
  t.teardown(() => host.stop());
  const hosts = client(t);
  host.repoStatus.set(DID, { did: DID, active: true, rev: '3lmxjza3nva22' });
  t.equal(await hosts.ask(host.hostname, DID), 'active');
  host.repoStatus.set(DID, { did: DID, active: true, status: 'takendown' });
  t.equal(await hosts.ask(host.hostname, DID), 'active', 'AC-2: `active` decides');
  host.repoStatus.set(DID, { did: DID, active: false, status: 'deactivated' });
  t.equal(await hosts.ask(host.hostname, DID), 'inactive');
  t.equal(await hosts.ask(host.hostname, WEB_DID), 'unknown', '404');
  t.same(host.repoStatusAsked, [DID, DID, DID, WEB_DID], 'a DID is safe in a URL');
});

t.test('AC-12: only a plain yes is one', async (t) => {
  const bodies = [
    '',
    'true',
    'null',
    '[]',
    '{}',
    '{"active":true}',
    `{"did":"${DID}"}`,
    `{"did":"${DID}","active":"true"}`,
    `{"did":"${DID}","active":1}`,
    `{"did":"${WEB_DID}","active":true}`,
    `{"did":"${DID}","active":true`,
  ];
  let body = '';
  const server = await startWeb((_, response) => response.end(body));
  t.teardown(server.close);
  const hosts = client(t);
  for (body of bodies) t.equal(await hosts.ask(server.host, DID), 'unknown', body);
});

t.test('S4, S5, S6: errors, redirects, floods and silence are no answer', async (t) => {
  const yes = JSON.stringify({ did: DID, active: true });
  const server = await startWeb((_, response, count) => {
    if (count === 1) response.writeHead(500).end(yes);
    else if (count === 2) response.writeHead(302, { location: server.origin }).end();
    else if (count === 3) response.end(yes.padEnd(9000));
    else if (count === 4) response.writeHead(400).end(yes);
  });
  t.teardown(server.close);
  const hosts = client(t);
  t.equal(await hosts.ask(server.host, DID), 'failed', '500');
  t.equal(await hosts.ask(server.host, DID), 'failed', 'a redirect');
  t.equal(await hosts.ask(server.host, DID), 'failed', 'too large');
  t.equal(await hosts.ask(server.host, DID), 'unknown', '400');
  t.equal(await client(t, 100).ask(server.host, DID), 'failed', 'never answered');
});

t.test('DD-8, S1: no address of the inside is asked', async (t) => {
  const server = await startWeb((_, response) => response.end());
  t.teardown(server.close);
  const hosts = client(t, 1000, false);
  t.equal(await hosts.ask(server.host, DID), 'failed');
  t.equal(await hosts.ask('169.254.169.254', DID), 'failed');
  t.equal(server.requests.length, 0);
});
