/** Frames that wait for a key (D37, H148): held, not lost, not passed on; also when threads die. */
import t from 'tap';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { wait } from '../fault/under-load.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkStream, eventually } from '../helpers/stream-checker.ts';

async function start(t: { teardown(done: () => Promise<void>): void }, hold: string) {
  const fleet = await Fleet.start({ hostCount: 2, accountsPerHost: 6, seed: 41 });
  const relay = await RelayProcess.start({
    env: { RELAY_PLC_HOST: fleet.directory.url, RELAY_IDENTITY_HOLD: hold },
  });
  const live = new RecordingConsumer(() => relay.streamUrl);
  t.teardown(async () => {
    live.stop();
    await relay.dispose();
    await fleet.stop();
  });
  for (const host of fleet.hosts) await relay.crawl(host.hostname);
  await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), 10_000);
  return { fleet, relay, live };
}

t.test('D37, G11, G18 frames that wait survive the death of their thread', async (t) => {
  const { fleet, relay, live } = await start(t, '60s');
  fleet.directory.fault = 'hang';
  for (let i = 0; i < 200; i++) fleet.step();
  await wait(1500);
  t.equal(live.received.length, 0, 'nothing is passed on without a key');
  t.ok((await relay.metric('relay_verify_held_frames')) > 0);
  // One account is known by now? None is: both threads die with frames in hand.
  relay.chaos('verifyExit', 1);
  fleet.step();
  fleet.step();
  await wait(1500);
  fleet.directory.fault = 'none';
  t.ok(await eventually(() => live.received.length >= fleet.sentCount, 40_000));
  t.equal(await relay.metric('relay_verify_held_frames'), 0);
  const sent = fleet.hosts.map((host) => host.truth);
  t.same(checkStream(sent, live.received).problems, []);
  t.same(await relay.rejects(), {});
});

t.test('D37, H148 without a key in time: dropped, counted, never passed on', async (t) => {
  const { fleet, relay, live } = await start(t, '1s');
  fleet.directory.fault = 'error';
  for (let i = 0; i < 100; i++) fleet.step();
  const { sentCount } = fleet;
  let rejected = 0;
  for (let i = 0; i < 200 && rejected < sentCount; i++) {
    rejected = (await relay.rejects())['identity_unresolved'] ?? 0;
    await wait(100);
  }
  t.equal(rejected, sentCount);
  t.equal(live.received.length, 0);
});
