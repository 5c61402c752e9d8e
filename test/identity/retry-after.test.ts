/** B10: Retry-After in both forms, clamped to [1 s, 1 h]. */
import t from 'tap';
import { toEpochMs } from '../../lib/base/units.ts';
import { retryAfterMs } from '../../lib/identity/retry-after.ts';

const NOW = toEpochMs(Date.UTC(2026, 1, 28, 23, 59, 50));

t.test('B10: seconds, and a bare number is never a date', async (t) => {
  t.equal(retryAfterMs('7', NOW), 7000);
  t.equal(retryAfterMs(' 120 ', NOW), 120_000);
  t.equal(retryAfterMs('0', NOW), 1000, 'clamped up');
  t.equal(retryAfterMs('86400', NOW), 3_600_000, 'clamped down');
  t.equal(retryAfterMs('9'.repeat(40), NOW), 3_600_000);
});

t.test('B10: an HTTP date, across a month and a leap day', async (t) => {
  t.equal(retryAfterMs('Sun, 01 Mar 2026 00:00:20 GMT', NOW), 30_000);
  t.equal(retryAfterMs('Sun, 01 Feb 2026 00:00:20 GMT', NOW), 1000, 'in the past');
  t.equal(retryAfterMs('Mon, 01 Mar 2027 00:00:20 GMT', NOW), 3_600_000);
});

t.test('B10: dates agree with the calendar of the runtime', async (t) => {
  for (let day = 0; day < 40_000; day += 131) {
    const date = new Date(day * 86_400_000 + 12_345_000);
    const before = toEpochMs(date.getTime() - 5000);
    t.equal(retryAfterMs(date.toUTCString(), before), 5000, date.toUTCString());
  }
});

t.test('what is no Retry-After', async (t) => {
  const texts = ['', '-1', '1.5', '1e3', 'soon', '7s', '0x10', 'Sun, 01 Xxx 2026 00:00:00 GMT'];
  for (const text of [...texts, '2026-01-01T00:00:00Z', 'x'.repeat(10_000), undefined]) {
    t.equal(retryAfterMs(text, NOW), undefined, String(text).slice(0, 30));
  }
  t.equal(retryAfterMs('Sun, 01 anF 2026 00:00:20 GMT', NOW), undefined, 'across two months');
});
