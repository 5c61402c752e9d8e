/** Accounts per host (LM-11): counted, raised by reports, and never too high. */
import t from 'tap';
import { AccountCounts } from '../../lib/threads/account-counts.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

/** Rows of host 1, as the store counts them. */
function setup() {
  const clock = new ManualClock();
  const rows = { count: 0, queries: 0 };
  const database = {
    query: async () => {
      rows.queries += 1;
      return { rows: [{ host_id: 1, account_count: rows.count }] };
    },
  };
  // Only countAccounts asks it.
  const counts = new AccountCounts(clock, () => database as never);
  return { clock, rows, counts };
}

t.test('an account that is counted and reported is one, not two', async (t) => {
  const { clock, rows, counts } = setup();
  rows.count = 1;
  await counts.refresh([1]);
  counts.add(1, 1);
  t.equal(counts.of(1), 1, 'never too high');
  t.same(await counts.recount(), [], 'not yet');
  rows.count = 2;
  await clock.advance(6000);
  t.same(await counts.recount(), [1]);
  t.equal(counts.of(1), 2);
});

t.test('an account that was reported before its row is there is counted later', async (t) => {
  const { clock, rows, counts } = setup();
  counts.add(1, 1);
  t.equal(counts.of(1), 1);
  await counts.refresh([1]);
  t.equal(counts.of(1), 0, 'its row is on the way');
  rows.count = 1;
  await clock.advance(6000);
  t.same(await counts.recount(), [1]);
  t.equal(counts.of(1), 1);
});

t.test('long after a count, reports raise it', async (t) => {
  const { clock, rows, counts } = setup();
  rows.count = 5;
  await counts.refresh([1]);
  await clock.advance(6000);
  counts.add(1, 2);
  t.equal(counts.of(1), 7);
  t.same(await counts.recount(), []);
  t.equal(rows.queries, 1);
});
