/** However the demo ends, no process and no file of it is left. */
import t from 'tap';
import { eventually } from '../helpers/stream-checker.ts';
import { childOf, SMALL, startDemo } from './demo-run.ts';

t.setTimeout(100_000);

t.test('a second Ctrl-C ends it at once', { timeout: 60_000 }, async (t) => {
  const run = startDemo(t, [...SMALL, '--seconds', '0']);
  t.ok(await eventually(() => /^1 s \|/m.test(run.output), 60_000));
  // The relay stands still: what waits for it would wait for long.
  const relay = childOf(run.child.pid ?? 0);
  process.kill(relay, 'SIGSTOP');
  run.child.kill('SIGINT');
  await new Promise((resolve) => setTimeout(resolve, 600));
  const startMs = performance.now();
  run.child.kill('SIGINT');
  t.equal(await run.exited, 130, run.output);
  t.ok(performance.now() - startMs < 10_000, 'long before the relay would be given up');
  t.same(run.leftovers(), []);
});

t.test('nobody reads its output', { timeout: 90_000 }, async (t) => {
  const closed = startDemo(t, [...SMALL, '--seconds', '1'], true);
  t.equal(await closed.exited, 0, 'no output from the start');
  t.same(closed.leftovers(), []);
  const run = startDemo(t, [...SMALL, '--seconds', '0']);
  t.ok(await eventually(() => /^1 s \|/m.test(run.output), 60_000));
  run.child.stdout?.destroy();
  t.equal(await run.exited, 0, 'ended with its reader');
  t.same(run.leftovers(), []);
});
