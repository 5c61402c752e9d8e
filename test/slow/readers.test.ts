/**
 * The log and its readers, at length. Environment:
 *
 *   TEST_READER_ROUNDS    rounds with and without the slow ones (5)
 *   TEST_READER_SECONDS   seconds of each (15)
 *   TEST_BEHIND_GIB       how far behind a consumer starts, in GiB (1; the long form is 10)
 *   TEST_PING_SECONDS     seconds of large frames to a client that pings (60; the long form is 600)
 *   TEST_LOG_DIR          where the log goes (temporary files)
 */
import t from 'tap';
import { GiB, KiB, MiB } from '../../lib/base/units.ts';
import { median } from '../bench/rounds.ts';
import { HABITS, type Habit } from '../broadcast/crowd/habits.ts';
import { Rig, sleep, until } from '../broadcast/crowd/rig.ts';

const ROUNDS = Number(process.env['TEST_READER_ROUNDS'] ?? 5);
const SECONDS = Number(process.env['TEST_READER_SECONDS'] ?? 15);
const BEHIND_BYTES = Number(process.env['TEST_BEHIND_GIB'] ?? 1) * GiB;
const PING_SECONDS = Number(process.env['TEST_PING_SECONDS'] ?? 60);
const EACH = 40;
const SIZES = [300, 2000, 5000, 9000, 700, 13_000];
const SLOW: readonly Habit[] = ['trickle', 'mute', 'bursty', 'behind', 'chatty'];
const FOREVER = 1e9;
/** What a test of minutes may take longer on a machine that is busy. */
const SLACK_MS = 600_000;

t.test('G5, G20, G26: 240 readers of six kinds', { timeout: SLACK_MS * 2 }, async (t) => {
  // So short that those who do not read are ended within a round, one way or the other.
  const hub = { stallMsMax: Math.min(20_000, SECONDS * 500) };
  const rig = await new Rig({
    hub,
    retentionBytesMax: 24 * MiB,
    segmentBytesMax: 2 * MiB,
  }).start();
  t.teardown(() => rig.stop());
  rig.feed({ total: 20_000, sizes: SIZES });
  await rig.fed();
  rig.feed({ perSecond: 200, total: FOREVER, sizes: SIZES });
  await rig.open('fast', EACH);
  await sleep(3000);
  const base = await rig.stats();
  rig.watch();
  const alone: number[] = [];
  const crowded: number[] = [];
  const problems: string[] = [];
  const note = async (habits: readonly Habit[]): Promise<void> => {
    const groups = await rig.report();
    for (const habit of habits) problems.push(...(groups[habit]?.problems ?? ['missing']));
    t.equal(groups.fast?.open, EACH, 'no live reader was ended');
  };
  const p99 = async (): Promise<number> => {
    rig.measure();
    await sleep(SECONDS * 1000);
    return (await rig.report()).fast?.delayMsP99 ?? Number.NaN;
  };
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await p99());
    // Those who trickle from the oldest on are overtaken by retention.
    const fromOldest: readonly Habit[] = ['behind', 'trickle'];
    for (const habit of SLOW) {
      await rig.open(habit, EACH, fromOldest.includes(habit) ? '?cursor=0' : '');
    }
    crowded.push(await p99());
    rig.wake('mute', 'trickle', 'bursty');
    const isOver = async (): Promise<boolean> => {
      const [groups, stats] = [await rig.report(), await rig.stats()];
      const open = HABITS.reduce((sum, habit) => sum + (groups[habit]?.open ?? 0), 0);
      return stats.consumers === open;
    };
    t.ok(await until(isOver, 60_000), 'the gauge is the number of sockets');
    await note(['fast', ...SLOW]);
    rig.leave(...SLOW);
    await until(async () => (await rig.stats()).consumers === EACH, 30_000);
    await sleep(2000);
  }
  t.same(problems, [], 'contiguous, or one clean end');
  const text = (values: readonly number[]): string => values.map((ms) => ms.toFixed(1)).join(', ');
  t.comment(`p99 of live readers alone ${text(alone)} ms, crowded ${text(crowded)} ms`);
  const [own, other] = [median(alone), median(crowded)];
  t.ok(
    other <= 2 * own || other <= own + 10,
    `p99 ${other.toFixed(1)} ms, alone ${own.toFixed(1)}`,
  );
  const perReader = (rig.rssBytesMax - base.rssBytes) / (SLOW.length * EACH);
  t.ok(perReader <= MiB, `${Math.round(perReader / KiB)} KiB of memory per reader at most`);
  const { ends } = await rig.stats();
  t.comment(JSON.stringify(ends));
  t.ok((ends['too_slow'] ?? 0) >= EACH, 'those who take nothing were ended');
  t.ok((ends['retention'] ?? 0) > 0, 'and those whom retention overtook');
});

t.test('G5: one that is gigabytes behind reaches live', { timeout: SLACK_MS * 3 }, async (t) => {
  const rig = await new Rig({ segmentBytesMax: 256 * MiB, tailRingBytes: 64 * MiB }).start();
  t.teardown(() => rig.stop());
  const eventBytes = 5 * KiB;
  const total = Math.ceil(BEHIND_BYTES / eventBytes);
  const fillMs = performance.now();
  rig.feed({ total, sizes: [eventBytes] });
  const { headSeq } = await rig.fed();
  t.equal(headSeq, total);
  const gib = (BEHIND_BYTES / GiB).toFixed(1);
  t.comment(`${gib} GiB written in ${((performance.now() - fillMs) / 1000).toFixed(1)} s`);
  await rig.open('fast', 1);
  rig.feed({ perSecond: 2000, total: FOREVER, sizes: [eventBytes] });
  rig.measure();
  await sleep(5000);
  const quiet = (await rig.report()).fast?.delayMsP99 ?? Number.NaN;
  rig.measure();
  const startMs = performance.now();
  await rig.open('behind', 1, '?cursor=0');
  // Live: no further behind than the one that always was, give or take what comes meanwhile.
  const isLive = async (): Promise<boolean> => {
    const { behind, fast } = await rig.report();
    return (behind?.lastSeqMin ?? 0) >= (fast?.lastSeqMin ?? FOREVER) - 200;
  };
  t.ok(await until(isLive, SLACK_MS * 2), 'it reaches live');
  const seconds = (performance.now() - startMs) / 1000;
  const { behind, fast } = await rig.report();
  const mibPerSecond = ((behind?.bytes ?? 0) / MiB / seconds).toFixed(0);
  t.comment(
    `live after ${seconds.toFixed(1)} s, ${mibPerSecond} MiB/s, at seq ${behind?.lastSeqMin}`,
  );
  const p99 = fast?.delayMsP99.toFixed(1);
  t.comment(`live reader: p99 ${p99} ms meanwhile, ${quiet.toFixed(1)} ms before`);
  t.equal(behind?.firstSeq, 1);
  await sleep(3000);
  const after = await rig.report();
  t.same([...(after.behind?.problems ?? []), ...(after.fast?.problems ?? [])], []);
  t.ok((after.behind?.lastSeqMin ?? 0) > (behind?.lastSeqMin ?? 0), 'and stays live');
});

const pingTimeout = PING_SECONDS * 1000 + SLACK_MS;
t.test('D29: 5 MB frames, 20 pings a second', { timeout: pingTimeout }, async (t) => {
  const rig = await new Rig({
    framesPerSecondMax: 1000,
    segmentBytesMax: 64 * MiB,
    retentionBytesMax: 256 * MiB,
  }).start();
  t.teardown(() => rig.stop());
  await rig.open('pinging', 1);
  await rig.open('fast', 1);
  const total = PING_SECONDS * 2;
  rig.feed({ perSecond: 2, total, sizes: [4_990_000, 300, 4_999_000, 70_000] });
  await rig.fed();
  const isRead = async (): Promise<boolean> => {
    const { pinging, fast } = await rig.report();
    return pinging?.lastSeqMin === total && fast?.lastSeqMin === total;
  };
  t.ok(await until(isRead, SLACK_MS));
  await sleep(500);
  const { pinging, fast } = await rig.report();
  t.same([...(pinging?.problems ?? []), ...(fast?.problems ?? [])], []);
  t.equal(pinging?.open, 1);
  t.equal(pinging?.events, total);
  t.comment(`${pinging?.pongs} pongs to ${pinging?.pings} pings, ${total} frames`);
  t.ok((pinging?.pongs ?? 0) > PING_SECONDS, 'pings are answered between them');
});
