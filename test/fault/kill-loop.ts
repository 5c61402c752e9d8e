/**
 * The kill -9 loop: a relay under load is killed again and again, at random moments and at each
 * crash point of the log writer, and restarted on the same data. Shared by the short and long test.
 */
import { Prng } from '../../lib/base/prng.ts';
import { CRASH_POINTS } from '../../lib/log/persist-stage.ts';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, checkStream, eventually } from '../helpers/stream-checker.ts';

const SABOTAGE_URL = new URL('./sabotage.ts', import.meta.url).href;

export type KillLoopOptions = {
  readonly kills: number;
  readonly seed: number;
  readonly eventsPerSecond: number;
  readonly env?: Record<string, string>;
  /** A known mistake of sabotage.ts, which the checks must find. */
  readonly sabotage?: 'publish-first' | 'cursor-first';
};

export type KillLoopResult = {
  readonly problems: readonly string[];
  readonly events: number;
  readonly restartMsMax: number;
};

export async function runKillLoop(options: KillLoopOptions): Promise<KillLoopResult> {
  const prng = new Prng(options.seed);
  const fleet = await Fleet.start({ hostCount: 4, accountsPerHost: 8, seed: options.seed });
  const { sabotage } = options;
  const start = (dataDir?: string): Promise<RelayProcess> =>
    RelayProcess.start({
      ...(dataDir === undefined ? {} : { dataDir }),
      env: {
        RELAY_PLC_HOST: fleet.directory.url,
        ...(sabotage === undefined ? {} : { TEST_SABOTAGE: sabotage }),
        ...options.env,
      },
      execArgv: sabotage === undefined ? [] : ['--import', SABOTAGE_URL],
    });
  let relay = await start();
  const { dataDir } = relay;
  const live = new RecordingConsumer(() => relay.streamUrl);
  const stop = new AbortController();
  const problems: string[] = [];
  let restartMsMax = 0;
  try {
    for (const host of fleet.hosts) await relay.crawl(host.hostname);
    await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), 10_000);
    await eventually(() => live.connectCount > 0, 1000);
    const running = fleet.run(options.eventsPerSecond, stop.signal);
    for (let kill = 0; kill < options.kills; kill++) {
      await new Promise((resolve) => setTimeout(resolve, 300 + prng.nextBelow(1200)));
      // One time in two at a crash point, else wherever it is. A mistake has its own bad moment,
      // which lasts almost all the time (sabotage.ts).
      const point = prng.nextBelow(2 * CRASH_POINTS.length);
      if (sabotage === undefined && point < CRASH_POINTS.length) {
        relay.chaos('persistCrash', point + 1);
        await relay.exited;
      } else await relay.kill();
      const startMs = performance.now();
      relay = await start(dataDir);
      restartMsMax = Math.max(restartMsMax, performance.now() - startMs);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
    stop.abort();
    await running;
    const { sentCount } = fleet;
    await eventually(() => live.received.length >= sentCount, 20_000);
    const replay = new RecordingConsumer(() => relay.streamUrl, 0);
    await eventually(() => replay.lastSeq >= live.lastSeq, 10_000);
    const sent = fleet.hosts.map((host) => host.sent);
    problems.push(...checkStream(sent, live.received).problems);
    problems.push(...live.violations.map((text) => `live: ${text}`));
    problems.push(...checkStream(sent, replay.received).problems.map((text) => `replay: ${text}`));
    problems.push(...checkSame(live.received, replay.received));
    const rejects = await relay.rejects();
    if (Object.keys(rejects).length > 0) problems.push(`rejects ${JSON.stringify(rejects)}`);
    replay.stop();
    return { problems, events: sentCount, restartMsMax };
  } finally {
    stop.abort();
    live.stop();
    await relay.dispose();
    await fleet.stop();
  }
}
