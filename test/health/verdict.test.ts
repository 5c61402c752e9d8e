import t from 'tap';
import { type HealthFacts, healthVerdict } from '../../lib/health/verdict.ts';
import { PersistState, Phase } from '../../lib/shared/regions.ts';

const WELL: HealthFacts = {
  mainAgeMs: 100,
  persistAgeMs: 100,
  phase: Phase.running,
  persistState: PersistState.running,
};

const verdict = (facts: Partial<HealthFacts>) => healthVerdict({ ...WELL, ...facts });

t.test('G22: all is well', async (t) => {
  t.same(verdict({}), { isLive: true, isReady: true, reasons: [] });
});

t.test('G22: not live only after 30 s without progress of main or the log writer', async (t) => {
  for (const name of ['mainAgeMs', 'persistAgeMs'] as const) {
    t.ok(verdict({ [name]: 30_000 }).isLive, `${name} at the limit`);
    const late = verdict({ [name]: 30_001 });
    t.notOk(late.isLive, `${name} above the limit`);
    t.notOk(late.isReady);
    t.match(late.reasons, [/made no progress for 30 s/]);
  }
});

t.test('G22: a declared long operation has ten minutes, and cannot hide a hang', async (t) => {
  const { starting, logRecovery, stateRecovery, waitingForDatabase } = Phase;
  for (const phase of [starting, logRecovery, stateRecovery, waitingForDatabase]) {
    t.ok(verdict({ phase, mainAgeMs: 600_000 }).isLive);
    t.notOk(verdict({ phase, mainAgeMs: 600_001 }).isLive);
    t.notOk(verdict({ phase }).isReady);
  }
  const { recovering } = PersistState;
  t.ok(verdict({ persistState: recovering, persistAgeMs: 600_000 }).isLive);
  t.notOk(verdict({ persistState: recovering, persistAgeMs: 600_001 }).isLive);
  t.notOk(verdict({ phase: Phase.draining, mainAgeMs: 30_001 }).isLive, 'draining is not long');
});

t.test('G22: readiness follows phase and log, each with its reason', async (t) => {
  const table: readonly (readonly [Partial<HealthFacts>, boolean, RegExp | undefined])[] = [
    [{ phase: Phase.logRecovery }, false, /phase is logRecovery/],
    [{ phase: Phase.draining }, false, /phase is draining/],
    [{ phase: 99 }, false, /phase is unknown \(99\)/],
    [{ persistState: PersistState.recovering }, false, /being recovered/],
    [{ persistState: PersistState.poisoned }, false, /sync of the log failed/],
    [{ persistState: PersistState.stopped }, false, /has stopped/],
    // G16: a full disk pauses ingest, consumers go on.
    [{ persistState: PersistState.paused }, true, undefined],
    [{ mainAgeMs: 10_001 }, false, /main stands still for 10 s/],
    [{ mainAgeMs: 10_000 }, true, undefined],
  ];
  for (const [facts, isReady, reason] of table) {
    const got = verdict(facts);
    t.equal(got.isReady, isReady, JSON.stringify(facts));
    t.ok(got.isLive);
    if (reason === undefined) t.same(got.reasons, []);
    else t.match(got.reasons, [reason]);
  }
});

t.test('a log writer that has ended after a drain is no hang', async (t) => {
  const facts = { phase: Phase.draining, persistState: PersistState.stopped };
  t.ok(verdict({ ...facts, persistAgeMs: 60_000 }).isLive);
});
