/** What a consumer gets for each cursor, over real sockets. */
import t from 'tap';
import { encodeErrorFrame, encodeInfoFrame } from '../../lib/wire/control.ts';
import { Client, until, World } from './world.ts';

t.test(
  'SQ-5, SQ-7, SQ-9, H160, G5, G6: no cursor, head, 0, inside, every one of them',
  async (t) => {
    const world = await new World({ tailBytes: 64 * 1024 }).listen();
    t.teardown(() => world.stop());
    // 300 events of 1 KB: the tail ring holds the last sixty or so, the rest is only in the log.
    for (let i = 0; i < 60; i++) world.append(5, 1000);
    world.retire(21);
    const cursors = [20, 21, 22, 100, 239, 240, 241, 242, 290, 295, 298, 299, 300];
    const clients = cursors.map((cursor) => new Client(world.port, `?cursor=${cursor}`));
    const live = new Client(world.port);
    const all = new Client(world.port, '?cursor=0');
    await Promise.all([...clients, live, all].map((client) => client.open()));
    world.append(7, 1000);
    await until(() => [...clients, live, all].every((client) => client.lastSeq === 307));
    cursors.forEach((cursor, i) => {
      t.same(clients[i]?.faults(cursor + 1, 307), [], `cursor ${cursor} is exclusive`);
      t.equal(clients[i]?.messages.length, 0, 'no info frame');
    });
    t.same(live.faults(301, 307), [], 'no cursor: from the head');
    t.same(all.faults(21, 307), [], 'cursor 0: the oldest');
    t.equal(all.messages.length, 0, 'and no info frame (A3)');
  },
);

t.test('SQ-8, H160: a cursor older than the window gets OutdatedCursor first', async (t) => {
  const world = await new World().listen();
  t.teardown(() => world.stop());
  world.append(50);
  world.retire(31);
  const client = await new Client(world.port, '?cursor=29').open();
  await until(() => client.lastSeq === 50);
  t.same(client.faults(31, 50), []);
  t.equal(client.messages.length, 1);
  const info = client.messages[0]?.subarray(0, 24);
  t.same(info, encodeInfoFrame('OutdatedCursor', 'x').subarray(0, 24), 'op 1, t #info, its name');
  t.equal(world.metrics.read('relay_broadcast_outdated_cursors_total'), 1);
});

t.test(
  'FR-3, FR-9, SQ-6, H159: a cursor above the head gets FutureCursor, then 1008',
  async (t) => {
    const world = await new World().listen();
    t.teardown(() => world.stop());
    world.append(50);
    for (const cursor of [51, Number.MAX_SAFE_INTEGER]) {
      const client = new Client(world.port, `?cursor=${cursor}`);
      await client.closed;
      t.equal(client.closeCode, 1008);
      t.equal(client.closeReason, 'FutureCursor');
      t.same(client.seqs, []);
      t.same(client.messages, [encodeErrorFrame('FutureCursor', 'the cursor is in the future')]);
    }
    await until(() => world.hub.size === 0);
    t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:future_cursor'), 2);
  },
);

t.test('H159: a commit that the hub has not polled yet is no future', async (t) => {
  const world = await new World().listen();
  t.teardown(() => world.stop());
  world.append(50);
  await until(() => world.published.at(-1) === 50);
  world.isHeld = true;
  world.append(1);
  const client = await new Client(world.port, '?cursor=51').open();
  world.isHeld = false;
  world.append(1);
  await until(() => client.lastSeq === 52);
  t.same(client.faults(52, 52), []);
});

t.test('H161: a bad cursor is refused with HTTP 400 before the upgrade', async (t) => {
  const world = await new World().listen();
  t.teardown(() => world.stop());
  const queries = ['cursor=abc', 'cursor=1.5', 'cursor=-1', 'cursor=1180591620717411303424'];
  for (const query of [...queries, 'cursor=1&cursor=2', 'cursor=']) {
    const client = new Client(world.port, `?${query}`);
    await client.closed;
    t.equal(client.httpStatus, 400, query);
    t.equal(JSON.parse(client.httpBody).error, 'InvalidRequest', query);
    t.match(client.httpHeaders['server'], /atproto-relay/);
  }
  t.equal(world.hub.size, 0);
  t.equal(world.metrics.read('relay_broadcast_refused_total:cursor'), 6);
});

t.test('an empty log: live, 0 and 1', async (t) => {
  const world = await new World().listen();
  t.teardown(() => world.stop());
  const live = await new Client(world.port).open();
  const zero = await new Client(world.port, '?cursor=0').open();
  const one = new Client(world.port, '?cursor=1');
  await one.closed;
  t.equal(one.closeReason, 'FutureCursor');
  world.append(3);
  await until(() => live.lastSeq === 3 && zero.lastSeq === 3);
  t.same(live.faults(1, 3), []);
  t.same(zero.faults(1, 3), []);
});

t.test('G14: consumers on both sides of a jump in the numbers', async (t) => {
  const world = new World({ lastSeq: 500 });
  // An unclean stop: this process goes on a million further.
  world.log.lastSeq = 1_000_500;
  world.log.firstSeq = 501;
  await world.listen();
  t.teardown(() => world.stop());
  const live = await new Client(world.port).open();
  const inside = await new Client(world.port, '?cursor=500').open();
  world.append(5);
  await until(() => live.lastSeq === 1_000_505 && inside.lastSeq === 1_000_505);
  t.same(live.faults(1_000_501, 1_000_505), []);
  t.same(inside.faults(1_000_501, 1_000_505), []);
  const between = await new Client(world.port, '?cursor=700000').open();
  await until(() => between.lastSeq === 1_000_505);
  t.same(between.faults(1_000_501, 1_000_505), [], 'a cursor inside the jump');
});

t.test('H165, FR-15: only a sub-protocol that we speak is selected', async (t) => {
  const world = await new World().listen();
  t.teardown(() => world.stop());
  const spoken = await new Client(world.port, '', {}, ['xrpc.v1.json', 'xrpc.v0.cbor']).open();
  t.equal(spoken.ws.protocol, 'xrpc.v0.cbor');
  const offering = await new Client(world.port, '', { perMessageDeflate: true }).open();
  t.equal(offering.ws.extensions, '', 'S27: no compression');
  // `ws` as a client refuses a server that selects nothing; the 101 itself is what counts.
  const json = new Client(world.port, '', {}, ['xrpc.v1.json']);
  const headers = new Promise<Record<string, unknown>>((resolve) => {
    json.ws.on('upgrade', (response) => resolve(response.headers));
  });
  const upgraded = await headers;
  t.notOk('sec-websocket-protocol' in upgraded, 'never echoed');
  t.match(upgraded['server'], /atproto-relay/, 'the 101 carries the mark of a relay');
});

t.test('readiness: nobody is let in before the log is open, nor while stopping', async (t) => {
  const world = new World();
  world.view.segmentFirstSeq = 0;
  world.publish();
  await world.listen();
  t.teardown(() => world.stop());
  const early = new Client(world.port);
  await early.closed;
  t.equal(early.httpStatus, 503);
  t.ok(Number(early.httpHeaders['retry-after']) > 0);
  world.view.segmentFirstSeq = 1;
  world.publish();
  await new Client(world.port).open();
  world.admission.drain();
  const late = new Client(world.port);
  await late.closed;
  t.equal(late.httpStatus, 503, 'G25');
  t.equal(world.metrics.read('relay_broadcast_refused_total:not_ready'), 2);
});
