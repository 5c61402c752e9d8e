import t from 'tap';
import { SystemClock } from '../../lib/base/clock.ts';
import { type MonoMs, toMonoMs } from '../../lib/base/units.ts';
import { AddressBudget } from '../../lib/broadcast/address-budget.ts';
import { addressKey } from '../../lib/broadcast/address-key.ts';

t.test('S14: one client is an IPv4 address or an IPv6 /64', async (t) => {
  const table: readonly (readonly [address: string | undefined, key: string])[] = [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    [undefined, ''],
    ['rubbish', 'rubbish'],
    [':::::::::', addressKey(':::::::::')],
  ];
  for (const [address, key] of table) t.equal(addressKey(address), key, address ?? 'none');
});

class HandClock extends SystemClock {
  nowMs = 0;
  override monoMs(): MonoMs {
    return toMonoMs(this.nowMs);
  }
}

t.test('S16: a budget per address, refilled with time, in bounded memory', async (t) => {
  const clock = new HandClock();
  const budget = new AddressBudget(clock, { perSecond: 0.5, burst: 3, addressesMax: 4 });
  t.same(
    [0, 1, 2].map(() => budget.take('a')),
    [0, 0, 0],
    'the burst',
  );
  t.equal(budget.take('a'), 2, 'then seconds to wait');
  t.equal(budget.take('b'), 0, 'others have their own');
  clock.nowMs = 2000;
  t.equal(budget.take('a'), 0, 'one came back');
  t.equal(budget.take('a'), 2);
  clock.nowMs = 1e9;
  t.same(
    [0, 1, 2].map(() => budget.take('a')),
    [0, 0, 0],
    'never more than the burst',
  );
  t.ok(budget.take('a') > 0);
  for (let i = 0; i < 1000; i++) budget.take(`x${i}`);
  t.equal(budget.size, 4, 'bounded');
  t.equal(budget.take('a'), 0, 'a forgotten address starts anew');
});
