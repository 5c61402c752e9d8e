/** Order and completeness of what consumers get, and how sends are gathered. */
import t from 'tap';
import { KiB, MiB } from '../../lib/base/units.ts';
import { Client, rawClient, until, World } from './world.ts';

t.test('G2, G5: no gap and no repeat from the tail to segments and back', async (t) => {
  const hub = { gatherMs: 0 };
  const world = await new World({ tailBytes: 64 * KiB, logDelayMs: 1, hub }).listen();
  t.teardown(() => world.stop());
  const quick = await new Client(world.port, '?cursor=0').open();
  const slow = await new Client(world.port, '?cursor=0').open();
  const sizes = [60, 300, 5000, 120, 70_000, 900];
  const feed = async (batches: number): Promise<void> => {
    for (let i = 0; i < batches; i++) {
      world.append(1 + (i % 7), (seq) => sizes[seq % sizes.length] ?? 0);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  for (let lap = 0; lap < 3; lap++) {
    slow.ws.pause();
    await feed(120);
    slow.ws.resume();
    await feed(20);
    const head = world.log.lastSeq;
    await until(() => slow.lastSeq === head && quick.lastSeq === head);
  }
  const head = world.log.lastSeq;
  t.same(quick.faults(1, head), [], `the quick one, ${head} events`);
  t.same(slow.faults(1, head), [], 'the one that stopped reading three times');
  const tailReads = world.metrics.read('relay_broadcast_reads_total:tail');
  const logReads = world.metrics.read('relay_broadcast_reads_total:segment');
  t.ok(tailReads > 10, `${tailReads} pieces from the tail`);
  t.ok(logReads > 3, `${logReads} pieces from segments`);
  t.equal(world.published.at(-1), head);
  t.ok(world.published.every((seq, i) => i === 0 || seq > (world.published[i - 1] ?? 0)));
});

t.test('G2, G5: one that the tail has passed goes on with segments', async (t) => {
  const hub = { gatherMs: 0, sweepMs: 20 };
  const world = await new World({ tailBytes: 64 * KiB, hub }).listen();
  t.teardown(() => world.stop());
  const slow = await new Client(world.port).open();
  await until(() => world.hub.size === 1);
  slow.ws.pause();
  const [consumer] = world.hub.consumers;
  while ((consumer?.waitingBytes ?? 0) === 0) {
    world.append(1, 10_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const readsBefore = world.metrics.read('relay_broadcast_reads_total:segment');
  // Four times what the ring holds, while nothing can be written to it.
  for (let i = 0; i < 4; i++) world.append(7, 10_000);
  const head = world.log.lastSeq;
  slow.ws.resume();
  await until(() => slow.lastSeq === head);
  t.same(slow.faults(1, head), []);
  t.ok(world.metrics.read('relay_broadcast_reads_total:segment') > readsBefore);
});

t.test('many cursors at once share reads of the log', async (t) => {
  const world = await new World({ tailBytes: 16 * KiB, logDelayMs: 2 }).listen();
  t.teardown(() => world.stop());
  world.append(1000, 2000);
  const clients = Array.from({ length: 30 }, () => new Client(world.port, '?cursor=0'));
  await until(() => clients.every((client) => client.lastSeq === 1000));
  for (const client of clients) t.same(client.faults(1, 1000), []);
  // 2 MB in pieces of 256 KiB are eight reads; each on its own would need 240.
  t.ok(world.log.nexts < 80, `${world.log.nexts} reads for 30 consumers`);
  await until(() => world.log.closes === world.log.opens);
  t.pass('every cursor was closed once its consumer was back in the tail');
});

t.test('reads of the log are bounded', async (t) => {
  const world = await new World({
    tailBytes: 16 * KiB,
    logDelayMs: 5,
    hub: { readsMax: 2, chunkBytesMax: 8 * KiB },
  }).listen();
  t.teardown(() => world.stop());
  world.append(300, 1000);
  let active = 0;
  let activeMax = 0;
  const open = world.log.open.bind(world.log);
  world.log.open = (seq) => {
    const cursor = open(seq);
    return {
      close: () => cursor.close(),
      next: async (bytes) => {
        activeMax = Math.max(activeMax, ++active);
        const read = await cursor.next(bytes);
        active--;
        return read;
      },
    };
  };
  const clients = Array.from({ length: 12 }, (_, i) => new Client(world.port, `?cursor=${i * 7}`));
  await until(() => clients.every((client) => client.lastSeq === 300));
  t.equal(activeMax, 2);
  clients.forEach((client, i) => {
    t.same(client.faults(i * 7 + 1, 300), []);
  });
});

t.test('sends are gathered: one write for what came within T', async (t) => {
  const hub = { gatherMs: 40 };
  const world = await new World({ hub }).listen();
  t.teardown(() => world.stop());
  const clients = [await new Client(world.port).open(), await new Client(world.port).open()];
  await until(() => world.hub.size === 2);
  for (let i = 0; i < 20; i++) {
    world.append(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => clients.every((client) => client.lastSeq === 20));
  for (const client of clients) t.same(client.faults(1, 20), []);
  const writes = world.metrics.read('relay_broadcast_writes_total');
  t.ok(writes <= 4, `${writes} writes for 40 frames`);
  t.equal(world.metrics.read('relay_broadcast_frames_total'), 40);
});

t.test('sends are gathered, but what comes after a silence does not wait', async (t) => {
  // Nothing ends within this T: what arrives has not waited for it.
  const hub = { gatherMs: 600_000 };
  const world = await new World({ hub }).listen();
  t.teardown(() => world.stop());
  const client = await new Client(world.port).open();
  await until(() => world.hub.size === 1);
  world.append(1);
  await until(() => client.lastSeq === 1);
  world.append(1);
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  t.equal(client.lastSeq, 1, 'the next one does');
  t.equal(world.hub.waitMs(world.clock.monoMs()) > 0, true);
});

t.test('sends are gathered, but 64 KiB do not wait for T', async (t) => {
  const hub = { gatherMs: 600_000, gatherRoundBytes: 128 * KiB };
  const world = await new World({ hub }).listen();
  t.teardown(() => world.stop());
  const clients = [await new Client(world.port).open(), await new Client(world.port).open()];
  await until(() => world.hub.size === 2);
  world.append(1, 1000);
  await until(() => clients.every((client) => client.lastSeq === 1));
  for (let i = 0; i < 20; i++) world.append(10, 1000);
  await until(() => clients.every((client) => client.lastSeq >= 130));
  for (const client of clients) t.same(client.faults(1, client.lastSeq), []);
});

t.test('few consumers: more is gathered, so that a round is worth its while', async (t) => {
  const hub = { gatherMs: 600_000 };
  const world = await new World({ hub }).listen();
  t.teardown(() => world.stop());
  const client = await new Client(world.port).open();
  await until(() => world.hub.size === 1);
  world.append(1, 1000);
  await until(() => client.lastSeq === 1);
  // 100 KB do for a hundred consumers, but not for one.
  world.append(100, 1000);
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  t.equal(client.lastSeq, 1);
  world.append(100, 1000);
  await until(() => client.lastSeq === 201);
  t.same(client.faults(1, 201), []);
});

t.test('D39: without consumers nothing is copied, and all counts as published', async (t) => {
  const world = await new World().listen();
  t.teardown(() => world.stop());
  for (let i = 0; i < 50; i++) world.append(3);
  await until(() => world.published.at(-1) === 150);
  t.equal(world.metrics.read('relay_broadcast_reads_total:tail'), 0);
  t.equal(world.metrics.read('relay_broadcast_writes_total'), 0);
});

t.test('a poll yields: a round over many bytes takes several turns', async (t) => {
  const hub = { pollBytesMax: 64 * KiB, gatherMs: 0 };
  const world = await new World({ hub }).listen();
  t.teardown(() => world.stop());
  const clients = await Promise.all(
    Array.from({ length: 20 }, () => new Client(world.port).open()),
  );
  await until(() => world.hub.size === 20);
  world.isHeld = true;
  world.append(30, 1000);
  let polls = 0;
  while (world.hub.waitMs(world.clock.monoMs()) === 0 || polls === 0) {
    world.hub.poll(world.clock.monoMs());
    polls++;
    if (polls > 100) break;
  }
  world.isHeld = false;
  t.ok(polls >= 6, `${polls} polls for 600 KB`);
  await until(() => clients.every((client) => client.lastSeq === 30));
});

t.test('G20: who is behind neither slows those that are live, nor waits for ever', async (t) => {
  const hub = { pollBytesMax: 64 * KiB, chunkBytesMax: 64 * KiB, gatherMs: 0 };
  const world = await new World({ hub, tailBytes: 256 * KiB }).listen();
  t.teardown(() => world.stop());
  world.append(200, 10_000);
  await until(() => world.published.at(-1) === 200);
  world.isHeld = true;
  const behind = Array.from({ length: 8 }, () => new Client(world.port, '?cursor=0'));
  await Promise.all(behind.map((client) => client.open()));
  const live = await new Client(world.port).open();
  await until(() => world.hub.size === 9);
  const poll = (): number => world.hub.poll(world.clock.monoMs());
  const seqs = (): number[] => Array.from(world.hub.consumers, ({ seq }) => seq);
  poll();
  while (world.log.nexts === 0) poll();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.same(seqs().slice(0, 8), Array(8).fill(0), 'what was read waits for its turn');
  world.append(1, 10_000);
  poll();
  t.equal(seqs()[8], 201, 'live ones first, although they came last');
  t.equal(seqs().filter((seq) => seq > 0 && seq < 201).length, 1, 'then as far as it goes');
  // The live one alone has more than a poll may do, again and again.
  for (let i = 2; i <= 6; i++) {
    world.append(10, 10_000);
    poll();
    t.equal(seqs().filter((seq) => seq > 0 && seq < 201).length, i, 'one of them at least');
  }
  world.isHeld = false;
  world.append(1);
  const head = world.log.lastSeq;
  await until(() => [...behind, live].every((client) => client.lastSeq === head));
  for (const client of behind) t.same(client.faults(1, head), []);
  t.same(live.faults(201, head), []);
});

t.test('G28: after hideTail() what is hidden is hidden in the tail too', async (t) => {
  const world = await new World().listen();
  t.teardown(() => world.stop());
  const live = await new Client(world.port).open();
  world.append(10);
  await until(() => live.lastSeq === 10);
  world.log.hidden.add(4).add(10);
  world.hub.hideTail();
  const late = await new Client(world.port, '?cursor=0').open();
  world.append(2);
  await until(() => late.lastSeq === 12 && live.lastSeq === 12);
  t.same(late.seqs, [1, 2, 3, 5, 6, 7, 8, 9, 11, 12]);
  t.same(live.faults(1, 12), [], 'what was sent before stays sent');
});

t.test('G28: hideTail() forgets pieces of the log that were read before', async (t) => {
  const world = await new World({ tailBytes: 16 * KiB }).listen();
  t.teardown(() => world.stop());
  world.append(100, 1000);
  const before = await new Client(world.port, '?cursor=0').open();
  await until(() => before.lastSeq === 100);
  world.log.hidden.add(4);
  world.hub.hideTail();
  const after = await new Client(world.port, '?cursor=0').open();
  await until(() => after.lastSeq === 100);
  t.notOk(after.seqs.includes(4), 'hidden');
  t.equal(after.seqs.length, 99, 'and nothing else');
});

t.test('G28: hideTail() takes back a piece that waits for its turn', async (t) => {
  const world = await new World({ tailBytes: 16 * KiB }).listen();
  t.teardown(() => world.stop());
  world.append(100, 1000);
  await until(() => world.published.at(-1) === 100);
  world.isHeld = true;
  const client = await new Client(world.port, '?cursor=0').open();
  const [consumer] = world.hub.consumers;
  world.hub.poll(world.clock.monoMs());
  await until(() => consumer?.piece !== undefined);
  world.log.hidden.add(4);
  world.hub.hideTail();
  world.isHeld = false;
  world.drive();
  await until(() => client.lastSeq === 100);
  t.notOk(client.seqs.includes(4), 'hidden');
  t.equal(client.seqs.length, 99, 'and nothing else');
});

t.test('G28: hideTail() reaches consumers that are behind in the tail', async (t) => {
  const world = await new World({ tailBytes: 16 * MiB, hub: { sweepMs: 20 } }).listen();
  t.teardown(() => world.stop());
  const slow = await new Client(world.port).open();
  await until(() => world.hub.size === 1);
  slow.ws.pause();
  const [consumer] = world.hub.consumers;
  while ((consumer?.waitingBytes ?? 0) === 0) {
    world.append(10, 10_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  world.append(50, 10_000);
  const head = world.log.lastSeq;
  world.log.hidden.add(head - 5);
  world.hub.hideTail();
  slow.ws.resume();
  await until(() => slow.lastSeq === head);
  t.notOk(slow.seqs.includes(head - 5), 'hidden');
  t.equal(slow.seqs.length, head - 1, 'and nothing else');
});

t.test('G24: damage in the log ends the replay with an error, others go on', async (t) => {
  const world = await new World({ tailBytes: 16 * KiB }).listen();
  t.teardown(() => world.stop());
  world.append(100, 1000);
  const live = await new Client(world.port).open();
  world.log.isBroken = true;
  const replay = new Client(world.port, '?cursor=0');
  await replay.closed;
  t.equal(replay.closeCode, 1011);
  t.match(replay.messages[0]?.toString('latin1'), /ReplayFailed/);
  t.same(replay.seqs, []);
  world.append(1);
  await until(() => live.lastSeq === 101);
  t.equal(world.metrics.read('relay_broadcast_consumer_ends_total:corrupt'), 1);
});

t.test('G7: a consumer that retention has passed gets ConsumerTooSlow', async (t) => {
  const world = await new World({ tailBytes: 16 * KiB, hub: { sweepMs: 10 } }).listen();
  t.teardown(() => world.stop());
  const client = await new Client(world.port, '?cursor=0').open();
  const socket = await rawClient(world.port);
  await until(() => world.hub.size === 2);
  client.ws.pause();
  socket.pause();
  for (let i = 0; i < 60; i++) world.append(30, 10_000);
  await until(() => world.metrics.read('relay_broadcast_buffered_bytes') > 0);
  world.retire(1500);
  await until(() => world.hub.size <= 1 || client.closeCode > 0 || endedForRetention(world));
  client.ws.resume();
  await client.closed;
  t.equal(client.closeCode, 1008);
  t.match(client.messages.at(-1)?.toString('latin1'), /ConsumerTooSlow/);
  t.same(client.faults(1, client.lastSeq), [], 'what it got has no gap');
  socket.destroy();
});

function endedForRetention(world: World): boolean {
  return [...world.hub.consumers].some((consumer) => consumer.endCause === 'retention');
}
