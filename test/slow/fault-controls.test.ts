/** Known mistakes, put into a relay while it loads: the checks of the kill loop must find them. */
import t from 'tap';
import { runKillLoop } from '../fault/kill-loop.ts';

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
