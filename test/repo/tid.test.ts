import t from 'tap';
import { isTid, tidMicros } from '../../lib/repo/tid.ts';
import { encodeTid } from '../../scripts/fleet/signed-repo.ts';
import { interopLines } from './interop.ts';

t.test('CM-6, H50: the interop lists', async (t) => {
  for (const tid of interopLines('syntax/tid_syntax_valid.txt')) t.ok(isTid(tid), tid);
  for (const tid of interopLines('syntax/tid_syntax_invalid.txt')) t.notOk(isTid(tid), tid);
});

t.test(
  'H50: 12 and 14 characters, upper case, first character k, digits outside 2-7',
  async (t) => {
    t.ok(isTid('3lmxjza3nva22'));
    for (const bad of ['3lmxjza3nva2', '3lmxjza3nva222', '3LMXJZA3NVA22', 'klmxjza3nva22'])
      t.notOk(isTid(bad), bad);
    t.notOk(isTid('3lmxjza3nva00'), 'from the reference scenarios');
    t.notOk(isTid('3lmxjza3nva22\n'), 'a line end');
  },
);

t.test('microseconds of a TID', async (t) => {
  t.equal(tidMicros('2222222222222'), 0);
  t.equal(tidMicros('222222d7n7i22'), tidMicros('222222d7n7izz'), 'the clock id does not count');
  t.ok(tidMicros('222222d7n7i22') < 1e12, 'H127: a rev of 1970');
  t.ok(tidMicros('jzzzzzzzzzzzz') >= 2 ** 53, 'the last TID is far away');
  for (const micros of [1, 1_700_000_000_123_456, 2 ** 53 - 1])
    t.equal(tidMicros(encodeTid(micros, 700)), micros);
});
