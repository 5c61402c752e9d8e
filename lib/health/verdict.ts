/**
 * Live? Ready? And why not: pure decisions over what the shared words say.
 *
 * Live (G22) means "a restart would not help": false only when main or the log writer made no
 * progress for 30 s. A declared long operation (recovery, waiting for PostgreSQL at the start) has
 * ten minutes, the budget of the start-up probe, so that it can neither be killed nor hide a hang.
 * Ready means "send me consumers": the log is recovered, sockets are served, nothing is poisoned.
 * PostgreSQL is reported and gates neither: the log works without it (G17).
 * @thread liveness
 */
import { MINUTE_MS, SECOND_MS } from '../base/units.ts';
import { BallastState, DatabaseState, PersistState, Phase } from '../shared/regions.ts';

export const STALL_MS_MAX = 30 * SECOND_MS;
export const LONG_OPERATION_MS_MAX = 10 * MINUTE_MS;
/** Main that stands still this long serves nobody, though it may come back. */
const READY_MAIN_AGE_MS_MAX = 10 * SECOND_MS;

export type HealthFacts = {
  readonly mainAgeMs: number;
  readonly persistAgeMs: number;
  /** One of `Phase`. */
  readonly phase: number;
  /** One of `PersistState`. */
  readonly persistState: number;
};

export type Verdict = {
  readonly isLive: boolean;
  readonly isReady: boolean;
  /** Why it is not ready, or not live; empty when all is well. */
  readonly reasons: readonly string[];
};

export function healthVerdict(facts: HealthFacts): Verdict {
  const deaths = [...mainDeath(facts), ...persistDeath(facts)];
  const obstacles = readyObstacles(facts);
  return {
    isLive: deaths.length === 0,
    isReady: deaths.length === 0 && obstacles.length === 0,
    reasons: [...deaths, ...obstacles],
  };
}

function mainDeath({ mainAgeMs, phase }: HealthFacts): string[] {
  const isSteady = phase === Phase.running || phase === Phase.draining;
  return mainAgeMs > (isSteady ? STALL_MS_MAX : LONG_OPERATION_MS_MAX)
    ? [`main made no progress for ${seconds(mainAgeMs)}`]
    : [];
}

function persistDeath({ persistAgeMs, persistState }: HealthFacts): string[] {
  if (persistState === PersistState.stopped) return [];
  const isLong = persistState === PersistState.recovering;
  return persistAgeMs > (isLong ? LONG_OPERATION_MS_MAX : STALL_MS_MAX)
    ? [`the log writer made no progress for ${seconds(persistAgeMs)}`]
    : [];
}

function readyObstacles(facts: HealthFacts): string[] {
  const reasons: string[] = [];
  if (facts.phase !== Phase.running) reasons.push(`phase is ${phaseName(facts.phase)}`);
  if (facts.persistState === PersistState.recovering) reasons.push('the log is being recovered');
  if (facts.persistState === PersistState.stopped) reasons.push('the log writer has stopped');
  if (facts.persistState === PersistState.poisoned) reasons.push('a sync of the log failed');
  if (facts.mainAgeMs > READY_MAIN_AGE_MS_MAX && facts.mainAgeMs <= STALL_MS_MAX) {
    reasons.push(`main stands still for ${seconds(facts.mainAgeMs)}`);
  }
  return reasons;
}

const seconds = (ms: number): string => `${Math.floor(ms / SECOND_MS)} s`;

const nameIn = (names: Readonly<Record<string, number>>, value: number): string =>
  Object.entries(names).find(([, known]) => known === value)?.[0] ?? `unknown (${value})`;

export const phaseName = (phase: number): string => nameIn(Phase, phase);
export const persistStateName = (state: number): string => nameIn(PersistState, state);
export const ballastStateName = (state: number): string => nameIn(BallastState, state);
export const databaseStateName = (state: number): string => nameIn(DatabaseState, state);
