/** S8, SG-7, HO-4, H152, D37: when a known identity is used and when it is asked for again. */
import t from 'tap';
import {
  DAY_MS,
  type EpochMs,
  HOUR_MS,
  MINUTE_MS,
  type MonoMs,
  SECOND_MS,
} from '../../lib/base/units.ts';
import {
  applyOutcome,
  CACHE_POLICY,
  type CacheEntry,
  decideRefresh,
  EMPTY_ENTRY,
  entryOfRecord,
  type IdentityState,
  markChanged,
  noteForced,
} from '../../lib/identity/cache.ts';
import type { ResolveOutcome } from '../../lib/identity/outcome.ts';
import { DID, KEY } from './documents.ts';

const identity = {
  did: DID,
  pdsHost: 'pds.example.com',
  key: { curve: 'k256' as const, bytes: KEY },
  handle: null,
};
const FOUND: ResolveOutcome = { kind: 'found', did: DID, identity, keyFault: null, pdsFault: null };
const failed = (retryAfterMs: number): ResolveOutcome => {
  return { kind: 'failed', did: DID, why: 'timeout', retryAfterMs, detail: '' };
};
const START = Date.UTC(2026, 0, 1);
const at = (ms: number) => ({ epochMs: (START + ms) as EpochMs, monoMs: (1000 + ms) as MonoMs });
const mono = (ms: number) => (1000 + ms) as MonoMs;
const entryOf = (state: IdentityState): CacheEntry =>
  entryOfRecord({
    did: DID,
    state,
    identity: state === 'found' ? identity : null,
    resolvedMs: START as EpochMs,
  });

t.test('an unknown DID is looked up before anything is judged (G11, D37)', async (t) => {
  t.same(decideRefresh(EMPTY_ENTRY, 'normal', at(0)), { action: 'wait', isForced: false });
});

t.test('by age: fresh for a day, then used while looked up, then not used', async (t) => {
  const cases: readonly (readonly [ageMs: number, state: IdentityState, action: string])[] = [
    [0, 'found', 'use'],
    [DAY_MS - 1, 'found', 'use'],
    [DAY_MS, 'found', 'use_and_refresh'],
    [7 * DAY_MS - 1, 'found', 'use_and_refresh'],
    [7 * DAY_MS, 'found', 'wait'],
    [DAY_MS - 1, 'tombstoned', 'use'],
    [DAY_MS, 'tombstoned', 'use_and_refresh'],
    [5 * MINUTE_MS - 1, 'not_found', 'use'],
    [5 * MINUTE_MS, 'not_found', 'wait'],
    [5 * MINUTE_MS - 1, 'document_bad', 'use'],
    [5 * MINUTE_MS, 'document_bad', 'wait'],
  ];
  for (const [ageMs, state, action] of cases) {
    const name = `${state} after ${ageMs} ms`;
    t.equal(decideRefresh(entryOf(state), 'normal', at(ageMs)).action, action, name);
  }
});

t.test('G21: a wall clock set back or ahead costs look-ups, not accounts', async (t) => {
  const back = { epochMs: (START - HOUR_MS) as EpochMs, monoMs: mono(0) };
  t.equal(decideRefresh(entryOf('found'), 'normal', back).action, 'use_and_refresh');
  t.equal(decideRefresh(entryOf('not_found'), 'normal', back).action, 'wait');
});

t.test('SG-7, HO-4, H152: a forced look-up at once, then at most one a minute', async (t) => {
  const entry = entryOf('found');
  t.same(decideRefresh(entry, 'forced', at(0)), { action: 'wait', isForced: true });
  const noted = noteForced(entry, mono(0));
  t.equal(decideRefresh(noted, 'forced', at(MINUTE_MS - 1)).action, 'use');
  t.same(decideRefresh(noted, 'forced', at(MINUTE_MS)), { action: 'wait', isForced: true });
  t.equal(decideRefresh(noted, 'normal', at(MINUTE_MS)).action, 'use');
});

t.test('ID-1, H152: #identity makes the next event wait for one look-up a minute', async (t) => {
  let entry = entryOf('found');
  let lookUps = 0;
  for (let ms = 0; ms < 10 * MINUTE_MS; ms += 100) {
    entry = markChanged(entry, mono(ms));
    if (decideRefresh(entry, 'normal', at(ms)).action !== 'wait') continue;
    lookUps++;
    entry = applyOutcome(noteForced(entry, mono(ms)), FOUND, mono(ms), at(ms));
  }
  t.equal(lookUps, 10, '6,000 #identity events in ten minutes, ten look-ups');
});

t.test('a negative answer does not hide an account that was just made', async (t) => {
  const marked = markChanged(entryOf('not_found'), mono(0));
  t.same(decideRefresh(marked, 'normal', at(0)), { action: 'wait', isForced: true });
});

t.test('a mark set while a look-up ran outlives its answer', async (t) => {
  const entry = markChanged(entryOf('found'), mono(500));
  const early = applyOutcome(entry, FOUND, mono(400), at(600));
  t.equal(early.markedMs, 1500, 'the look-up began before the change');
  t.equal(applyOutcome(entry, FOUND, mono(500), at(600)).markedMs, null);
});

t.test('ID-1: an answer is as old as its question', async (t) => {
  const slow = applyOutcome(EMPTY_ENTRY, FOUND, mono(400), at(600));
  t.equal(slow.record?.resolvedMs, START + 400, 'an event that arrived at 500 is newer');
  const asked = applyOutcome(EMPTY_ENTRY, FOUND, mono(400.5), at(600));
  t.equal(asked.record?.resolvedMs, START + 401, 'the event that caused it, at 400.x, is not');
});

t.test('D37: the directory fails: the old document stays in force', async (t) => {
  const entry = noteForced(markChanged(entryOf('found'), mono(0)), mono(0));
  const after = applyOutcome(entry, failed(1000), mono(0), at(5000));
  t.equal(after.record?.identity, identity);
  t.equal(decideRefresh(after, 'normal', at(5001)).action, 'use');
  t.equal(decideRefresh(after, 'forced', at(5001)).action, 'use', 'nobody can hammer it either');
  t.same(decideRefresh(after, 'normal', at(2 * MINUTE_MS)), { action: 'wait', isForced: true });
  const old = applyOutcome(entryOf('found'), failed(1000), mono(0), at(30 * DAY_MS));
  t.equal(decideRefresh(old, 'normal', at(30 * DAY_MS)).action, 'use', 'however old');
});

t.test(
  'a failure without an answer: refused for 30 s, or for as long as we were told',
  async (t) => {
    const after = applyOutcome(EMPTY_ENTRY, failed(1000), mono(0), at(0));
    t.same(decideRefresh(after, 'normal', at(1)), {
      action: 'refuse',
      retryAfterMs: 30 * SECOND_MS - 1,
    });
    t.equal(decideRefresh(after, 'normal', at(30 * SECOND_MS)).action, 'wait');
    const told = applyOutcome(EMPTY_ENTRY, failed(90_000), mono(0), at(0));
    t.equal(decideRefresh(told, 'normal', at(89_999)).action, 'refuse');
    t.equal(decideRefresh(told, 'normal', at(90_000)).action, 'wait');
  },
);

t.test('an answer replaces whatever was known', async (t) => {
  const kinds = ['not_found', 'tombstoned'] as const;
  for (const kind of kinds) {
    const after = applyOutcome(entryOf('found'), { kind, did: DID }, mono(7), at(9));
    t.match(after.record, { did: DID, state: kind, identity: null, resolvedMs: START + 7 });
  }
  const bad: ResolveOutcome = { kind: 'document_bad', did: DID, why: 'id_mismatch' };
  t.match(applyOutcome(entryOf('found'), bad, mono(0), at(0)).record, { state: 'document_bad' });
  const healed = applyOutcome(
    applyOutcome(EMPTY_ENTRY, failed(1000), mono(0), at(0)),
    FOUND,
    mono(0),
    at(9),
  );
  t.equal(healed.failedUntilMs, null);
  t.equal(healed.record?.identity, identity);
});

t.test('the policy is a parameter', async (t) => {
  const policy = { ...CACHE_POLICY, staleMs: 10 };
  t.equal(decideRefresh(entryOf('found'), 'normal', at(10), policy).action, 'use_and_refresh');
});
