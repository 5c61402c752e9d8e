import t from 'tap';
import {
  commitOrderVerdict,
  isDiscontinuous,
  isNoChange,
  REV_AHEAD_MS_MAX,
  revVerdict,
  syncOrderVerdict,
} from '../../lib/verify/order.ts';
import { encodeTid } from '../../scripts/fleet/signed-repo.ts';

const NOW_MS = 1_790_000_000_000;
const KNOWN = { rev: encodeTid(NOW_MS * 1000, 500), dataCid: 'data', commitCid: 'commit' };
const LATER = encodeTid(NOW_MS * 1000, 501);
const EARLIER = encodeTid(NOW_MS * 1000, 499);

t.test('CH-2: how far ahead a rev may be', async (t) => {
  t.equal(REV_AHEAD_MS_MAX, 300_000);
  const at = (ms: number): string | undefined =>
    revVerdict(encodeTid((NOW_MS + ms) * 1000, 0), NOW_MS, REV_AHEAD_MS_MAX);
  t.equal(at(0), undefined);
  t.equal(at(300_000), undefined);
  t.equal(at(300_001), 'commit_rev_future');
  t.equal(at(-1e12), undefined, 'CM-7: no bound in the past');
  t.equal(revVerdict('jzzzzzzzzzzzz', NOW_MS, 0), 'commit_rev_future');
  t.equal(revVerdict('x', NOW_MS, 0), 'commit_rev_bad');
});

t.test('CH-1: commits come strictly later', async (t) => {
  t.equal(commitOrderVerdict(null, EARLIER, 'x'), undefined);
  t.equal(commitOrderVerdict(KNOWN, LATER, 'x'), undefined, 'by the clock id alone');
  t.equal(commitOrderVerdict(KNOWN, EARLIER, 'x'), 'commit_rev_stale');
  t.equal(commitOrderVerdict(KNOWN, KNOWN.rev, 'commit'), 'commit_rev_stale', 'H123');
  t.equal(commitOrderVerdict(KNOWN, KNOWN.rev, 'x'), 'commit_rev_equivocated', 'H125');
});

t.test('SY-2, A18: a sync may repeat', async (t) => {
  t.equal(syncOrderVerdict(KNOWN, KNOWN.rev, 'commit'), undefined);
  t.equal(syncOrderVerdict(KNOWN, KNOWN.rev, 'x'), 'commit_rev_equivocated');
  t.equal(syncOrderVerdict(KNOWN, EARLIER, 'commit'), 'commit_rev_stale');
  t.equal(syncOrderVerdict(null, EARLIER, 'commit'), undefined);
  t.ok(isNoChange(KNOWN, KNOWN.rev, 'commit'));
  t.notOk(isNoChange(KNOWN, LATER, 'commit'));
  t.notOk(isNoChange(null, KNOWN.rev, 'commit'));
});

t.test('CH-3: what does not chain', async (t) => {
  t.notOk(isDiscontinuous(null, '', ''));
  t.notOk(isDiscontinuous(KNOWN, KNOWN.rev, 'data'));
  t.ok(isDiscontinuous(KNOWN, '', 'data'));
  t.ok(isDiscontinuous(KNOWN, LATER, 'data'));
  t.ok(isDiscontinuous(KNOWN, KNOWN.rev, 'x'));
  t.ok(isDiscontinuous(KNOWN, KNOWN.rev, ''));
});
