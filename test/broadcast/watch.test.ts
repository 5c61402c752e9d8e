/** What time does to one consumer: stalls, pings, closing; and how much a duty cycle may do. */
import t from 'tap';
import type { Clock } from '../../lib/base/clock.ts';
import { KiB } from '../../lib/base/units.ts';
import type { Consumer } from '../../lib/broadcast/consumer.ts';
import { decideWatch, type WatchOptions, type WatchVerdict } from '../../lib/broadcast/watch.ts';
import { WorkBudget } from '../../lib/broadcast/work-budget.ts';

const LIMITS: WatchOptions = {
  stallMsMax: 600_000,
  pingMs: 30_000,
  pingsMissedMax: 2,
  closeMsMax: 4000,
  sweepMs: 500,
};
const NEVER = Number.POSITIVE_INFINITY;

/** One that keeps up, was pinged never and answers nothing. */
class Watched {
  isClosing = false;
  deadlineMs = NEVER;
  closeDueMs = NEVER;
  takenBytesNow = 0;
  takenBytes = 0;
  waitingBytes = 0;
  takenMs = 0;
  pingDueMs = 30_000;
  pingsUnanswered = 0;
  bytesSent = 0;
  heardBytes = 0;
  heardMs = 0;

  at(nowMs: number): WatchVerdict {
    const verdict = decideWatch(this as unknown as Consumer, nowMs, LIMITS);
    if (verdict === 'ping') this.pingsUnanswered++;
    return verdict;
  }
}

t.test('G20: who takes no byte for the stall limit is ended, who takes one is not', async (t) => {
  const it = new Watched();
  t.equal(it.at(1000), 'keep');
  it.waitingBytes = 100;
  t.equal(it.at(600_999), 'keep');
  it.takenBytesNow = 1;
  t.equal(it.at(600_999), 'keep', 'one byte was taken');
  t.equal(it.at(1_200_998), 'keep');
  t.equal(it.at(1_200_999), 'stalled');
});

t.test('S31: while bytes wait there are no pings, and taking them is an answer', async (t) => {
  const it = new Watched();
  it.pingsUnanswered = 2;
  it.waitingBytes = 100;
  t.equal(it.at(40_000), 'keep');
  it.takenBytesNow = 50;
  t.equal(it.at(41_000), 'keep');
  t.equal(it.pingsUnanswered, 0);
  it.waitingBytes = 0;
  t.equal(it.at(70_999), 'keep');
  t.equal(it.at(71_000), 'ping', 'a whole interval after the last byte waited');
});

t.test('S31: who answers no ping is ended after two of them', async (t) => {
  const it = new Watched();
  t.equal(it.at(29_999), 'keep');
  t.equal(it.at(30_000), 'ping');
  t.equal(it.at(59_999), 'keep');
  t.equal(it.at(60_000), 'ping');
  t.equal(it.at(89_999), 'keep');
  t.equal(it.at(90_000), 'reset');
});

t.test(
  'S31: a ping that stands behind 32 KiB in the kernel is given the stall limit',
  async (t) => {
    const hidden = new Watched();
    hidden.at(0);
    hidden.bytesSent = 40 * KiB;
    hidden.heardBytes = 8 * KiB;
    hidden.pingsUnanswered = 2;
    t.equal(hidden.at(90_000), 'keep');
    t.equal(hidden.at(599_999), 'keep');
    t.equal(hidden.at(600_000), 'reset', 'and no longer');
    const near = new Watched();
    near.at(0);
    near.bytesSent = 40 * KiB;
    near.heardBytes = 8 * KiB + 1;
    near.pingsUnanswered = 2;
    t.equal(near.at(90_000), 'reset', 'a byte less is no excuse');
  },
);

t.test('G20: closing has an end, whoever began it', async (t) => {
  const byClient = new Watched();
  byClient.isClosing = true;
  t.equal(byClient.at(1000), 'keep');
  t.equal(byClient.at(4999), 'keep');
  t.equal(byClient.at(5000), 'reset');
  const byUs = new Watched();
  byUs.isClosing = true;
  byUs.deadlineMs = 1300;
  t.equal(byUs.at(1299), 'keep');
  t.equal(byUs.at(1300), 'reset');
});

t.test('G25: its turn to be closed comes before anything else', async (t) => {
  const it = new Watched();
  it.closeDueMs = 30_000;
  t.equal(it.at(29_999), 'keep');
  t.equal(it.at(30_000), 'close');
});

t.test('a duty cycle ends after so many bytes or so much time', async (t) => {
  let nowMs = 0;
  const clock = { monoMs: () => nowMs } as unknown as Clock;
  const budget = new WorkBudget(clock, 2, 1000);
  budget.renew(nowMs);
  budget.spend(999);
  t.notOk(budget.isSpent());
  budget.spend(1);
  t.ok(budget.isSpent(), 'bytes');
  budget.renew(nowMs);
  for (let step = 0; step < 100; step++) t.notOk(budget.isSpent(), 'no time has passed');
  nowMs = 2;
  let steps = 0;
  while (steps < 100 && !budget.isSpent()) steps++;
  t.ok(steps < 8, `${steps} steps after its time`);
  t.ok(budget.isSpent(), 'and it stays so');
  budget.renew(nowMs);
  t.notOk(budget.isSpent());
});
