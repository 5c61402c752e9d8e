/** A relay that is suspended as a whole, as with its virtual machine: it goes on (G9, G21). */
import t from 'tap';
import { runUnderLoad, wait } from '../fault/under-load.ts';

t.test('G9 G21 SIGSTOP for 8 s, then SIGCONT', { timeout: 120_000 }, async (t) => {
  const { relay } = await runUnderLoad(t, 71, async ({ relay, live }) => {
    for (const stopMs of [500, 8000]) {
      relay.child.kill('SIGSTOP');
      await wait(stopMs);
      relay.child.kill('SIGCONT');
      const before = live.received.length;
      await wait(1500);
      t.ok(live.received.length > before, `goes on after ${stopMs} ms`);
    }
    const { status } = await fetch(`http://127.0.0.1:${relay.metricsPort}/_healthz`);
    t.equal(status, 200);
  });
  t.same(await relay.rejects(), {});
  t.equal(await relay.metric('relay_thread_restarts_total'), 0, 'no thread was taken for dead');
});
