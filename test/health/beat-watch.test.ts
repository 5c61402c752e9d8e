import t from 'tap';
import { BeatWatch, type StallReport, StallWatch } from '../../lib/health/beat-watch.ts';

t.test('the age of a heartbeat is the time since it was seen to move', async (t) => {
  const watch = new BeatWatch();
  t.same(watch.observe([5, 5], 1000), [0, 0]);
  t.same(watch.observe([6, 5], 1200), [0, 200]);
  t.same(watch.observe([6, 5], 2000), [800, 1000]);
  t.same(watch.observe([6, 6], 2200), [1000, 0]);
});

t.test('a counter that wraps or starts again still moves', async (t) => {
  const watch = new BeatWatch();
  watch.observe([2 ** 31 - 1], 0);
  t.same(watch.observe([-(2 ** 31)], 1000), [0]);
  t.same(watch.observe([0], 1500), [0]);
});

t.test('time in which the watcher itself stood still is not held against anyone', async (t) => {
  const watch = new BeatWatch();
  watch.observe([1], 0);
  t.same(watch.observe([1], 200), [200]);
  t.same(watch.observe([1], 60_200), [200], 'SIGSTOP for a minute');
  t.same(watch.observe([1], 61_400), [1400], 'a busy second is no suspension');
});

t.test('A9: a stall is told after 1 s, at each doubling, and at its end', async (t) => {
  const watch = new StallWatch();
  const reports: StallReport[] = [];
  for (let ms = 0; ms <= 9000; ms += 250) {
    const report = watch.observe(ms);
    if (report !== undefined) reports.push(report);
  }
  t.same(reports, [
    { kind: 'begun', seconds: 1 },
    { kind: 'continues', seconds: 2 },
    { kind: 'continues', seconds: 4 },
    { kind: 'continues', seconds: 8 },
  ]);
  t.same(watch.observe(0), { kind: 'ended', seconds: 9 });
  t.equal(watch.observe(0), undefined);
  t.equal(watch.observe(999), undefined);
  t.same(watch.observe(0), undefined, 'less than a second is no stall');
  t.same(watch.observe(5000), { kind: 'begun', seconds: 5 }, 'seen late');
  t.same(watch.observe(7999), undefined);
  t.same(watch.observe(8000), { kind: 'continues', seconds: 8 });
});
