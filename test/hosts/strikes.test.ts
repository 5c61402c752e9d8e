import t from 'tap';
import { STRIKE_WINDOW_MS, Strikes } from '../../lib/hosts/strikes.ts';

t.test('the third strike within ten minutes closes', async (t) => {
  const strikes = new Strikes();
  t.equal(strikes.add(0), false);
  t.equal(strikes.add(1), false);
  t.equal(strikes.add(STRIKE_WINDOW_MS - 1), true);
  t.equal(strikes.count(STRIKE_WINDOW_MS - 1), 0, 'and the count starts anew');
});

t.test('a strike is forgotten after exactly ten minutes', async (t) => {
  const strikes = new Strikes();
  strikes.add(0);
  strikes.add(1);
  t.equal(strikes.count(STRIKE_WINDOW_MS - 1), 2);
  t.equal(strikes.count(STRIKE_WINDOW_MS), 1);
  t.equal(strikes.add(STRIKE_WINDOW_MS), false);
  t.equal(strikes.add(STRIKE_WINDOW_MS), true);
});

t.test('a slow trickle of bad frames never closes', async (t) => {
  const strikes = new Strikes();
  for (let i = 0; i < 100; i++) t.equal(strikes.add((i * STRIKE_WINDOW_MS) / 2), false);
});
