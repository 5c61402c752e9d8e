/**
 * A consumer whose cable is bad, or pulled (G5, G20, S31): ended in time where it is gone, and back
 * with all that it missed.
 */
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { runUnderLoad, untilMetric, type World, wait } from '../fault/under-load.ts';
import { FarPlace, whyNoBadCable, whyNoFarPlace } from '../helpers/far-place.ts';
import { type Received, RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, eventually } from '../helpers/stream-checker.ts';

const skip = whyNoFarPlace();
const WAIT_MS = 30_000;
const CONSUMERS = 'relay_broadcast_consumers_count';
const ENDS = 'relay_broadcast_consumer_ends_total';
const env = {
  RELAY_API_BIND: '0.0.0.0:0',
  RELAY_CONSUMER_PING: '500ms',
  RELAY_CONSUMER_STALL: '2s',
};
const CONSUMER_PATH = new URL('../helpers/far-consumer.ts', import.meta.url).pathname;

/** What a consumer at the other end of the cable gets. */
function consumeFar(t: Test, place: FarPlace, relay: RelayProcess) {
  const url = relay.streamUrl.replace('127.0.0.1', place.nearAddress);
  const child = place.run(CONSUMER_PATH, url);
  t.teardown(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) {
      await new Promise((resolve) => child.once('exit', resolve));
    }
  });
  const received: Received[] = [];
  const problems: string[] = [];
  if (child.stdout === null) throw new Error('no stdout');
  createInterface({ input: child.stdout }).on('line', (line) => {
    const said: Received | string = JSON.parse(line);
    if (typeof said === 'string') problems.push(said);
    else if (said.seq !== (received.at(-1)?.seq ?? 0) + 1) problems.push(`${said.seq}`);
    if (typeof said !== 'string') received.push(said);
  });
  const isAt = (seq: number): Promise<boolean> =>
    eventually(() => (received.at(-1)?.seq ?? 0) >= seq, WAIT_MS);
  return { received, problems, isAt };
}

const isOne = (count: number): boolean => count === 1;

t.test('G20 a cable is pulled under load', { skip, timeout: 120_000 }, async (t) => {
  await runUnderLoad(
    t,
    111,
    async ({ relay, live }) => {
      const place = new FarPlace(t);
      const far = consumeFar(t, place, relay);
      t.ok(await far.isAt(live.lastSeq), 'it reads');
      place.pull();
      t.ok(await untilMetric(relay, CONSUMERS, isOne, WAIT_MS), 'ended');
      const text = await (await fetch(`http://127.0.0.1:${relay.metricsPort}/metrics`)).text();
      const ends = text.split('\n').filter((line) => line.startsWith(ENDS) && !line.endsWith(' 0'));
      // Which of the two sees it first depends on whether bytes wait at that moment.
      t.match(ends.join(), /^\w+\{cause="(too_slow|ping)"\} 1$/);
      place.plug();
      t.ok(await far.isAt(live.lastSeq), 'and back');
      t.same(far.problems, []);
      t.same(checkSame(live.received, far.received), []);
      t.same(live.closeCodes, [], 'nobody else notices');
    },
    env,
  );
});

/** Why not, where root, nft or tc is missing. */
const skipLoss = whyNoBadCable();

t.test(
  'G5 G20 a thin cable that loses packets',
  { skip: skipLoss, timeout: 120_000 },
  async (t) => {
    const { RELAY_API_BIND } = env;
    const trouble = async ({ relay, live }: World): Promise<void> => {
      const place = new FarPlace(t);
      const far = consumeFar(t, place, relay);
      t.ok(await far.isAt(live.lastSeq), 'it reads');
      // Less than what comes: it falls behind, and is not ended for that.
      place.throttle(1000);
      place.lose(10);
      await wait(8000);
      const before = far.received.length;
      t.ok(live.lastSeq > before, `${live.lastSeq - before} behind`);
      place.throttle(100_000);
      t.ok(await far.isAt(live.lastSeq), 'it catches up');
      t.same(far.problems, []);
      t.same(checkSame(live.received, far.received), []);
      t.same(live.closeCodes, [], 'nobody else notices');
      const ends = await relay.metric(`${ENDS}{cause="too_slow"}`);
      t.equal(ends, 0, 'slow is no reason');
    };
    await runUnderLoad(t, 113, trouble, { RELAY_API_BIND });
  },
);

t.test('S31 a cable is pulled in silence', { skip, timeout: 120_000 }, async (t) => {
  const fleet = await Fleet.start({ hostCount: 1, accountsPerHost: 8, seed: 112 });
  t.teardown(() => fleet.stop());
  const relay = await RelayProcess.start({
    env: { ...env, RELAY_PLC_HOST: fleet.directory.url },
  });
  t.teardown(() => relay.dispose());
  const live = new RecordingConsumer(() => relay.streamUrl);
  t.teardown(() => live.stop());
  const [host] = fleet.hosts;
  await relay.crawl(host?.hostname ?? '');
  await eventually(() => host?.readerCount === 1, WAIT_MS);
  for (const account of fleet.accounts) fleet.announce(account);
  t.ok(await eventually(() => live.received.length === fleet.sentCount, WAIT_MS));
  const place = new FarPlace(t);
  const far = consumeFar(t, place, relay);
  t.ok(await far.isAt(live.lastSeq), 'it reads');
  place.pull();
  t.ok(await untilMetric(relay, CONSUMERS, isOne, WAIT_MS), 'ended');
  t.ok((await relay.metric(`${ENDS}{cause="ping"}`)) >= 1, 'by pings');
  for (let i = 0; i < 100; i++) fleet.step();
  t.ok(await eventually(() => live.received.length === fleet.sentCount, WAIT_MS));
  place.plug();
  t.ok(await far.isAt(live.lastSeq), 'and back');
  t.same(far.problems, []);
  t.same(checkSame(live.received, far.received), []);
  t.equal(far.received.length, live.received.length);
});
