import t from 'tap';
import { PoisonGuard } from '../../lib/upstream/poison.ts';

const frame = (text: string): Buffer => Buffer.from(text);

t.test('G12: the same bytes at the same place are known from the next connection on', async (t) => {
  const guard = new PoisonGuard();
  t.equal(guard.judge(10, frame('a'), 1), 'new');
  t.equal(guard.judge(10, frame('a'), 1), 'new', 'twice on one connection is two faults');
  t.equal(guard.judge(10, frame('b'), 2), 'new');
  t.equal(guard.judge(10, frame('a'), 2), 'known_first');
  t.equal(guard.judge(10, frame('a'), 3), 'known', 'reported once');
  t.equal(guard.judge(10, frame('b'), 3), 'known_first');
});

t.test('a moved position forgets everything, also back at the old one', async (t) => {
  const guard = new PoisonGuard();
  guard.judge(10, frame('a'), 1);
  t.equal(guard.judge(11, frame('a'), 2), 'new');
  t.equal(guard.judge(10, frame('a'), 3), 'new');
});

t.test('a host without a cursor has a position too', async (t) => {
  const guard = new PoisonGuard();
  t.equal(guard.judge(Number.NaN, frame('a'), 1), 'new');
  t.equal(guard.judge(Number.NaN, frame('a'), 2), 'known_first');
});

t.test('G26: what is remembered is bounded', async (t) => {
  const guard = new PoisonGuard();
  for (let i = 0; i < 100; i++) guard.judge(10, frame(`${i}`), 1);
  t.equal(guard.judge(10, frame('99'), 2), 'known_first');
  t.equal(guard.judge(10, frame('0'), 2), 'new');
});

t.test(
  'A42: unreadable messages are stepped over one seq at a time, from the third on',
  async (t) => {
    const guard = new PoisonGuard();
    const steps: number[] = [];
    for (let i = 0; i < 5; i++) {
      guard.noteOversized(10);
      steps.push(guard.stepOver(10));
    }
    t.same(steps, [0, 0, 1, 2, 3]);
    t.equal(guard.stepOver(11), 0);
    guard.noteOversized(11);
    t.equal(guard.stepOver(11), 0);
  },
);
