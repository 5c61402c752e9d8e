/** A short form of test/slow/readers.test.ts: the same crowd over a real log, only smaller. */
import t from 'tap';
import { KiB, MiB } from '../../lib/base/units.ts';
import { HABITS } from './crowd/habits.ts';
import { Rig, sleep, until } from './crowd/rig.ts';

const SIZES = [300, 2000, 5000, 9000, 700];

t.test('G5, G20, G26: six habits at once, each whole or ended once', async (t) => {
  const hub = { stallMsMax: 5000, closeMsMax: 500, sweepMs: 50 };
  const rig = await new Rig({ hub, segmentBytesMax: 4 * MiB }).start();
  t.teardown(() => rig.stop());
  rig.feed({ total: 3000, sizes: SIZES });
  const { rssBytes } = await rig.fed();
  rig.watch();
  const habits = HABITS.filter((habit) => habit !== 'pinging');
  for (const habit of habits) await rig.open(habit, 3, habit === 'behind' ? '?cursor=0' : '');
  rig.feed({ perSecond: 1000, total: 6000, sizes: SIZES });
  const { headSeq } = await rig.fed();
  t.equal(headSeq, 9000);
  const isRead = async (): Promise<boolean> => {
    const { fast, behind, chatty } = await rig.report();
    return [fast, behind, chatty].every((group) => group?.lastSeqMin === headSeq);
  };
  t.ok(await until(isRead, 20_000), 'who reads gets all');
  const isEnded = async (): Promise<boolean> => ((await rig.stats()).ends['too_slow'] ?? 0) >= 3;
  t.ok(await until(isEnded, 20_000), 'who does not is ended');
  // One that does not read does not see its end either.
  rig.wake('mute', 'trickle', 'bursty');
  const isOver = async (): Promise<boolean> => {
    const [groups, { consumers }] = [await rig.report(), await rig.stats()];
    const open = habits.reduce((sum, habit) => sum + (groups[habit]?.open ?? 0), 0);
    const isCaughtUp = groups.bursty?.lastSeqMin === headSeq;
    return isCaughtUp && groups.mute?.open === 0 && consumers === open;
  };
  t.ok(await until(isOver, 20_000), 'the gauge is the number of sockets');
  const groups = await rig.report();
  for (const habit of habits) t.same(groups[habit]?.problems, [], habit);
  t.equal(groups.behind?.firstSeq, 1);
  t.equal((groups.mute?.resets ?? 0) + (groups.mute?.told ?? 0), 3, 'each has seen one end');
  t.equal(groups.bursty?.open, 3, 'a pause is no reason');
  const { ends, consumers } = await rig.stats();
  t.equal(ends['too_slow'], 3 * habits.length - consumers);
  const perReader = (rig.rssBytesMax - rssBytes) / (3 * habits.length);
  t.comment(`${Math.round(perReader / KiB)} KiB per reader`);
});

t.test('D29: frames of 5 MB to a client that pings at 20 Hz', async (t) => {
  const rig = await new Rig({ framesPerSecondMax: 1000 }).start();
  t.teardown(() => rig.stop());
  await rig.open('pinging', 1);
  rig.feed({ perSecond: 4, total: 16, sizes: [4_990_000, 300, 4_999_000, 70_000] });
  await rig.fed();
  await until(async () => (await rig.report()).pinging?.lastSeqMin === 16, 20_000);
  await sleep(200);
  const { pinging } = await rig.report();
  t.same(pinging?.problems, []);
  t.equal(pinging?.events, 16);
  t.ok((pinging?.pongs ?? 0) > 20, `${pinging?.pongs} pongs to ${pinging?.pings} pings`);
});
