/** A relay under load with one consumer, disturbed, then checked: the frame of most fault tests. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkStream, eventually } from '../helpers/stream-checker.ts';

export type World = { fleet: Fleet; relay: RelayProcess; live: RecordingConsumer };

/** A relay under load with one consumer, disturbed by `trouble`, then checked. */
export async function runUnderLoad(
  t: Test,
  seed: number,
  trouble: (world: World) => Promise<void>,
  env: Record<string, string> = {},
  dataDir?: string,
): Promise<World> {
  const fleet = await Fleet.start({ hostCount: 3, accountsPerHost: 8, seed });
  const stop = new AbortController();
  const ends: (() => unknown)[] = [() => fleet.stop()];
  t.teardown(async () => {
    stop.abort();
    for (const end of ends.reverse()) await end();
  });
  const relay = await RelayProcess.start({
    ...(dataDir === undefined ? {} : { dataDir }),
    env: { RELAY_PLC_HOST: fleet.directory.url, ...env },
  });
  // The test may put a restarted relay in its place.
  const world: World = { fleet, relay, live: undefined as never };
  const live = new RecordingConsumer(() => world.relay.streamUrl);
  world.live = live;
  ends.push(() => world.relay.dispose());
  ends.push(() => live.stop());
  ends.push(() => t.passing() || tellLast(world.relay));
  for (const host of fleet.hosts) await relay.crawl(host.hostname);
  await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), 10_000);
  const running = fleet.run(300, stop.signal);
  await eventually(() => live.received.length > 100, 10_000);
  await trouble(world);
  stop.abort();
  await running;
  await eventually(() => live.received.length >= fleet.sentCount, 20_000);
  t.same(
    checkStream(
      fleet.hosts.map((host) => host.truth),
      live.received,
    ).problems,
    [],
  );
  t.same(live.violations, []);
  return world;
}

/** For whoever reads of a failed test: how the relay ended, if it did, and its last words. */
function tellLast({ child, stdout, stderr }: RelayProcess): void {
  const end = child.exitCode ?? child.signalCode ?? 'running';
  console.error(`relay: ${end}\n${stderr.slice(-4000)}\n${stdout.slice(-4000)}`);
}

/** How to reach the embedded PostgreSQL of a relay that runs. */
export function databaseOf(dataDir: string): { host: string; user: string; database: string } {
  const pidFile = readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8');
  return { host: pidFile.split('\n')[4] ?? '', user: 'skyrelay', database: 'postgres' };
}

/** Its process. */
export function postmasterPid(dataDir: string): number {
  const pidFile = readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8');
  return Number(pidFile.split('\n')[0]);
}

/** Waits until one value of /metrics is as wanted; false after `msMax`. */
export async function untilMetric(
  relay: RelayProcess,
  series: string,
  isDone: (value: number) => boolean,
  msMax: number,
): Promise<boolean> {
  const endMs = performance.now() + msMax;
  while (!isDone(await relay.metric(series))) {
    if (performance.now() > endMs) return false;
    await wait(50);
  }
  return true;
}

export const wait = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));
