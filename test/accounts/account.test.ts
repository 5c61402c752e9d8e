import t from 'tap';
import { effectiveStatus, isLocallyActive } from '../../lib/accounts/account.ts';

type Case = readonly [
  name: string,
  local: string | null,
  active: boolean,
  upstream: string | null,
  shownActive: boolean,
  shownStatus: string | null,
];

const CASES: readonly Case[] = [
  ['AC-3: nothing of our own, the host is adopted', null, true, null, true, null],
  ['AC-3: the host deactivates', null, false, 'deactivated', false, 'deactivated'],
  ['AC-13, H156: inactive without a reason', null, false, null, false, null],
  ['AC-2, H156: a status nobody knows', null, false, 'frozen', false, 'frozen'],
  ['AC-2, H156: active wins over its status', null, true, 'takendown', true, 'takendown'],
  ['CH-8, AC-2: active and desynchronized', null, true, 'desynchronized', true, 'desynchronized'],
  ['A44, H157: takedown wins over active', 'takendown', true, null, false, 'takendown'],
  ['AC-4: takedown wins over another reason', 'takendown', false, 'deleted', false, 'takendown'],
  ['AC-4: suspension', 'suspended', true, null, false, 'suspended'],
  ['AC-4: throttled stays active', 'throttled', true, null, true, 'throttled'],
  ['AC-4: throttled, inactive upstream', 'throttled', false, 'deleted', false, 'throttled'],
  ['AC-4: over the host limit', 'host-throttled', true, null, false, 'throttled'],
  ['a status of a newer relay hides', 'embargoed', true, null, false, 'embargoed'],
];

for (const [name, localStatus, isUpstreamActive, upstreamStatus, isActive, status] of CASES) {
  t.test(name, async (t) => {
    const shown = effectiveStatus({ localStatus, isUpstreamActive, upstreamStatus });
    t.same(shown, { isActive, status });
  });
}

t.test('AC-4: never active here while inactive at its host', async (t) => {
  for (const localStatus of [null, 'throttled', 'host-throttled', 'takendown', 'x']) {
    const account = { localStatus, isUpstreamActive: false, upstreamStatus: null };
    t.equal(effectiveStatus(account).isActive, false, `${localStatus}`);
  }
});

t.test('AC-5: which own statuses let content through', async (t) => {
  t.equal(isLocallyActive(null), true);
  t.equal(isLocallyActive('throttled'), true);
  t.equal(isLocallyActive('host-throttled'), false);
  t.equal(isLocallyActive('takendown'), false);
});
