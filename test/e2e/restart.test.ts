/** G25: what a planned restart costs those who are there. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { SystemClock } from '../../lib/base/clock.ts';
import { DAY_MS, GiB } from '../../lib/base/units.ts';
import { NodeDisk } from '../../lib/log/disk.ts';
import { openLog } from '../../lib/log/recovery.ts';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkStream, eventually } from '../helpers/stream-checker.ts';

const CONSUMERS = 5;

/** Last seq of the log of a relay that is not running. */
function lastSeqOf(dataDir: string): number {
  const { writer } = openLog({
    disk: new NodeDisk(),
    directory: join(dataDir, 'log'),
    clock: new SystemClock(),
    segmentBytesMax: GiB,
    segmentAgeMsMax: DAY_MS,
    makeSalt: () => randomBytes(16),
    nextSeqMin: 1,
  });
  writer.close();
  return writer.nextSeq - 1;
}

t.test('G25 G9 a restart costs a consumer a reconnect', { timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.start({ hostCount: 3, accountsPerHost: 5, seed: 4 });
  const env = { RELAY_PLC_HOST: fleet.directory.url };
  let relay = await RelayProcess.start({ env });
  t.teardown(async () => {
    await relay.dispose();
    await fleet.stop();
  });
  for (const host of fleet.hosts) await relay.crawl(host.hostname);
  t.ok(await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), 10_000));
  const consumers = Array.from(
    { length: CONSUMERS },
    () => new RecordingConsumer(() => relay.streamUrl, 0),
  );
  const stop = new AbortController();
  const running = fleet.run(300, stop.signal);
  await eventually(() => consumers.every((consumer) => consumer.received.length > 300), 20_000);

  relay.child.kill('SIGTERM');
  t.same(await relay.exited, { code: 0, signal: null });
  const lastSeq = lastSeqOf(relay.dataDir);
  await eventually(() => consumers.every((consumer) => consumer.lastSeq === lastSeq), 2000);
  for (const { lastSeq: seen, closeCodes } of consumers) {
    t.equal(seen, lastSeq, 'the last batch was published before the close');
    t.equal(closeCodes[0], 1001);
  }

  relay = await RelayProcess.start({ dataDir: relay.dataDir, env });
  await eventually(() => consumers.every((consumer) => consumer.lastSeq > lastSeq + 100), 30_000);
  stop.abort();
  await running;
  const { sentCount } = fleet;
  await eventually(() => consumers.every(({ received }) => received.length >= sentCount), 20_000);
  for (const consumer of consumers) {
    const { problems } = checkStream(
      fleet.hosts.map((host) => host.sent),
      consumer.received,
    );
    t.same(problems, [], 'no gap, nothing twice');
    t.same(consumer.violations, []);
    t.same(consumer.controls, [], 'and nothing was said to it');
    consumer.stop();
  }
});
