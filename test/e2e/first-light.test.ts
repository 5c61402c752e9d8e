/** The whole path with a small fleet: everything sent arrives once, in order, at every cursor. */
import t from 'tap';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, checkStream, eventually } from '../helpers/stream-checker.ts';

t.test('SQ-14 G2 G3 G5 G9 a fleet of five hosts under load', { timeout: 60_000 }, async (t) => {
  const fleet = await Fleet.start({ hostCount: 5, accountsPerHost: 10, seed: 1 });
  const relay = await RelayProcess.start({ env: { RELAY_PLC_HOST: fleet.directory.url } });
  t.teardown(async () => {
    await relay.dispose();
    await fleet.stop();
  });
  for (const host of fleet.hosts) await relay.crawl(host.hostname);
  t.ok(await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), 10_000));
  const live = new RecordingConsumer(() => relay.streamUrl);
  await eventually(() => live.connectCount === 1, 1000);
  const stop = new AbortController();
  const running = fleet.run(500, stop.signal);
  await new Promise((resolve) => setTimeout(resolve, 4000));
  stop.abort();
  await running;
  const { sentCount } = fleet;
  await eventually(() => live.received.length >= sentCount, 10_000);
  const checked = checkStream(
    fleet.hosts.map((host) => host.sent),
    live.received,
  );
  t.same(checked.problems, []);
  t.same(live.violations, []);
  t.ok(checked.expected > 500, `${checked.expected} events`);
  t.same(await relay.rejects(), {});
  for (const cursor of [0, 1, 7, Math.floor(sentCount / 2), sentCount - 1]) {
    const late = new RecordingConsumer(() => relay.streamUrl, cursor);
    await eventually(() => late.lastSeq >= sentCount, 5000);
    late.stop();
    t.same(checkSame(live.received, late.received), []);
    t.equal(late.received[0]?.seq, cursor + 1);
    t.equal(late.received.length, sentCount - cursor);
  }
  live.stop();
});
