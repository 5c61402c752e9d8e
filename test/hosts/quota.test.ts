import fc from 'fast-check';
import t from 'tap';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../lib/base/units.ts';
import {
  accountLimitFor,
  HostQuota,
  isTrustedHost,
  quotaLimitsFor,
  SlidingWindow,
} from '../../lib/hosts/quota.ts';

const SLOW_MS = 10 * MINUTE_MS;
const limitsFor = (host: { accountCount: number; isTrusted: boolean }) =>
  quotaLimitsFor({ ...host, discontinuousPerHour: 500 });

t.test('LM-12: limits follow the reference formulae and scale with accounts', async (t) => {
  t.match(limitsFor({ accountCount: 100, isTrusted: false }), {
    eventsPerSecond: 50,
    eventsPerHour: 2600,
    eventsPerDay: 21_000,
  });
  t.match(limitsFor({ accountCount: 50_000, isTrusted: false }), {
    eventsPerSecond: 100,
    eventsPerHour: 52_500,
    eventsPerDay: 520_000,
  });
  t.match(limitsFor({ accountCount: 0, isTrusted: true }), {
    eventsPerSecond: 5000,
    eventsPerHour: 50_000_000,
    eventsPerDay: 500_000_000,
  });
});

t.test('trusted domains match by suffix or whole name, not by substring', async (t) => {
  const patterns = ['*.host.bsky.network', 'pds.example.com'];
  t.ok(isTrustedHost('a.us-east.host.bsky.network', patterns));
  t.ok(isTrustedHost('pds.example.com', patterns));
  t.notOk(isTrustedHost('host.bsky.network', patterns));
  t.notOk(isTrustedHost('evilhost.bsky.network', patterns));
  t.notOk(isTrustedHost('x.host.bsky.network.evil.com', patterns));
  t.notOk(isTrustedHost('a.pds.example.com', patterns));
});

/** Reads as fast as it may; gives the times at which frames passed. */
function pump(quota: HostQuota, frames: number, frameBytes: number, startMs = 0): number[] {
  const times: number[] = [];
  let nowMs = startMs;
  while (times.length < frames) {
    const waitMs = quota.waitMs(nowMs);
    if (waitMs > 0) nowMs += waitMs;
    else {
      quota.take(nowMs, frameBytes);
      times.push(nowMs);
    }
  }
  return times;
}

function countIn(times: readonly number[], fromMs: number, toMs: number): number {
  return times.filter((timeMs) => timeMs >= fromMs && timeMs < toMs).length;
}

t.test('AC-14, G19: a flood is slowed to its rate, and nothing is ever refused', async (t) => {
  const quota = new HostQuota(limitsFor({ accountCount: 100, isTrusted: false }), SLOW_MS);
  const times = pump(quota, 2500, 100);
  t.ok(countIn(times, 0, SECOND_MS) <= 50, 'first second');
  for (let second = 1; second < 20; second++) {
    const count = countIn(times, second * SECOND_MS, (second + 1) * SECOND_MS);
    t.ok(count >= 45 && count <= 55, `second ${second}: ${count}`);
  }
  t.equal(times.length, 2500);
});

t.test('the hourly and the daily rate hold too', async (t) => {
  const quota = new HostQuota(limitsFor({ accountCount: 100, isTrusted: false }), SLOW_MS);
  const times = pump(quota, 30_000, 100);
  t.ok(countIn(times, 0, HOUR_MS) <= 2600);
  t.ok(countIn(times, HOUR_MS, 2 * HOUR_MS) <= 2 * 2600);
  t.ok(countIn(times, 0, DAY_MS) <= 21_000);
  t.ok((times.at(-1) ?? 0) > DAY_MS);
});

t.test('bytes have a limit of their own, and one frame always passes', async (t) => {
  const quota = new HostQuota(limitsFor({ accountCount: 0, isTrusted: false }), SLOW_MS);
  t.equal(quota.waitMs(0), 0);
  quota.take(0, 5_000_000);
  t.ok(quota.waitMs(0) > SECOND_MS, 'a frame of 5 MB holds the next one back');
  const times = pump(quota, 3, 5_000_000, 0);
  t.equal(times.length, 3);
});

t.test('verification time has a limit of its own', async (t) => {
  const quota = new HostQuota(limitsFor({ accountCount: 100, isTrusted: false }), SLOW_MS);
  quota.chargeVerify(0, 5999);
  t.equal(quota.waitMs(0), 0);
  quota.chargeVerify(0, 1);
  const waitMs = quota.waitMs(0);
  t.ok(waitMs > 0 && waitMs <= 2 * MINUTE_MS);
  t.equal(quota.waitMs(waitMs), 0);
});

t.test('H130: over the limit of discontinuous commits it is read slower, for a time', async (t) => {
  const quota = new HostQuota(limitsFor({ accountCount: 100, isTrusted: false }), SLOW_MS);
  t.notOk(quota.chargeDiscontinuous(0, 600), 'one of each account, and 500');
  t.notOk(quota.isSlowed(0));
  t.ok(quota.chargeDiscontinuous(0, 1));
  t.notOk(quota.chargeDiscontinuous(10, 1), 'said once');
  t.ok(quota.isSlowed(10));
  const slow = pump(quota, 50, 100, 10);
  t.equal(slow.length, 50, 'nothing is refused');
  t.ok(countIn(slow, 10, 10 * SECOND_MS) <= 55, 'a tenth of 50 a second');
  t.ok(countIn(slow, 10, 10 * SECOND_MS) >= 40);
  t.match(quota.usage(10)[0], { name: 'eventsPerSecond', max: 5 });
  t.ok(quota.isSlowed(10 + SLOW_MS - 1));
  t.notOk(quota.isSlowed(10 + SLOW_MS), 'it recovers by itself');
  t.equal(quota.waitMs(10 + SLOW_MS), 0);
  const fast = pump(quota, 50, 100, 10 + SLOW_MS);
  t.ok(countIn(fast, 10 + SLOW_MS, 10 + SLOW_MS + SECOND_MS) >= 45);
  t.ok(quota.chargeDiscontinuous(HOUR_MS / 2, 1), 'the hour is not over: the next one counts');
  t.notOk(quota.chargeDiscontinuous(3 * HOUR_MS, 1));
  t.notOk(quota.isSlowed(3 * HOUR_MS));
});

t.test('near a limit of minutes and more it is strained, seconds do not count', async (t) => {
  const limits = limitsFor({ accountCount: 100, isTrusted: false });
  const quota = new HostQuota(limits, SLOW_MS);
  for (let i = 0; i < 50; i++) quota.take(0, 1);
  t.ok(quota.waitMs(0) > 0);
  t.equal(quota.reached(0), 'eventsPerSecond');
  t.notOk(quota.isStrained(0));
  quota.chargeVerify(0, 0.9 * limits.verifyMsPerMinute);
  t.ok(quota.isStrained(0));
  quota.chargeVerify(0, limits.verifyMsPerMinute);
  t.equal(quota.reached(0), 'verifyMsPerMinute', 'the one that makes it wait longest');
});

t.test(
  'accounts a host may have: the configured number, or 10 million where it is trusted',
  async (t) => {
    t.equal(accountLimitFor({ isTrusted: false, accountsPerHostMax: 100 }), 100);
    t.equal(accountLimitFor({ isTrusted: true, accountsPerHostMax: 100 }), 10_000_000);
  },
);

t.test('limits changed at run time take effect at once', async (t) => {
  const quota = new HostQuota(limitsFor({ accountCount: 100, isTrusted: false }), SLOW_MS);
  for (let i = 0; i < 50; i++) quota.take(0, 1);
  t.ok(quota.waitMs(0) > 0);
  quota.setLimits(limitsFor({ accountCount: 100_000, isTrusted: false }));
  t.equal(quota.waitMs(0), 0);
  t.match(quota.usage(0)[0], { name: 'eventsPerSecond', used: 50, max: 150 });
});

t.test('a limit of zero by an operator slows to a crawl, it does not loop', async (t) => {
  const limits = limitsFor({ accountCount: 100, isTrusted: false });
  const quota = new HostQuota({ ...limits, eventsPerDay: 0 }, SLOW_MS);
  quota.take(0, 1);
  const waitMs = quota.waitMs(0);
  t.ok(waitMs >= DAY_MS && Number.isFinite(waitMs));
});

t.test('property: the wait is exact, a millisecond before it is still too early', async () => {
  const steps = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 2500 }), fc.integer({ min: 1, max: 40 })),
  );
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 50 }), (adds, max) => {
      const window = new SlidingWindow(1000);
      let nowMs = 0;
      for (const [gapMs, amount] of adds) {
        nowMs += gapMs;
        window.add(nowMs, amount);
      }
      const waitMs = window.waitMs(nowMs, max);
      if (waitMs > 2) {
        const probe = new SlidingWindow(1000);
        let againMs = 0;
        for (const [gapMs, amount] of adds) {
          againMs += gapMs;
          probe.add(againMs, amount);
        }
        if (probe.used(nowMs + waitMs - 3) < max) return false;
      }
      return window.used(nowMs + waitMs) < max;
    }),
    { numRuns: 1000 },
  );
});

t.test('property: never more than the limit and one frame in any window of time', async () => {
  const model = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 300 });
  fc.assert(
    fc.property(model, fc.integer({ min: 1, max: 20 }), (gaps, max) => {
      const window = new SlidingWindow(1000);
      const passed: number[] = [];
      let nowMs = 0;
      for (const gapMs of gaps) {
        nowMs += gapMs;
        if (window.waitMs(nowMs, max) > 0) continue;
        window.add(nowMs, 1);
        passed.push(nowMs);
      }
      // Two buckets are off by less than one bucket: never twice the limit.
      return passed.every((fromMs) => countIn(passed, fromMs, fromMs + 1000) <= 2 * max);
    }),
    { numRuns: 500 },
  );
});
