/** The listener and the hub together: a subscription through all of it. */
import t from 'tap';
import { ADMIN_AUTH_DEFAULTS } from '../../lib/http/admin/auth.ts';
import { API_SERVER_DEFAULTS, ApiServer } from '../../lib/http/server.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { Client, until, World } from '../broadcast/world.ts';
import { Api } from './api.ts';

t.test('a subscription outlives every HTTP time limit and is no HTTP connection', async (t) => {
  const world = new World({ hub: { sweepMs: 20 } });
  world.drive();
  const api = new ApiServer(
    {
      ...API_SERVER_DEFAULTS,
      host: '127.0.0.1',
      port: 0,
      trustedProxies: [],
      headersMsMax: 100,
      requestMsMax: 150,
      checkMs: 20,
      keepAliveMs: 100,
      connectionsPerAddressMax: 4,
      admin: { ...ADMIN_AUTH_DEFAULTS, passwords: [] },
    },
    {
      clock: world.clock,
      logger: silentLogger,
      metrics: world.metrics,
      routes: [],
      upgrades: world.admission,
    },
  );
  const { port } = await api.listen();
  world.append(5);
  const clients: Client[] = [];
  for (let i = 0; i < 10; i++) clients.push(await new Client(port, '?cursor=0').open());
  t.ok(
    clients.every(({ isOpen }) => isOpen),
    'ten of one address, four connections allowed',
  );
  await new Promise((resolve) => setTimeout(resolve, 500));
  world.append(5);
  await until(() => clients.every((client) => client.lastSeq === 10));
  for (const client of clients) t.same(client.faults(1, 10), []);
  t.match([...world.hub.consumers][0]?.info, { address: '127.0.0.1', addressKey: '127.0.0.1' });
  const stopping = api.stop(50);
  world.admission.drain();
  await world.hub.closeAll(1001, 50);
  await stopping;
  for (const client of clients) {
    await client.closed;
    t.equal(client.closeCode, 1001);
  }
  await world.stop();
});

t.test('S30: a handshake that is none is refused as JSON', async (t) => {
  const world = await new World().listen();
  t.teardown(() => world.stop());
  const ask = async (headers: readonly string[]): Promise<string> => {
    const api = new Api();
    api.port = world.port;
    const lines = ['GET /xrpc/com.atproto.sync.subscribeRepos HTTP/1.1', 'Host: x', ...headers];
    return await api.raw([`${lines.join('\r\n')}\r\n\r\n`]);
  };
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket'];
  const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==';
  for (const headers of [
    upgrade,
    [...upgrade, 'Sec-WebSocket-Version: 13'],
    [...upgrade, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: short'],
    [...upgrade, key, 'Sec-WebSocket-Version: 7'],
    [...upgrade, key, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Protocol: a,,b'],
  ]) {
    const answer = await ask(headers);
    t.match(answer, /^HTTP\/1\.1 400 /, headers.join(' | '));
    t.match(answer, /"error":"InvalidRequest"/);
    t.match(answer, /Connection: close/);
  }
  t.equal(world.hub.size, 0);
});
