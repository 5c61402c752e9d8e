/** kill -9 under load: no seq reused, nothing missing, nothing doubled (G1, G9, G10, G13). */
import t from 'tap';
import { runKillLoop } from './kill-loop.ts';

t.test('G1 G9 G13 three kills under load', { timeout: 120_000 }, async (t) => {
  const result = await runKillLoop({ kills: 3, seed: 11, eventsPerSecond: 300 });
  t.same(result.problems, []);
  t.ok(result.events > 300, `${result.events} events`);
  t.comment(`slowest restart ${Math.round(result.restartMsMax)} ms`);
});

t.test('negative control: published before it was written', { timeout: 120_000 }, async (t) => {
  const options = { kills: 5, seed: 12, eventsPerSecond: 200, sabotage: 'publish-first' } as const;
  const { problems } = await runKillLoop(options);
  t.match(problems.join('\n'), /names two byte strings|sent by nobody|follows|after/);
});

t.test('negative control: cursor saved before the log', { timeout: 120_000 }, async (t) => {
  const options = { kills: 3, seed: 13, eventsPerSecond: 200, sabotage: 'cursor-first' } as const;
  const { problems } = await runKillLoop(options);
  t.match(problems.join('\n'), /never arrived/);
});
