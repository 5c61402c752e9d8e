/**
 * The kill -9 loop: a relay under load is killed again and again, at random moments, at each crash
 * point of the log writer, while it starts and recovers, and now and then together with its
 * PostgreSQL; then restarted on the same data. Shared by the short and the long tests.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Prng } from '../../lib/base/prng.ts';
import { CRASH_POINTS } from '../../lib/log/persist-stage.ts';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, checkStream, eventually } from '../helpers/stream-checker.ts';
import { Crowd } from './crowd.ts';
import { postmasterPid } from './under-load.ts';

const SABOTAGE_URL = new URL('./sabotage.ts', import.meta.url).href;

export type KillLoopOptions = {
  readonly kills: number;
  readonly seed: number;
  readonly eventsPerSecond: number;
  readonly env?: Record<string, string>;
  /** A known mistake of sabotage.ts, which the checks must find. */
  readonly sabotage?: 'publish-first' | 'cursor-first';
  /** Slow, stalled and bursting consumers beside the careful one. */
  readonly hasCrowd?: boolean;
  /** Made anew by default; then it is also removed. */
  readonly dataDir?: string;
  /** Another trouble, before each kill. */
  readonly beforeKill?: (prng: Prng) => void;
  /** Ends it, before the start that must succeed; a start that is killed still meets it. */
  readonly calm?: () => void;
};

export type KillLoopResult = {
  readonly problems: readonly string[];
  readonly events: number;
  readonly restartMsMax: number;
  /** How often each kind of moment was chosen. */
  readonly moments: Readonly<Record<string, number>>;
};

/** Nothing new for this long: what is missing does not come any more. */
const SILENCE_MS = 20_000;
const START_MS_MAX = 1000;
const CRASH_MS_MAX = 3000;
const CHECKPOINT_MS_MAX = 15_000;
/** One kill in this many takes PostgreSQL along, as when the machine is reset. */
const WITH_DATABASE_ONE_IN = 12;

/** Compiled code that starts share, which makes a start three times as fast. */
async function warmCache(env: Record<string, string>): Promise<string> {
  const given = process.env['NODE_COMPILE_CACHE'];
  if (given !== undefined) return given;
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-compiled-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  // It is written at a clean end only.
  const relay = await RelayProcess.start({ env: { ...env, NODE_COMPILE_CACHE: directory } });
  await relay.dispose();
  process.env['NODE_COMPILE_CACHE'] = directory;
  return directory;
}

export async function runKillLoop(options: KillLoopOptions): Promise<KillLoopResult> {
  const { sabotage } = options;
  const prng = new Prng(options.seed);
  // So many accounts that none comes near the limit of #identity events, replayed in a hurry (H152).
  const fleet = await Fleet.start({ hostCount: 4, accountsPerHost: 16, seed: options.seed });
  const env: Record<string, string> = { RELAY_PLC_HOST: fleet.directory.url, ...options.env };
  if (sabotage === undefined) env['NODE_COMPILE_CACHE'] = await warmCache(env);
  else env['TEST_SABOTAGE'] = sabotage;
  const execArgv = sabotage === undefined ? [] : ['--import', SABOTAGE_URL];
  let relay = await RelayProcess.start({
    ...(options.dataDir === undefined ? {} : { dataDir: options.dataDir }),
    env,
    execArgv,
  });
  const lives = [relay];
  const { dataDir } = relay;
  let { streamUrl } = relay;
  const live = new RecordingConsumer(() => streamUrl);
  const crowd = options.hasCrowd === true ? new Crowd(() => streamUrl, options.seed) : undefined;
  const stop = new AbortController();
  const problems: string[] = [];
  const moments: Record<string, number> = {};
  let restartMsMax = 0;
  const restart = async (): Promise<void> => {
    const startMs = performance.now();
    relay = await RelayProcess.start({ dataDir, env, execArgv });
    lives.push(relay);
    restartMsMax = Math.max(restartMsMax, performance.now() - startMs);
    ({ streamUrl } = relay);
  };
  const strike = async (): Promise<void> => {
    const killed = await strikeOnce(relay, {
      prng,
      isSabotaged: sabotage !== undefined,
      seenSeq: live.lastSeq,
      launch: () => RelayProcess.launch({ dataDir, env, execArgv }),
      note: (moment) => count(moments, moment),
    });
    if (killed !== relay) lives.push(killed);
  };
  try {
    problems.push(...(await meetHosts(fleet, relay, live)));
    const running = fleet.run(options.eventsPerSecond, stop.signal);
    for (let kill = 0; kill < options.kills; kill++) {
      options.beforeKill?.(prng);
      await strike();
      options.calm?.();
      await restart();
    }
    await pause(1000);
    stop.abort();
    await running;
    problems.push(...(await findProblems(fleet, live, () => streamUrl)));
    if (crowd !== undefined) problems.push(...(await crowd.finish(live)));
    const rejects = await relay.rejects();
    if (Object.keys(rejects).length > 0) problems.push(`rejects ${JSON.stringify(rejects)}`);
    if (problems.length > 0) problems.push(keepOutput(lives, options.seed, fleet));
    return { problems, events: fleet.sentCount, restartMsMax, moments };
  } finally {
    stop.abort();
    live.stop();
    crowd?.stop();
    options.calm?.();
    await relay.dispose();
    await fleet.stop();
  }
}

type Strike = {
  readonly prng: Prng;
  readonly isSabotaged: boolean;
  /** What the careful consumer has. */
  readonly seenSeq: number;
  launch(): RelayProcess;
  /** Told which kind of moment was chosen. */
  note(moment: string): void;
};

/**
 * Ends a relay the hard way: one in four at a crash point, one in four at a start, else wherever it
 * is. A mistake has its own bad moment, which lasts almost all the time (sabotage.ts), once frames
 * flow. Returns the life that ended last.
 */
async function strikeOnce(relay: RelayProcess, strike: Strike): Promise<RelayProcess> {
  const { prng, isSabotaged, note } = strike;
  const dice = isSabotaged ? 3 : prng.nextBelow(4);
  // Some lives are long enough to save cursors, or every start would begin at the first ones.
  if (prng.nextBelow(3) === 0 && (await hasSaved(relay, strike.seenSeq))) {
    note('after a checkpoint');
  }
  let killed = relay;
  if (dice === 0) {
    await pause(prng.nextBelow(400));
    const point = prng.nextBelow(CRASH_POINTS.length);
    note(CRASH_POINTS[point] as string);
    relay.chaos('persistCrash', point + 1);
    // It is not passed where nothing is written: the disk may be full.
    const isReached = await Promise.race([relay.exited, pause(CRASH_MS_MAX)]);
    if (isReached === undefined) {
      note('crash point not reached');
      await relay.kill();
    }
  } else if (dice === 1) {
    // Stopped hard once more, for there to be a start.
    await relay.kill();
    killed = strike.launch();
    await pause(prng.nextBelow(START_MS_MAX));
    note('start');
    await killed.kill();
  } else {
    await pause(isSabotaged ? 300 + prng.nextBelow(1200) : prng.nextBelow(700));
    note('anywhere');
    await relay.kill();
  }
  if (!isSabotaged && prng.nextBelow(WITH_DATABASE_ONE_IN) === 0) {
    note('with PostgreSQL');
    killDatabase(relay.dataDir);
  }
  return killed;
}

/** Has every host crawled, and an event of each delivered. */
async function meetHosts(
  fleet: Fleet,
  relay: RelayProcess,
  live: RecordingConsumer,
): Promise<string[]> {
  for (const host of fleet.hosts) await relay.crawl(host.hostname);
  await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), 10_000);
  await eventually(() => live.connectCount > 0, 1000);
  // Known from their first event on: before, a host is asked without a cursor (SQ-16), and what it
  // sent to a relay that died is in the past.
  for (const host of fleet.hosts) {
    const account = fleet.accounts.find((candidate) => candidate.host === host);
    if (account !== undefined) fleet.announce(account);
  }
  const isKnown = await eventually(() => live.received.length >= fleet.sentCount, 30_000);
  return isKnown ? [] : ['not all hosts were read before the first kill'];
}

/** Everything was delivered once, in order, and a replay of all is the same. */
async function findProblems(
  fleet: Fleet,
  live: RecordingConsumer,
  url: () => string,
): Promise<string[]> {
  await untilSilent(() => live.received.length, fleet.sentCount);
  const replay = new RecordingConsumer(url, 0);
  await untilSilent(() => replay.lastSeq, live.lastSeq);
  replay.stop();
  const sent = fleet.hosts.map((host) => host.sent);
  return [
    ...checkStream(sent, live.received).problems,
    ...live.violations.map((text) => `live: ${text}`),
    ...checkStream(sent, replay.received).problems.map((text) => `replay: ${text}`),
    ...replay.violations.map((text) => `replay: ${text}`),
    ...checkSame(live.received, replay.received),
  ];
}

/** Waits for a checkpoint that covers `seq`; false when the disk or the machine is too slow. */
async function hasSaved(relay: RelayProcess, seq: number): Promise<boolean> {
  const endMs = performance.now() + CHECKPOINT_MS_MAX;
  while (performance.now() < endMs) {
    if ((await relay.metric('relay_store_checkpoint_seq')) >= seq) return true;
    await pause(100);
  }
  return false;
}

/** Waits for `value` to reach `goal`, as long as it moves. */
export async function untilSilent(value: () => number, goal: number): Promise<boolean> {
  for (let last = -1; value() < goal && value() !== last; ) {
    last = value();
    await eventually(() => value() >= goal || value() !== last, SILENCE_MS);
  }
  return value() >= goal;
}

/** The output of every life of the relay goes to a file that stays; says where it is. */
function keepOutput(lives: readonly RelayProcess[], seed: number, fleet: Fleet): string {
  const path = join(mkdtempSync(join(tmpdir(), 'skyrelay-killed-')), `seed-${seed}.log`);
  const hosts = fleet.hosts.map(({ hostname, cursorsSeen, closeCodes, readerCount }) => {
    return JSON.stringify({ hostname, cursorsSeen, closeCodes, readerCount });
  });
  const texts = lives.map(({ stdout, stderr }, life) => `life ${life}\n${stdout}${stderr}`);
  writeFileSync(path, [...hosts, ...texts].join('\n'));
  return `seed ${seed}, output kept in ${path}`;
}

function killDatabase(dataDir: string): void {
  try {
    const pid = postmasterPid(dataDir);
    if (pid > 1) process.kill(pid, 'SIGKILL');
  } catch {
    // It is not there: killed while it started.
  }
}

function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
