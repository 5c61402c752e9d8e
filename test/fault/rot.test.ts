/**
 * One bit of the last published batch changes while the relay is down (G24): it is not taken for a
 * torn end. The segment is copied aside, consumers that cross the place are told, and no seq is
 * given again.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, eventually } from '../helpers/stream-checker.ts';

t.test('G1 G24 bit rot in the last published batch', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.start({ hostCount: 2, accountsPerHost: 6, seed: 81 });
  const env = { RELAY_PLC_HOST: fleet.directory.url, RELAY_LOG_LEVEL: 'info' };
  let relay = await RelayProcess.start({ env });
  const { dataDir } = relay;
  const live = new RecordingConsumer(() => relay.streamUrl);
  const consumers = [live];
  t.teardown(async () => {
    for (const consumer of consumers) consumer.stop();
    await relay.dispose();
    await fleet.stop();
  });
  let last = Buffer.alloc(0);
  live.onFrame = (frame) => {
    last = Buffer.from(frame);
  };
  for (const host of fleet.hosts) await relay.crawl(host.hostname);
  await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), 10_000);
  for (let i = 0; i < 300; i++) {
    fleet.step();
    if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.ok(await eventually(() => live.received.length === fleet.sentCount, 30_000));
  const { lastSeq } = live;
  live.stop();
  await relay.kill('SIGTERM');

  const log = join(dataDir, 'log');
  const segment = readdirSync(log).find((name) => name.endsWith('.seg')) ?? '';
  const path = join(log, segment);
  const bytes = readFileSync(path);
  const at = bytes.indexOf(last);
  t.ok(at > 0, 'the last frame is in the segment as it was published');
  const place = at + (last.length >> 1);
  bytes.writeUInt8(bytes.readUInt8(place) ^ 0x10, place);
  writeFileSync(path, bytes);

  relay = await RelayProcess.start({ dataDir, env });
  t.ok(statSize(path) >= bytes.length, 'nothing is cut off');
  t.ok((await relay.metric('relay_log_corrupt_batches_total')) > 0, 'counted');
  t.ok(
    readdirSync(dataDir, { recursive: true }).some((name) => String(name).includes('.corrupt')),
    'the segment is copied aside',
  );
  t.match(relay.stdout, /damaged/);
  const crossing = new RecordingConsumer(() => relay.streamUrl, 0);
  consumers.push(crossing);
  t.ok(await eventually(() => crossing.controls.length > 0, 30_000), 'told by an error frame');
  t.ok(crossing.lastSeq > 0 && crossing.lastSeq < lastSeq, `up to ${crossing.lastSeq}`);
  t.same(crossing.violations, [], 'nothing is left out in silence');
  t.same(checkSame(live.received, crossing.received), []);
  const later = new RecordingConsumer(() => relay.streamUrl, lastSeq);
  consumers.push(later);
  for (let i = 0; i < 50; i++) fleet.step();
  const added = fleet.sentCount - live.received.length;
  t.ok(await eventually(() => later.received.length >= added, 30_000), 'new events come');
  t.equal(later.received[0]?.seq, lastSeq + 1, 'no seq is given again');
});

function statSize(path: string): number {
  return readFileSync(path).length;
}
