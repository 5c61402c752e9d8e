import t from 'tap';
import { nextTurn } from '../../lib/base/clock.ts';
import { Gate } from '../../lib/upstream/gate.ts';

const never = new AbortController().signal;

t.test('D1: never more inside than slots, and the longest waiting comes first', async (t) => {
  const gate = new Gate({ slotCount: 2, waitersMax: 100 });
  const order: number[] = [];
  let inside = 0;
  let insideMax = 0;
  const visit = async (visitor: number): Promise<void> => {
    t.ok(await gate.enter(never));
    order.push(visitor);
    insideMax = Math.max(insideMax, ++inside);
    await nextTurn();
    inside--;
    gate.leave();
  };
  await Promise.all(Array.from({ length: 20 }, (_, visitor) => visit(visitor)));
  t.equal(insideMax, 2);
  t.same(
    order,
    [...order].sort((a, b) => a - b),
  );
  t.equal(gate.usedCount, 0);
});

t.test('C7: who is cancelled while waiting never gets a slot and holds none up', async (t) => {
  const gate = new Gate({ slotCount: 1, waitersMax: 100 });
  await gate.enter(never);
  const cancelling = new AbortController();
  const cancelled = gate.enter(cancelling.signal);
  const next = gate.enter(never);
  cancelling.abort();
  t.equal(await cancelled, false);
  t.equal(gate.waitingCount, 1);
  gate.leave();
  t.equal(await next, true);
  gate.leave();
  t.equal(gate.usedCount, 0);
  t.equal(await gate.enter(AbortSignal.abort()), false, 'nor one that comes cancelled');
});

t.test('aborting after entering does not give the slot away twice', async (t) => {
  const gate = new Gate({ slotCount: 1, waitersMax: 1 });
  const cancelling = new AbortController();
  await gate.enter(never);
  const waiting = gate.enter(cancelling.signal);
  gate.leave();
  t.equal(await waiting, true);
  cancelling.abort();
  t.equal(gate.usedCount, 1);
  gate.leave();
  t.equal(gate.usedCount, 0);
  t.throws(() => gate.leave(), /more often than entered/);
});

t.test('C8: the queue is bounded', async (t) => {
  const gate = new Gate({ slotCount: 1, waitersMax: 1 });
  await gate.enter(never);
  const waiting = gate.enter(never);
  t.equal(await gate.enter(never), false);
  gate.leave();
  t.equal(await waiting, true);
});
