/** Connections that come and go faster than anybody should (C2, D13). */
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { Client, clientFrame, handshake, until, World } from './world.ts';

t.test('C2, D13: 10,000 connections that end at once leave nothing behind', async (t) => {
  t.setTimeout(120_000);
  const world = await new World({ hub: { sweepMs: 20 } }).listen();
  t.teardown(() => world.stop());
  const feeder = setInterval(() => world.append(2), 2);
  const kinds = ['reset', 'end', 'reset-late', 'close-frame', 'half', 'refused'] as const;
  let sizeMax = 0;
  const one = (i: number): Promise<void> =>
    new Promise((resolve) => {
      const kind = kinds[i % kinds.length];
      const socket: Socket = connect(world.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.on('close', () => resolve());
      socket.on('connect', () => {
        const query = i % 3 === 0 ? '?cursor=0' : '';
        const text = handshake(kind === 'refused' ? '?cursor=x' : query);
        socket.write(kind === 'half' ? text.slice(0, 60) : text);
        if (kind === 'reset' || kind === 'half' || kind === 'refused') {
          // The answer is written into a connection that is gone.
          setImmediate(() => socket.resetAndDestroy());
        }
        if (kind === 'end') socket.end();
        if (kind === 'close-frame') socket.write(clientFrame(8));
      });
      socket.on('data', () => {
        sizeMax = Math.max(sizeMax, world.hub.size);
        if (kind === 'reset-late') socket.resetAndDestroy();
      });
    });
  let started = 0;
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      while (started < 10_000) await one(started++);
    }),
  );
  clearInterval(feeder);
  await until(() => world.hub.size === 0, 20_000);
  t.equal(world.metrics.read('relay_broadcast_consumers_count'), 0, 'gauge');
  t.equal(world.admission.countOf('127.0.0.1'), 0, 'count per address');
  t.ok(sizeMax <= 60, `at most ${sizeMax} at a time`);
  let ends = 0;
  for (const cause of ['closed', 'abnormal', 'protocol', 'other'] as const) {
    ends += world.metrics.read(`relay_broadcast_consumer_ends_total:${cause}`);
  }
  t.ok(ends > 5000, `${ends} of them had become consumers`);
  const client = await new Client(world.port).open();
  const before = world.log.lastSeq;
  world.append(3);
  await until(() => client.lastSeq === before + 3);
});
