/** D23, B10: an origin that fails is left alone, tried by one request, and comes back. */
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { type MonoMs, toMonoMs } from '../../lib/base/units.ts';
import { OriginHealth } from '../../lib/identity/origin-health.ts';

const A = 'https://a.example.com';
const GOOD = { isGood: true, retryAfterMs: undefined };
const BAD = { isGood: false, retryAfterMs: undefined };
const at = (ms: number): MonoMs => toMonoMs(ms);
const make = (originsMax = 100): OriginHealth =>
  new OriginHealth({
    failuresMax: 3,
    pauseMsMin: 1000,
    pauseMsMax: 60_000,
    originsMax,
    prng: new Prng(1),
  });
const failAt = (health: OriginHealth, ms: number): boolean =>
  health.end(A, health.begin(A, at(ms)), BAD, at(ms));

t.test('D23: failures in a row begin a pause; a success in between does not count', async (t) => {
  const health = make();
  t.equal(failAt(health, 0), false);
  t.equal(failAt(health, 0), false);
  health.end(A, health.begin(A, at(0)), GOOD, at(0));
  t.equal(health.count, 0, 'a healthy origin is not remembered');
  t.equal(failAt(health, 0), false);
  t.equal(failAt(health, 0), false);
  t.equal(health.waitMs(A, at(0)), 0);
  t.equal(failAt(health, 0), true);
  const waitMs = health.waitMs(A, at(0));
  t.ok(waitMs >= 500 && waitMs <= 1000, `${waitMs} ms`);
  t.equal(health.begin(A, at(0)).waitMs, waitMs);
  t.equal(health.waitMs('https://b.example.com', at(0)), 0, 'others are not touched');
});

t.test('D23: after the pause one request tries it', async (t) => {
  const health = make();
  for (let i = 0; i < 3; i++) failAt(health, 0);
  const probe = health.begin(A, at(1000));
  t.same(probe, { waitMs: 0, isProbe: true });
  t.equal(health.begin(A, at(1000)).waitMs, 1000, 'and only one');
  health.end(A, probe, GOOD, at(1100));
  t.same(health.begin(A, at(1100)), { waitMs: 0, isProbe: false });
});

t.test('D23: pauses grow up to their bound while it stays down, for ever', async (t) => {
  const health = make();
  for (let i = 0; i < 3; i++) failAt(health, 0);
  let nowMs = 0;
  const waits: number[] = [];
  for (let i = 0; i < 20; i++) {
    waits.push(health.waitMs(A, at(nowMs)));
    nowMs += health.waitMs(A, at(nowMs));
    failAt(health, nowMs);
  }
  t.ok((waits[3] ?? 0) > (waits[0] ?? 0) * 2, waits.join(' '));
  t.ok(Math.max(...waits) <= 60_000);
  t.ok((waits[19] ?? 0) >= 30_000);
});

t.test('requests under way when the pause began neither lengthen nor end it', async (t) => {
  const health = make();
  const permits = Array.from({ length: 10 }, () => health.begin(A, at(0)));
  for (const permit of permits.slice(0, 9)) health.end(A, permit, BAD, at(5));
  const waitMs = health.waitMs(A, at(5));
  t.ok(waitMs <= 1000);
  t.equal(health.end(A, permits[9] ?? { waitMs: 0, isProbe: false }, GOOD, at(5)), false);
  t.equal(health.waitMs(A, at(5)), waitMs);
});

t.test('B10: Retry-After pauses at once, with up to 2 s of jitter', async (t) => {
  for (let i = 0; i < 50; i++) {
    const health = make();
    health.end(A, health.begin(A, at(0)), { isGood: false, retryAfterMs: 7000 }, at(0));
    const waitMs = health.waitMs(A, at(0));
    t.ok(waitMs >= 7000 && waitMs <= 9000, `${waitMs} ms`);
  }
});

t.test('a probe that was cut off by ourselves does not block the next', async (t) => {
  const health = make();
  for (let i = 0; i < 3; i++) failAt(health, 0);
  health.cancel(A, health.begin(A, at(1000)));
  t.equal(health.begin(A, at(1000)).isProbe, true);
});

t.test('bounded: the one that failed longest ago is forgotten', async (t) => {
  const health = make(10);
  for (let i = 0; i < 1000; i++) {
    const origin = `https://h${i}.example.com`;
    health.end(origin, health.begin(origin, at(0)), { isGood: false, retryAfterMs: 5000 }, at(0));
  }
  t.equal(health.count, 10);
  t.equal(health.waitMs('https://h0.example.com', at(0)), 0);
  t.ok(health.waitMs('https://h999.example.com', at(0)) > 0);
});
