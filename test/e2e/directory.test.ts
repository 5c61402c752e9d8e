/** The PLC directory in trouble, seen from outside the relay (D23, D24, D25, D37). */
import t, { type Test } from 'tap';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkStream, eventually } from '../helpers/stream-checker.ts';

const WAIT_MS = 60_000;

async function start(t: Test, env: Record<string, string>) {
  const fleet = await Fleet.start({ hostCount: 2, accountsPerHost: 4, seed: 23 });
  const relay = await RelayProcess.start({ env: { RELAY_PLC_HOST: fleet.directory.url, ...env } });
  const live = new RecordingConsumer(() => relay.streamUrl);
  t.teardown(async () => {
    live.stop();
    await relay.dispose();
    await fleet.stop();
  });
  for (const host of fleet.hosts) await relay.crawl(host.hostname);
  await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), WAIT_MS);
  return { fleet, relay, live };
}

/** Polls until it holds; the relay's own page has no other way. */
async function becomes(condition: () => Promise<boolean>): Promise<boolean> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await condition())) {
    if (performance.now() > endMs) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return true;
}

t.test('D23: a directory that swallows all but the first request of a connection', async (t) => {
  // One connection at a time in each thread, so that the next look-up is on the one that is dead.
  const env = { RELAY_IDENTITY_CONCURRENCY: '2', RELAY_IDENTITY_TIMEOUT: '300ms' };
  const { fleet, relay, live } = await start(t, { ...env, RELAY_IDENTITY_HOLD: '10m' });
  const { directory } = fleet;
  directory.fault = 'swallow';
  for (let i = 0; i < 30; i++) fleet.step();
  t.ok(await eventually(() => live.received.length >= fleet.sentCount, WAIT_MS));
  t.ok(directory.swallowedCount > 0, `${directory.swallowedCount} requests were swallowed`);
  const sent = fleet.hosts.map((host) => host.truth);
  t.same(checkStream(sent, live.received).problems, [], 'nothing is lost by it');
  t.same(await relay.rejects(), {});
  t.ok((await relay.metric('relay_identity_resolves_total{outcome="ok"}')) > 0);
});

t.test(
  'D24, D25, D37: the directory is down: nothing unverified passes, all counted',
  async (t) => {
    const { fleet, relay, live } = await start(t, { RELAY_IDENTITY_HOLD: '1s' });
    const { directory } = fleet;
    for (let i = 0; i < 2; i++) fleet.step();
    t.ok(await eventually(() => live.received.length >= fleet.sentCount, WAIT_MS));
    const knownDids = new Set(live.received.map(({ did }) => did));
    const okCount = await relay.metric('relay_identity_resolves_total{outcome="ok"}');
    t.equal(okCount, knownDids.size);

    directory.fault = 'error';
    const before = fleet.sentCount;
    for (let i = 0; i < 40; i++) fleet.step();
    const sent = fleet.hosts.flatMap((host) => host.truth);
    const ofKnown = sent.filter(({ did }) => knownDids.has(did)).length;
    const ofUnknown = sent.length - ofKnown;
    t.ok(ofUnknown > 0 && ofKnown > before, 'there are both');
    t.ok(
      await becomes(async () => {
        const rejects = await relay.rejects();
        const count = Object.values(rejects).reduce((sum, each) => sum + each, 0);
        return count >= ofUnknown && live.received.length >= ofKnown;
      }),
    );
    const strangers = live.received.filter(({ did }) => !knownDids.has(did));
    t.same(strangers, [], 'D37: 0 events of unknown DIDs are published');
    t.equal(live.received.length, ofKnown, 'who is known goes on');
    t.same(await relay.rejects(), { identity_unresolved: ofUnknown }, 'D24: under one label only');
    t.ok((await relay.metric('relay_identity_resolves_total{outcome="http"}')) > 0, 'D25: failed');
    t.equal(await relay.metric('relay_identity_resolves_total{outcome="ok"}'), okCount);

    directory.fault = 'none';
    // It is left alone for a while, in which more frames may be dropped; then all goes on.
    const isStranger = ({ did }: { did: string }): boolean => !knownDids.has(did);
    const isHealed = await becomes(async () => {
      fleet.step();
      return live.received.some(isStranger);
    });
    t.ok(isHealed, 'an event of an account that was unknown passes');
    t.ok((await relay.metric('relay_identity_resolves_total{outcome="ok"}')) > okCount, 'D25: ok');
  },
);
