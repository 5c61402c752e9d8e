/** Consumers that stall, flood, vanish or come in storms. */
import { connect } from 'node:net';
import t from 'tap';
import { KiB, MiB } from '../../lib/base/units.ts';
import { closeSpreadMs } from '../../lib/broadcast/endings.ts';
import { HUB_DEFAULTS } from '../../lib/broadcast/hub-options.ts';
import { encodeErrorFrame } from '../../lib/wire/control.ts';
import { Client, clientFrame, handshake, rawClient, until, World } from './world.ts';

/** Splits what a server sent after its 101 into frames; throws where framing is broken. */
function parseFrames(bytes: Buffer): { opcode: number; payload: Buffer }[] {
  const frames = [];
  let at = bytes.indexOf('\r\n\r\n') + 4;
  while (at < bytes.length) {
    const first = bytes.readUInt8(at);
    const second = bytes.readUInt8(at + 1);
    if ((first & 0xf0) !== 0x80) throw new Error(`bad first byte ${first} at ${at}`);
    if (second >= 128) throw new Error('masked');
    const header = second < 126 ? 2 : second === 126 ? 4 : 10;
    if (at + header > bytes.length) break;
    const length =
      second < 126
        ? second
        : second === 126
          ? bytes.readUInt16BE(at + 2)
          : bytes.readUInt32BE(at + 6);
    if (at + header + length > bytes.length) break;
    frames.push({ opcode: first & 15, payload: bytes.subarray(at + header, at + header + length) });
    at += header + length;
  }
  return frames;
}

async function fill(world: World, stalled: number): Promise<void> {
  for (let i = 0; i < 400; i++) {
    world.append(20, 10_000);
    await new Promise((resolve) => setImmediate(resolve));
    const waiting = [...world.hub.consumers].filter((consumer) => consumer.waitingBytes > 0);
    if (waiting.length >= stalled) return;
  }
  throw new Error('the sockets never filled');
}

/** Feeds until `isDone`; the longest time from a commit to its last frame at the client. */
async function slowestDelivery(
  world: World,
  client: Client,
  isDone: () => boolean,
): Promise<number> {
  let delayMsMax = 0;
  while (!isDone()) {
    const sentMs = performance.now();
    world.append(1);
    await until(() => client.lastSeq === world.log.lastSeq);
    delayMsMax = Math.max(delayMsMax, performance.now() - sentMs);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return delayMsMax;
}

t.test('G20, H164: who takes no byte is ended within its time, others see nothing', async (t) => {
  const hub = { stallMsMax: 300, closeMsMax: 200, sweepMs: 20 };
  const world = await new World({ hub, tailBytes: MiB }).listen();
  t.teardown(() => world.stop());
  const good = await new Client(world.port).open();
  const stalled = await rawClient(world.port);
  await until(() => world.hub.size === 2);
  stalled.pause();
  await fill(world, 1);
  const stalledMs = performance.now();
  const delayMsMax = await slowestDelivery(world, good, () => world.hub.size === 1);
  const endedMs = performance.now() - stalledMs;
  t.ok(endedMs >= 280 && endedMs < 1500, `ended after ${Math.round(endedMs)} ms`);
  t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:too_slow'), 1);
  t.equal(world.metrics.read('relay_broadcast_consumers_count'), 1);
  await until(() => good.lastSeq === world.log.lastSeq);
  t.same(good.faults(1, world.log.lastSeq), []);
  // Compared with the same minute without a stalled consumer, not with a constant.
  const endMs = performance.now() + endedMs;
  const quietMsMax = await slowestDelivery(world, good, () => performance.now() > endMs);
  const text = `${Math.round(delayMsMax)} ms, undisturbed ${Math.round(quietMsMax)} ms`;
  t.ok(delayMsMax < 5 * quietMsMax + 100, `slowest delivery to the other one: ${text}`);
  let code = '';
  stalled.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? '';
  });
  stalled.resume();
  await until(() => stalled.destroyed);
  t.equal(code, 'ECONNRESET', 'a reset: nothing of it stays in the kernel');
});

t.test('G20: one that is ended is gone within five seconds', async (t) => {
  const { closeMsMax, sweepMs } = HUB_DEFAULTS;
  t.ok(closeMsMax + sweepMs <= 5000, 'of which it has most to read why');
});

t.test('G20, G26: many stalled consumers hold one piece each', async (t) => {
  const hub = { stallMsMax: 60_000, sweepMs: 20, chunkBytesMax: 64 * KiB };
  const world = await new World({ hub, tailBytes: MiB }).listen();
  t.teardown(() => world.stop());
  const sockets = await Promise.all(Array.from({ length: 20 }, () => rawClient(world.port)));
  await until(() => world.hub.size === 20);
  for (const socket of sockets) socket.pause();
  await fill(world, 20);
  for (let i = 0; i < 50; i++) world.append(20, 10_000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (const consumer of world.hub.consumers) {
    t.ok(consumer.waitingBytes <= 64 * KiB, `${consumer.waitingBytes} bytes`);
  }
  for (const socket of sockets) socket.destroy();
  await until(() => world.hub.size === 0);
});

t.test('FR-9, SQ-15, H164: one that drains in the end still reads why', async (t) => {
  const hub = { stallMsMax: 100, closeMsMax: 3000, sweepMs: 20 };
  const world = await new World({ hub, tailBytes: MiB }).listen();
  t.teardown(() => world.stop());
  const client = await new Client(world.port, '?cursor=0').open();
  client.ws.pause();
  await until(() => world.hub.size === 1);
  await fill(world, 1);
  await until(() => [...world.hub.consumers].every((consumer) => !consumer.isOpen));
  client.ws.resume();
  await client.closed;
  t.equal(client.closeCode, 1008);
  t.equal(client.closeReason, 'ConsumerTooSlow');
  t.same(client.messages, [encodeErrorFrame('ConsumerTooSlow', 'no byte taken for too long')]);
  t.same(client.faults(1, client.lastSeq), [], 'whole frames before it');
});

t.test('D15: a pause shorter than the stall limit costs nothing', async (t) => {
  const hub = { stallMsMax: 5000, sweepMs: 10, pingMs: 20 };
  const world = await new World({ hub, tailBytes: MiB }).listen();
  t.teardown(() => world.stop());
  const client = await new Client(world.port).open();
  await until(() => world.hub.size === 1);
  client.ws.pause();
  await fill(world, 1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  client.ws.resume();
  await until(() => client.lastSeq === world.log.lastSeq);
  t.same(client.faults(1, world.log.lastSeq), [], 'pings did not end it: bytes were waiting');
});

t.test(
  'D29, S31: pings and pongs stand between whole frames while large ones stream',
  async (t) => {
    const hub = { pingMs: 5, sweepMs: 5, chunkBytesMax: 256 * KiB };
    const admission = { framesPerSecondMax: 1e6, frameBytesPerSecondMax: 1e9 };
    const world = await new World({ hub, admission, tailBytes: 8 * MiB }).listen();
    t.teardown(() => world.stop());
    const socket = await rawClient(world.port);
    const parts: Buffer[] = [];
    socket.on('data', (data: Buffer) => parts.push(data));
    await until(() => world.hub.size === 1);
    let pings = 0;
    for (let i = 0; i < 60; i++) {
      world.append(3, (seq) => (seq % 3 === 0 ? 1_200_000 : 300));
      socket.write(clientFrame(9, Buffer.from(`ping ${pings++}`)));
      // Answers every ping of the server's too.
      socket.write(clientFrame(10));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const isDone = (): boolean => {
      const frames = parseFrames(Buffer.concat(parts));
      return frames.filter(({ opcode }) => opcode === 2).length === 180;
    };
    await until(isDone, 8000);
    const frames = parseFrames(Buffer.concat(parts));
    const seqs = frames
      .filter(({ opcode }) => opcode === 2)
      .map((frame) => frame.payload.readDoubleBE(0));
    t.same(
      seqs,
      Array.from({ length: 180 }, (_, i) => i + 1),
    );
    const pongs = frames
      .filter(({ opcode }) => opcode === 10)
      .map(({ payload }) => payload.toString());
    t.same(
      pongs,
      Array.from({ length: pings }, (_, i) => `ping ${i}`),
      'every ping was answered, in order',
    );
    t.ok(frames.filter(({ opcode }) => opcode === 9).length > 3, 'and it was pinged');
    socket.destroy();
  },
);

t.test('S31: who answers no ping is ended after two of them', async (t) => {
  const hub = { pingMs: 40, sweepMs: 10 };
  const world = await new World({ hub }).listen();
  t.teardown(() => world.stop());
  const mute = await rawClient(world.port);
  const good = await new Client(world.port).open();
  const parts: Buffer[] = [];
  mute.on('data', (data: Buffer) => parts.push(data));
  await until(() => world.hub.size === 2);
  await until(() => world.hub.size === 1);
  const pings = parseFrames(Buffer.concat(parts)).filter(({ opcode }) => opcode === 9);
  t.equal(pings.length, 2);
  t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:ping'), 1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.equal(world.hub.size, 1, 'who answers stays');
  good.ws.terminate();
});

t.test('S31: a ping behind bytes that lie in the kernel is waited for', async (t) => {
  const hub = { pingMs: 20, sweepMs: 5, stallMsMax: 5000 };
  const world = await new World({ hub, tailBytes: MiB }).listen();
  t.teardown(() => world.stop());
  const client = await new Client(world.port).open();
  await until(() => world.hub.size === 1);
  client.ws.pause();
  // So little that the kernel takes it all, and so much that a slow reader needs its time.
  world.append(10, () => 10 * KiB);
  const [consumer] = world.hub.consumers;
  await until(() => consumer?.seq === 10 && consumer.waitingBytes === 0);
  await until(() => consumer?.pingsUnanswered === 2);
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.equal(world.hub.size, 1, 'ten times as long as two pings take');
  client.ws.resume();
  await until(() => client.lastSeq === 10);
  await until(() => consumer?.pingsUnanswered === 0);
  t.same(client.faults(1, 10), []);
  client.ws.pause();
  await until(() => world.hub.size === 0, 10_000);
  t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:ping'), 1, 'it has read all');
});

t.test('S31: and not for longer than the stall limit', async (t) => {
  const hub = { pingMs: 20, sweepMs: 5, stallMsMax: 300 };
  const world = await new World({ hub, tailBytes: MiB }).listen();
  t.teardown(() => world.stop());
  const client = await new Client(world.port).open();
  await until(() => world.hub.size === 1);
  client.ws.pause();
  world.append(10, () => 10 * KiB);
  await until(() => world.hub.size === 0, 10_000);
  t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:ping'), 1);
  client.ws.terminate();
});

t.test('FR-8, H163, S29: what clients send is ignored, within a budget', async (t) => {
  const world = await new World({ hub: { sweepMs: 20 } }).listen();
  t.teardown(() => world.stop());
  const polite = await new Client(world.port).open();
  polite.ws.send('hello');
  polite.ws.send(Buffer.from([0xff, 0, 1]));
  const pong = new Promise((resolve) => polite.ws.once('pong', resolve));
  polite.ws.ping('x');
  await pong;
  world.append(1);
  await until(() => polite.lastSeq === 1);
  t.same(polite.faults(1, 1), []);

  const many = await new Client(world.port).open();
  for (let i = 0; i < 11; i++) many.ws.send('x');
  await until(() => many.closeCode > 0);
  t.equal(many.closeCode, 1008, 'eleven in a second');
  const bytes = await new Client(world.port).open();
  bytes.ws.send(Buffer.alloc(3000));
  bytes.ws.send(Buffer.alloc(3000));
  await until(() => bytes.closeCode > 0);
  t.equal(bytes.closeCode, 1008, 'more than 4 KiB in a second');
  const large = await new Client(world.port).open();
  large.ws.send(Buffer.alloc(5000));
  await until(() => large.closeCode > 0);
  t.equal(large.closeCode, 1009, 'S26: one over 4 KiB');
  await until(() => world.hub.size === 1);
  t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:protocol'), 3);
});

t.test('S25, S28: floods of pings and fragments are cut off', async (t) => {
  const world = await new World({ hub: { closeMsMax: 100, sweepMs: 20 } }).listen();
  t.teardown(() => world.stop());
  const pings = await rawClient(world.port);
  await until(() => world.hub.size === 1);
  pings.pause();
  const burst = Buffer.concat(Array.from({ length: 2000 }, () => clientFrame(9)));
  pings.write(burst);
  await until(() => world.hub.size === 0);
  const fragments = await rawClient(world.port);
  await until(() => world.hub.size === 1);
  fragments.write(clientFrame(2, Buffer.from('x'), false));
  fragments.write(
    Buffer.concat(Array.from({ length: 2000 }, () => clientFrame(0, undefined, false))),
  );
  await until(() => world.hub.size === 0);
  const unmasked = await rawClient(world.port);
  await until(() => world.hub.size === 1);
  unmasked.write(Buffer.from([0x82, 1, 0]));
  await until(() => world.hub.size === 0);
  t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:protocol'), 3);
});

t.test('FR-13, C8, S14: caps in total and per address, before the 101', async (t) => {
  let address = '192.0.2.1';
  const admission = { consumersMax: 5, consumersPerAddressMax: 3 };
  const world = await new World({ admission, address: () => address }).listen();
  t.teardown(() => world.stop());
  const refused = async (): Promise<Client> => {
    const client = new Client(world.port);
    await until(() => client.isOpen || client.httpBody !== '');
    return client;
  };
  const first = [await new Client(world.port).open(), await new Client(world.port).open()];
  first.push(await new Client(world.port).open());
  const fourth = await refused();
  t.equal(fourth.httpStatus, 429);
  t.ok(Number(fourth.httpHeaders['retry-after']) > 0);
  t.equal(JSON.parse(fourth.httpBody).error, 'RateLimitExceeded');
  address = '192.0.2.2';
  await new Client(world.port).open();
  await new Client(world.port).open();
  address = '192.0.2.3';
  t.equal((await refused()).httpStatus, 429, 'in total');
  t.equal(world.metrics.read('relay_broadcast_refused_total:capacity'), 2);
  first[0]?.ws.close();
  await until(() => world.hub.size === 4);
  t.equal(world.admission.countOf('192.0.2.1'), 2);
  await new Client(world.port).open();
  t.equal(world.hub.size, 5, 'a place that became free is given away');
});

t.test('S16: connection attempts of one address are paced', async (t) => {
  const admission = { connectsPerSecond: 0.1, connectsBurst: 2 };
  const world = await new World({ admission }).listen();
  t.teardown(() => world.stop());
  await new Client(world.port).open();
  await new Client(world.port).open();
  const third = await new Client(world.port).open();
  t.equal(third.httpStatus, 429);
  t.equal(third.httpHeaders['retry-after'], '10');
  t.equal(world.metrics.read('relay_broadcast_refused_total:rate'), 1);
});

t.test('D14: kicks, resets and closes in the same turn, 200 times', async (t) => {
  const hub = { sweepMs: 5, stallMsMax: 30, closeMsMax: 20 };
  const world = await new World({ hub, tailBytes: 256 * KiB }).listen();
  t.teardown(() => world.stop());
  for (let round = 0; round < 4; round++) {
    const sockets = await Promise.all(Array.from({ length: 50 }, () => rawClient(world.port)));
    await until(() => world.hub.size === 50);
    for (const socket of sockets) socket.pause();
    world.append(40, 50_000);
    sockets.forEach((socket, i) => {
      if (i % 4 === 0) socket.resetAndDestroy();
      if (i % 4 === 1) socket.end(clientFrame(8));
      if (i % 4 === 2) socket.write(clientFrame(9));
    });
    if (round % 2 === 0) for (const consumer of world.hub.consumers) consumer.reset('admin');
    else void world.hub.closeAll(1001, 0);
    await until(() => world.hub.size === 0);
    for (const socket of sockets) socket.destroy();
  }
  t.equal(world.metrics.read('relay_broadcast_consumers_count'), 0);
});

t.test('D14: a reset while our FIN is on its way does not lose the socket', async (t) => {
  const world = await new World({ hub: { closeMsMax: 50, sweepMs: 10 } }).listen();
  t.teardown(() => world.stop());
  let resets = 0;
  world.server.on('upgrade', (_, socket) => {
    // After ws's own listener, which ends our side: the very turn in which libuv says no.
    socket.on('end', () => {
      for (const consumer of world.hub.consumers) consumer.reset('admin');
      resets++;
    });
  });
  const client = connect({ port: world.port, host: '127.0.0.1', allowHalfOpen: true });
  client.on('error', () => {});
  client.write(handshake());
  await until(() => world.hub.size === 1);
  client.end();
  await until(() => resets === 1);
  await until(() => world.hub.size === 0);
  t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:admin'), 1);
  client.destroy();
});

t.test('G25: closeAll sends the last events, then 1001, spread over time', async (t) => {
  const world = await new World({ hub: { sweepMs: 1000, closeMsMax: 400 } }).listen();
  t.teardown(() => world.stop());
  const clients = await Promise.all(
    Array.from({ length: 10 }, () => new Client(world.port).open()),
  );
  const stuck = await rawClient(world.port);
  await until(() => world.hub.size === 11);
  const closedMs: number[] = [];
  for (const client of clients) void client.closed.then(() => closedMs.push(performance.now()));
  const startMs = performance.now();
  world.append(5);
  await world.hub.closeAll(1001, 300);
  t.equal(world.hub.size, 0);
  for (const client of clients) {
    t.equal(client.closeCode, 1001);
    t.same(client.faults(1, 5), []);
  }
  const spreadMs = Math.max(...closedMs) - Math.min(...closedMs);
  t.ok(spreadMs > 150, `spread over ${Math.round(spreadMs)} ms`);
  t.ok(performance.now() - startMs < 5000, 'also with one that does not answer the close');
  t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:stopped'), 11);
  stuck.destroy();
  await world.hub.closeAll(1001, 10);
});

t.test('G25: closing is spread over min(15 s, 10 ms × consumers)', async (t) => {
  t.equal(closeSpreadMs(0, 45_000), 0);
  t.equal(closeSpreadMs(240, 45_000), 2400);
  t.equal(closeSpreadMs(2000, 45_000), 15_000);
  t.equal(closeSpreadMs(2000, 8000), 4000, 'and never over more than half of what is left');
});

t.test('G25: closeAll sends what is still being gathered, to all, before it closes', async (t) => {
  const hub = { gatherMs: 600_000, pollBytesMax: 64 * KiB };
  const world = await new World({ hub }).listen();
  t.teardown(() => world.stop());
  const clients = await Promise.all(
    Array.from({ length: 10 }, () => new Client(world.port).open()),
  );
  await until(() => world.hub.size === 10);
  world.append(1);
  await until(() => clients.every((client) => client.lastSeq === 1));
  // Waits for T, and for ten of them it is more than one poll may do.
  world.append(5, 10_000);
  await world.hub.closeAll(1001, 0);
  for (const client of clients) {
    await client.closed;
    t.equal(client.closeCode, 1001);
    t.same(client.faults(1, 6), []);
  }
});
