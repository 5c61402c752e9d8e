/** Networks at their worst between hosts and relay (G9, D4): nothing lost, nothing twice. */
import t, { type Test } from 'tap';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { untilMetric, wait } from '../fault/under-load.ts';
import { BadWire } from '../helpers/bad-wire.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkStream, eventually } from '../helpers/stream-checker.ts';

const WAIT_MS = 30_000;
const PHASE_MS = 3000;
const IDLE_MS = 2000;

type Scene = {
  readonly fleet: Fleet;
  readonly wires: readonly BadWire[];
  readonly relay: RelayProcess;
  readonly live: RecordingConsumer;
};

/** A relay under load whose hosts are all behind bad wires. */
async function run(t: Test, seed: number, trouble: (scene: Scene) => Promise<void>) {
  const fleet = await Fleet.start({ hostCount: 3, accountsPerHost: 8, seed });
  t.teardown(() => fleet.stop());
  const wires: BadWire[] = [];
  for (const host of fleet.hosts) {
    const wire = await BadWire.start(Number(host.hostname.split(':')[1]));
    t.teardown(() => wire.stop());
    wires.push(wire);
    for (const account of fleet.accounts.filter((account) => account.host === host)) {
      const { did, keypair } = account.repo;
      fleet.directory.set(did, keypair, `http://${wire.hostname}`, account.handle);
    }
  }
  const relay = await RelayProcess.start({
    env: {
      RELAY_PLC_HOST: fleet.directory.url,
      RELAY_UPSTREAM_PING: '300ms',
      RELAY_UPSTREAM_IDLE: `${IDLE_MS}ms`,
      RELAY_RECONNECT_MAX: '1s',
      RELAY_DIAL_TIMEOUT: '2s',
    },
  });
  t.teardown(() => relay.dispose());
  const live = new RecordingConsumer(() => relay.streamUrl);
  t.teardown(() => live.stop());
  for (const { hostname } of wires) await relay.crawl(hostname);
  await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), WAIT_MS);
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const running = fleet.run(150, stop.signal);
  t.ok(await eventually(() => live.received.length > 100, WAIT_MS));
  await trouble({ fleet, wires, relay, live });
  stop.abort();
  await running;
  await eventually(() => live.received.length >= fleet.sentCount, WAIT_MS);
  const sent = fleet.hosts.map((host) => host.truth);
  t.same(checkStream(sent, live.received).problems, []);
  t.same(live.violations, []);
  t.same(live.closeCodes, [], 'no consumer notices');
  t.same(await relay.rejects(), {});
}

const catchUp = async (t: Test, { fleet, live }: Scene, what: string): Promise<void> => {
  const goal = fleet.sentCount;
  t.ok(await eventually(() => live.received.length >= goal, WAIT_MS), what);
};

t.test('G9 lines that are slow, thin and in pieces', { timeout: 120_000 }, async (t) => {
  await run(t, 101, async (scene) => {
    const { wires, fleet } = scene;
    const troubles: Record<string, Partial<BadWire>> = {
      latency: { delayMs: 200 },
      'single bytes': { isSlicing: true },
      rate: { bytesPerSecond: 20_000 },
    };
    for (const [what, trouble] of Object.entries(troubles)) {
      for (const wire of wires) Object.assign(wire, trouble);
      await wait(PHASE_MS);
      for (const wire of wires) {
        Object.assign(wire, { delayMs: 0, isSlicing: false, bytesPerSecond: 0 });
      }
      await catchUp(t, scene, what);
    }
    const dials = fleet.hosts.map(({ cursorsSeen }) => cursorsSeen.length);
    t.same(dials, [1, 1, 1], 'none of that ends a connection');
  });
});

t.test('G9 D4 half-open, reset, refused', { timeout: 120_000 }, async (t) => {
  await run(t, 102, async (scene) => {
    const { wires, fleet, relay } = scene;
    const [first] = fleet.hosts;
    const [wire] = wires as [BadWire];
    const accepted = wire.acceptCount;
    wire.goDead();
    const startMs = performance.now();
    t.ok(await eventually(() => wire.acceptCount > accepted, WAIT_MS), 'found by its silence');
    const tookMs = performance.now() - startMs;
    t.ok(tookMs >= IDLE_MS / 2 && tookMs < IDLE_MS * 5, `after ${Math.round(tookMs)} ms`);
    t.ok(await eventually(() => first?.readerCount === 1, WAIT_MS));
    await catchUp(t, scene, 'half-open');
    for (let i = 0; i < 3; i++) {
      for (const each of wires) each.reset();
      await wait(500);
    }
    await catchUp(t, scene, 'reset');
    for (const each of wires) {
      each.isRefusing = true;
      each.reset();
    }
    await wait(PHASE_MS);
    t.ok(fleet.hosts.every(({ readerCount }) => readerCount === 0));
    for (const each of wires) each.isRefusing = false;
    await catchUp(t, scene, 'refused');
    const isAll = (count: number): boolean => count === fleet.hosts.length;
    t.ok(await untilMetric(relay, 'relay_upstream_connections_count', isAll, WAIT_MS));
  });
});
