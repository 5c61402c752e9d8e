/** What one host may make us ask (LM-11, H150). */
import t from 'tap';
import type { MonoMs } from '../../lib/base/units.ts';
import { HostBudget } from '../../lib/identity/host-budget.ts';

const at = (ms: number): MonoMs => ms as MonoMs;

t.test('LM-11: a burst, then one per token; each host has its own', async (t) => {
  const budget = new HostBudget({ burst: 3, tokenMs: 100, hostsMax: 10 });
  const take = (host: string, ms: number) => budget.take(host, at(ms));
  t.same([take('a', 0), take('a', 0), take('a', 0), take('a', 0)], [true, true, true, false]);
  t.equal(take('b', 0), true);
  t.same([take('a', 99), take('a', 100), take('a', 100)], [false, true, false]);
  t.same(
    [1, 2, 3, 4].map(() => take('a', 100_000)),
    [true, true, true, false],
    'never more than the burst',
  );
});

t.test('G26: bounded, and a spent budget is not forgotten for a flood of names', async (t) => {
  const budget = new HostBudget({ burst: 2, tokenMs: 1000, hostsMax: 4 });
  budget.take('quiet', at(0));
  t.same([budget.take('bad', at(0)), budget.take('bad', at(0))], [true, true]);
  for (let i = 0; i < 100; i++) {
    budget.take(`new${i}`, at(1000 + i * 1000));
    budget.take('bad', at(1000 + i * 1000));
    t.ok(budget.hostCount <= 4);
  }
  t.equal(budget.take('bad', at(100_000)), false, 'it was used all along');
  t.equal(budget.take('quiet', at(100_000)), true);
});
