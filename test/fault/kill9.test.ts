/**
 * kill -9 under load: no seq reused, nothing missing, nothing doubled (G1, G9, G10, G13). The short
 * form of test/slow/kill9.test.ts; that its checks find known mistakes, test/slow/fault-controls.test.ts.
 */
import t from 'tap';
import { runKillLoop } from './kill-loop.ts';

t.test('G1 G9 G13 three kills under load', { timeout: 120_000 }, async (t) => {
  const result = await runKillLoop({ kills: 3, seed: 11, eventsPerSecond: 300 });
  t.same(result.problems, []);
  t.ok(result.events > 300, `${result.events} events`);
  t.comment(`slowest restart ${Math.round(result.restartMsMax)} ms`);
});
