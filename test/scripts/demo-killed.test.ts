/** What ends a demo or its relay from outside: the rest goes too. */
import t from 'tap';
import { eventually } from '../helpers/stream-checker.ts';
import { childOf, SMALL, startDemo } from './demo-run.ts';

t.setTimeout(100_000);

t.test('killed, its relay and database go too', { timeout: 60_000 }, async (t) => {
  const run = startDemo(t, [...SMALL, '--seconds', '0']);
  t.ok(await eventually(() => /^1 s \|/m.test(run.output), 60_000));
  run.child.kill('SIGKILL');
  await run.exited;
  const isGone = (): boolean => run.leftovers().length === 0;
  t.ok(await eventually(isGone, 20_000), run.leftovers().join('\n'));
});

t.test('a relay that dies is a failure', { timeout: 60_000 }, async (t) => {
  const run = startDemo(t, [...SMALL, '--seconds', '0']);
  t.ok(await eventually(() => /^1 s \|/m.test(run.output), 60_000));
  process.kill(childOf(run.child.pid ?? 0), 'SIGKILL');
  t.equal(await run.exited, 1, run.output);
  t.match(run.output, /WRONG: the relay ended with SIGKILL/);
  t.same(run.leftovers(), []);
});
