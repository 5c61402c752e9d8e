/** S8, D38: bounds on what is asked of a directory. */
import t from 'tap';
import { nextTurn } from '../../lib/base/clock.ts';
import { Lane, type Turn } from '../../lib/identity/lane.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const OPTIONS = { concurrencyMax: 2, queueMax: 3, ratePerSecond: 10, burst: 100 };

t.test('so many at once, the rest in order, one more is turned away', async (t) => {
  const lane = new Lane(OPTIONS, new ManualClock());
  const seen: string[] = [];
  const ask = (name: string) => lane.acquire().then((turn) => seen.push(`${name} ${turn}`));
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) void ask(name);
  await nextTurn();
  t.same(seen.sort(), ['a go', 'b go', 'f full']);
  t.equal(lane.activeCount, 2);
  t.equal(lane.queuedCount, 3);
  seen.length = 0;
  lane.release();
  await nextTurn();
  t.same(seen, ['c go']);
  lane.release();
  lane.release();
  await nextTurn();
  t.same(seen, ['c go', 'd go', 'e go']);
  t.equal(lane.queuedCount, 0);
});

t.test('S8: the token bucket holds the rate and lets a burst through', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane(
    { concurrencyMax: 1000, queueMax: 1000, ratePerSecond: 10, burst: 5 },
    clock,
  );
  let count = 0;
  for (let i = 0; i < 100; i++) void lane.acquire().then(() => count++);
  await nextTurn();
  t.equal(count, 5, 'the burst');
  await clock.advance(1000);
  t.ok(count >= 14 && count <= 15, `${count} after 1 s`);
  await clock.advance(4000);
  t.ok(count >= 53 && count <= 55, `${count} after 5 s`);
  await clock.advance(60_000);
  t.equal(count, 100);
  t.equal(clock.waiterCount(), 0, 'no timer is left behind');
});

t.test('the bucket does not fill beyond the burst, and repeats take from it', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane({ concurrencyMax: 9, queueMax: 9, ratePerSecond: 1, burst: 2 }, clock);
  await clock.advance(3_600_000);
  t.equal(lane.tryRetry(), true);
  t.equal(lane.tryRetry(), true);
  t.equal(lane.tryRetry(), false);
  await clock.advance(1000);
  t.equal(lane.tryRetry(), true);
});

t.test('close turns everybody away and stops the timer', async (t) => {
  const clock = new ManualClock();
  const lane = new Lane({ ...OPTIONS, ratePerSecond: 1, burst: 1 }, clock);
  const turns: Promise<Turn>[] = [lane.acquire(), lane.acquire(), lane.acquire()];
  lane.close();
  t.same(await Promise.all(turns), ['go', 'closed', 'closed']);
  t.equal(await lane.acquire(), 'closed');
  t.equal(clock.waiterCount(), 0);
  lane.release();
  t.throws(() => lane.release(), /released more often/);
});
