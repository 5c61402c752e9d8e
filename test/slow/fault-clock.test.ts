/** The wall clock jumps while the relay runs (G21): order, timers, probes and the log do not. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { segmentName } from '../../lib/log/descriptor.ts';
import { listSegments } from '../../lib/log/segments.ts';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { runUnderLoad, untilMetric, type World, wait } from '../fault/under-load.ts';
import { FakeClock, whyNoFakeClock } from '../helpers/fake-clock.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkStream, eventually } from '../helpers/stream-checker.ts';

const skip = whyNoFakeClock();
const WAIT_MS = 30_000;
const JUMPS = ['+1h', '+0', '-1h', '+0', '+1y', '+0'];
const YEAR_S = 365 * 24 * 3600;
/** lib/log/retention-keeper.ts. */
const RETENTION_PASS_MS = 10_000;
const HISTORY_MS = 20_000;

/** What the relay itself takes for now, against ours. */
async function offsetSeconds({ relay }: World): Promise<number> {
  const started = await fetch(`http://127.0.0.1:${relay.metricsPort}/_healthz`);
  return (Date.parse(started.headers.get('date') ?? '') - Date.now()) / 1000;
}

async function checkProbes(t: Test, { relay }: World): Promise<void> {
  for (const path of ['/_healthz', '/_readyz']) {
    const { status } = await fetch(`http://127.0.0.1:${relay.metricsPort}${path}`);
    t.equal(status, 200, path);
  }
}

t.test('G21 an hour and a year, ahead and back', { skip, timeout: 180_000 }, async (t) => {
  const clock = new FakeClock(t);
  // Behind the hosts' clock by an hour, their revs would be in the future (CH-2).
  const env = { ...clock.env, RELAY_REV_FUTURE: '2h', RELAY_UPSTREAM_PING: '1s' };
  const { relay } = await runUnderLoad(
    t,
    95,
    async (world) => {
      const { relay, live, fleet } = world;
      for (const [index, jump] of JUMPS.entries()) {
        clock.set(jump);
        for (let i = 0; i < 4; i++) {
          const before = live.received.length;
          await wait(500);
          t.ok(live.received.length > before, `goes on at ${jump}`);
          await checkProbes(t, world);
        }
        t.match((await offsetSeconds(world)).toFixed(0), jump === '+0' ? /^-?[01]$/ : /\d{4}/);
        // Each in turn: one that ends again and again is left alone for longer and longer.
        const host = fleet.hosts[index % fleet.hosts.length];
        host?.dropReaders();
        await eventually(() => host?.readerCount === 0, WAIT_MS);
        t.ok(await eventually(() => host?.readerCount === 1, 10_000), 'back-off is as ever');
        const durable = await relay.metric('relay_log_durable_seq');
        let saved = 0;
        for (let i = 0; i < 100 && saved < durable; i++) {
          await wait(50);
          saved = await relay.metric('relay_store_checkpoint_seq');
        }
        t.ok(saved >= durable, 'checkpoints too');
      }
      t.same(live.closeCodes, [], 'no consumer was ended');
      const dials = fleet.hosts.map(({ cursorsSeen }) => cursorsSeen.length);
      t.same(dials, [3, 3, 3], 'no other host was taken for dead');
    },
    env,
  );
  t.same(await relay.rejects(), {});
  t.equal(await relay.metric('relay_thread_restarts_total'), 0, 'no thread was taken for dead');
});

t.test('G21 a year ahead: the log is not emptied', { skip, timeout: 120_000 }, async (t) => {
  const clock = new FakeClock(t);
  const env = { ...clock.env, RELAY_SEGMENT_BYTES: '64KiB' };
  await runUnderLoad(
    t,
    96,
    async ({ relay }) => {
      await wait(HISTORY_MS);
      const directory = join(relay.dataDir, 'log');
      const old = listSegments(readdirSync(directory)).map((firstSeq) => {
        const { mtimeMs } = statSync(join(directory, segmentName(firstSeq)));
        return { firstSeq, newestMs: mtimeMs };
      });
      clock.set(`+${YEAR_S}`);
      // The word is given at once; the files go a little later.
      const goneCount = async (): Promise<number> => {
        const oldestSeq = await relay.metric('relay_log_oldest_seq');
        return old.filter(({ firstSeq }) => firstSeq < oldestSeq).length;
      };
      const untilGone = async (count: number): Promise<boolean> => {
        const firstSeq = old[count]?.firstSeq ?? Number.POSITIVE_INFINITY;
        const isPast = (seq: number): boolean => seq >= firstSeq;
        return untilMetric(relay, 'relay_log_oldest_seq', isPast, 2 * RETENTION_PASS_MS);
      };
      t.ok(await untilGone(1), 'they do go');
      await wait(RETENTION_PASS_MS / 2);
      t.equal(await goneCount(), 1, 'one');
      t.ok(await untilGone(2), 'and then');
      await wait(RETENTION_PASS_MS / 4);
      const count = await goneCount();
      // What came of age since the first, and one more.
      const spanMs = (old[count - 2]?.newestMs ?? 0) - (old[0]?.newestMs ?? 0);
      t.ok(spanMs <= RETENTION_PASS_MS + 1000, `${count} of ${old.length}, ${spanMs} ms`);
      t.ok(old.length - count > 10, 'others stay');
    },
    env,
  );
});

t.test('G21 CH-2 an hour behind: counted, none out', { skip, timeout: 120_000 }, async (t) => {
  const clock = new FakeClock(t);
  const fleet = await Fleet.start({ hostCount: 1, accountsPerHost: 4, seed: 97 });
  t.teardown(() => fleet.stop());
  const env = { RELAY_PLC_HOST: fleet.directory.url, ...clock.env };
  const relay = await RelayProcess.start({ env });
  t.teardown(() => relay.dispose());
  const live = new RecordingConsumer(() => relay.streamUrl);
  t.teardown(() => live.stop());
  const [host] = fleet.hosts;
  await relay.crawl(host?.hostname ?? '');
  await eventually(() => host?.readerCount === 1, WAIT_MS);
  for (const account of fleet.accounts) fleet.announce(account);
  t.ok(await eventually(() => live.received.length === fleet.sentCount, WAIT_MS));
  clock.set('-1h');
  const announced = fleet.sentCount;
  for (let i = 0; i < 40; i++) fleet.step();
  let rejected = 0;
  for (let i = 0; i < 200 && live.received.length + rejected < fleet.sentCount; i++) {
    await wait(50);
    rejected = (await relay.rejects())['commit_rev_future'] ?? 0;
  }
  t.ok(rejected > 0, `${rejected} of ${fleet.sentCount - announced}`);
  t.equal(live.received.length + rejected, fleet.sentCount, 'each is passed on or counted');
  clock.set('+0');
  const before = live.received.length;
  for (let i = 0; i < 40; i++) fleet.step();
  t.ok(await eventually(() => live.received.length === before + 40, WAIT_MS), 'as ever again');
  t.same(Object.keys(await relay.rejects()), ['commit_rev_future']);
  t.same(live.violations, []);
  const { problems } = checkStream(
    fleet.hosts.map(({ truth }) => truth),
    live.received,
  );
  t.same(problems.length, 1, 'nothing twice, nothing by nobody');
  t.match(problems[0], new RegExp(`^${rejected} of ${fleet.sentCount} frames never arrived`));
});
