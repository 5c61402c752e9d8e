/** The hub over the real log: every cursor, segment borders, a restart, retention, damage. */
import { openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { KiB } from '../../lib/base/units.ts';
import { logArrivals } from '../../lib/broadcast/delivery.ts';
import { RealLog, startOver } from './real-log.ts';
import { Client, rawClient, until } from './world.ts';

t.test('G5: every cursor over segments, a restart and the tail, exactly', async (t) => {
  const log = new RealLog();
  t.teardown(() => log.close());
  const first = await startOver(t, log, 8 * KiB);
  const sizes = [40, 900, 3000, 200, 17_000, 70];
  for (let i = 0; i < 40; i++) first.append(1 + (i % 6), (seq) => sizes[seq % sizes.length] ?? 0);
  log.prove(first.view);
  first.publish();
  for (let i = 0; i < 10; i++) first.append(3, (seq) => sizes[seq % sizes.length] ?? 0);
  const lastSeq = first.log.lastSeq;
  await first.stop();
  log.restart();

  const world = await startOver(t, log, 32 * KiB, lastSeq);
  for (let i = 0; i < 20; i++) world.append(2, (seq) => sizes[seq % sizes.length] ?? 0);
  await log.retire(2);
  const oldest = log.writer.oldestSeq;
  const head = world.log.lastSeq;
  t.ok(oldest > 1 && log.writer.sealed.length > 5, `${log.writer.sealed.length} sealed segments`);
  const clients = new Map<number, Client>();
  for (let cursor = oldest - 1; cursor <= head; cursor++) {
    clients.set(cursor, new Client(world.port, `?cursor=${cursor}`));
  }
  await until(() => world.hub.size === clients.size);
  await until(() => [...world.hub.consumers].every((consumer) => consumer.seq === head));
  for (let i = 0; i < 20; i++) {
    world.append(1, 500);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const end = world.log.lastSeq;
  await until(() => [...clients.values()].every((client) => client.lastSeq === end), 8000);
  const faults = [...clients].flatMap(([cursor, client]) => client.faults(cursor + 1, end));
  t.same(faults, [], `${clients.size} cursors`);
  const reads = (source: 'segment' | 'tail'): number =>
    world.metrics.read(`relay_broadcast_reads_total:${source}`);
  t.ok(reads('segment') > 10 && reads('tail') > 10, `${reads('segment')} and ${reads('tail')}`);
  const old = new Client(world.port, `?cursor=${oldest - 2}`);
  await until(() => old.lastSeq === end);
  t.same(old.faults(oldest, end), []);
  t.match(old.messages[0]?.toString('latin1'), /OutdatedCursor/);
});

t.test('G7: retention passing a replay ends it, never skips', async (t) => {
  const log = new RealLog();
  t.teardown(() => log.close());
  const world = await startOver(t, log, 8 * KiB);
  for (let i = 0; i < 300; i++) world.append(5, 4000);
  const clients = Array.from({ length: 8 }, (_, i) => new Client(world.port, `?cursor=${i}`));
  await until(() => clients.every((client) => client.lastSeq > 0));
  for (const client of clients) client.ws.pause();
  await log.retire(log.writer.sealed.length);
  for (const client of clients) client.ws.resume();
  await until(() => clients.every((client) => client.closeCode > 0 || client.lastSeq === 1500));
  clients.forEach((client, i) => {
    t.same(client.faults(i + 1, client.lastSeq), [], 'no gap');
    const isWhole = client.lastSeq === 1500;
    t.ok(isWhole || client.closeReason === 'ConsumerTooSlow', `at ${client.lastSeq}`);
  });
  t.ok(world.metrics.read('relay_broadcast_consumer_ends_total:retention') > 0, 'some were');
});

t.test('G24: a flipped byte ends the replays that cross it with an error', async (t) => {
  const log = new RealLog();
  t.teardown(() => log.close());
  const world = await startOver(t, log, 8 * KiB);
  for (let i = 0; i < 100; i++) world.append(2, 1000);
  const names = readdirSync(log.directory).filter((name) => name.endsWith('.seg'));
  const name = names.sort()[1] ?? '';
  writeSync(openSync(join(log.directory, name), 'r+'), Buffer.from([0xee, 0xee]), 0, 2, 20_000);
  const crossing = new Client(world.port, '?cursor=0');
  await crossing.closed;
  t.equal(crossing.closeCode, 1011);
  t.match(crossing.messages[0]?.toString('latin1'), /ReplayFailed/);
  t.same(crossing.faults(1, crossing.lastSeq), []);
  const behind = new Client(world.port, `?cursor=${Number(name.slice(0, 16)) + 60}`);
  await until(() => behind.lastSeq === 200);
  t.pass('others are served');
});

t.test('the time of delivery is measured from the arrival that the log knows', async (t) => {
  const log = new RealLog();
  t.teardown(() => log.close());
  const world = await startOver(t, log, 64 * KiB);
  log.arrivalMs = Date.now() - 3000;
  const arrivals = logArrivals(log.reader);
  world.append(5, 1000);
  await until(() => world.published.at(-1) === 5);
  t.equal(world.deliverySeconds(), 0, 'nobody was there');
  const client = await new Client(world.port).open();
  for (let i = 0; i < 10; i++) {
    world.append(3, 2000);
    await until(() => client.lastSeq === world.log.lastSeq);
  }
  await until(() => world.deliverySeconds() > 0);
  const seconds = world.deliverySeconds();
  t.ok(seconds > 2.9 && seconds < 8, `one sample of ${seconds} s`);
  t.equal(await arrivals.arrivalMs(1), log.arrivalMs);
  t.equal(await arrivals.arrivalMs(35), log.arrivalMs);
  t.equal(await arrivals.arrivalMs(36), undefined, 'not there yet');
});

t.test('lag in seconds: for how long the next event has been there', async (t) => {
  const log = new RealLog();
  t.teardown(() => log.close());
  const world = await startOver(t, log, 16 * KiB, 0, { sweepMs: 20 });
  log.arrivalMs = Date.now() - 5000;
  world.append(20, 10_000);
  const gauge = (): number => world.metrics.read('relay_broadcast_lag_seconds_max');
  const live = await new Client(world.port).open();
  await until(() => world.hub.size === 1);
  const [first] = world.hub.consumers;
  t.equal(first && (await world.hub.secondsBehind(first)), 0, 'at the head');
  const slow = await rawClient(world.port);
  await until(() => world.hub.size === 2);
  slow.pause();
  const [, stalled] = world.hub.consumers;
  while ((stalled?.waitingBytes ?? 0) === 0) {
    world.append(20, 10_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  world.append(5, 10_000);
  const seconds = stalled && (await world.hub.secondsBehind(stalled));
  t.ok(seconds !== undefined && seconds > 4.9, `${seconds} s`);
  await until(() => gauge() > 4.9);
  t.equal(stalled && stalled.bytesSent > 1000, true, 'bytes per consumer');
  slow.destroy();
  await until(() => live.lastSeq === world.log.lastSeq && gauge() === 0);
  t.pass('nobody is behind');
});
