import t from 'tap';
import { type Ticked, Ticker } from '../../lib/upstream/idle.ts';
import { ControlBudget, Pulse, ReadingTime } from '../../lib/upstream/pulse.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

class Entry implements Ticked {
  dueMs: number;
  ranMs: number[] = [];
  onRun: () => void = () => {};

  constructor(dueMs: number) {
    this.dueMs = dueMs;
  }

  onDue(nowMs: number): void {
    this.ranMs.push(nowMs);
    this.dueMs = Number.POSITIVE_INFINITY;
    this.onRun();
  }
}

const TICKER = { periodMs: 100, duePerTickMax: 256 };

t.test('C8: one timer serves any number of entries, each runs once when due', async (t) => {
  const clock = new ManualClock();
  const ticker = new Ticker(clock, TICKER);
  const entries = Array.from({ length: 1000 }, (_, i) => new Entry(i));
  for (const entry of entries) ticker.add(entry);
  t.equal(clock.waiterCount(), 1);
  await clock.advance(1200);
  for (const entry of entries) t.equal(entry.ranMs.length, 1);
  t.ok(entries.every((entry, i) => (entry.ranMs[0] ?? 0) >= i && (entry.ranMs[0] ?? 0) < i + 200));
  ticker.stop();
  t.equal(clock.waiterCount(), 0);
});

t.test('a suspended machine or a stall counts as one second, not as silence', async (t) => {
  const clock = new ManualClock();
  const ticker = new Ticker(clock, TICKER);
  await clock.advance(1000);
  const before = ticker.nowMs;
  // The process is stopped for ten minutes: the next tick comes late.
  const stalled = new ManualClock(clock.monoMs(), clock.epochMs());
  await stalled.advance(600_000);
  clock.monoMs = () => stalled.monoMs();
  await clock.advance(100);
  t.ok(ticker.nowMs - before <= 1000, `${ticker.nowMs - before}`);
});

t.test('work per tick is bounded, and nobody is left out for ever', async (t) => {
  const clock = new ManualClock();
  const ticker = new Ticker(clock, { periodMs: 100, duePerTickMax: 10 });
  const entries = Array.from({ length: 95 }, () => new Entry(0));
  for (const entry of entries) ticker.add(entry);
  await clock.advance(100);
  t.equal(entries.filter((entry) => entry.ranMs.length === 1).length, 10);
  await clock.advance(900);
  t.ok(entries.every((entry) => entry.ranMs.length === 1));
});

t.test('an entry that stays due cannot starve the others', async (t) => {
  const clock = new ManualClock();
  const ticker = new Ticker(clock, { periodMs: 100, duePerTickMax: 1 });
  const greedy = new Entry(0);
  greedy.onRun = () => {
    greedy.dueMs = 0;
  };
  const modest = new Entry(0);
  ticker.add(greedy);
  ticker.add(modest);
  await clock.advance(300);
  t.equal(modest.ranMs.length, 1);
});

t.test('an entry may remove itself or others while the tick runs', async (t) => {
  const clock = new ManualClock();
  const ticker = new Ticker(clock, TICKER);
  const [a, b, c] = [new Entry(0), new Entry(0), new Entry(0)];
  a.onRun = () => {
    ticker.remove(a);
    ticker.remove(b);
  };
  for (const entry of [a, b, c]) ticker.add(entry);
  await clock.advance(100);
  t.same([a.ranMs.length, b.ranMs.length, c.ranMs.length], [1, 0, 1]);
  t.equal(ticker.entryCount, 1);
  ticker.remove(a);
  t.equal(ticker.entryCount, 1, 'removing twice is harmless');
  ticker.remove(c);
  t.equal(ticker.entryCount, 0);
});

t.test('FR-12, S31: silence brings two pings, then the end', async (t) => {
  const pulse = new Pulse(0, { pingMs: 30, idleMs: 75 });
  t.equal(pulse.poll(29), 'wait');
  t.equal(pulse.poll(30), 'ping');
  t.equal(pulse.poll(59), 'wait');
  t.equal(pulse.poll(60), 'ping');
  t.equal(pulse.poll(74), 'wait');
  t.equal(pulse.poll(75), 'dead');
});

t.test('S31: a byte in time, from whatever frame, keeps it alive', async (t) => {
  const pulse = new Pulse(0, { pingMs: 30, idleMs: 75 });
  for (let nowMs = 30; nowMs < 10_000; nowMs += 10) {
    t.not(pulse.poll(nowMs), 'dead');
    if (nowMs % 70 === 0) pulse.hear(nowMs);
  }
});

t.test('S31: reading time stands still while stopped, and nothing due is lost', async (t) => {
  const time = new ReadingTime(1000);
  t.equal(time.now(1010), 10);
  t.equal(time.toTicker(75), 1075);
  time.stop(1010);
  time.stop(1500);
  t.equal(time.now(999_999), 10);
  t.equal(time.toTicker(75), Number.POSITIVE_INFINITY);
  time.run(2010);
  time.run(3000);
  t.equal(time.now(2010), 10);
  t.equal(time.toTicker(75), 2075, 'as much time left as before');
});

t.test('S28: ten control frames a second, the eleventh at once is one too many', async (t) => {
  const budget = new ControlBudget(10, 0);
  for (let i = 0; i < 10; i++) t.equal(budget.take(0), true);
  t.equal(budget.take(0), false);
  const steady = new ControlBudget(10, 0);
  for (let i = 1; i < 1000; i++) t.equal(steady.take(i * 100), true, 'at the rate for ever');
});

t.test('S28: pings that collected while we did not read are no flood', async (t) => {
  const budget = new ControlBudget(10, 0);
  budget.grant(600_000);
  for (let i = 0; i < 20; i++) t.equal(budget.take(600_000), true, 'one per half minute');
  const flooded = new ControlBudget(10, 0);
  flooded.grant(1000);
  let taken = 0;
  while (flooded.take(1000)) taken++;
  t.equal(taken, 20, 'but a flood stays one');
});
