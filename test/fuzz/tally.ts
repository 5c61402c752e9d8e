/** Counts of a run: what each side said, and how often; mergeable, since parts run apart. */
export type Failure = {
  readonly index: number;
  readonly what: string;
  /** All that is needed to judge the input again; see `replay.ts`. */
  readonly saved: string;
};

export type Tally = {
  inputs: number;
  frameBytes: number;
  /** Our verdict, by code, then how often each judge passed it, refused it, was not asked. */
  readonly verdicts: Record<string, VerdictRow>;
  /** What was changed in the inputs, by name. */
  readonly changes: Record<string, ChangeRow>;
  /** Disagreements of each explained class, by class and judge. */
  readonly explained: Record<string, number>;
  readonly failures: Failure[];
  failureCount: number;
  /** Rules by which judges refused. */
  readonly rules: Record<string, number>;
  signaturesAsked: number;
  signaturesRemembered: number;
  /** Right messages judged in between. */
  rightOnes: number;
  /** CPU time of our slowest verdict, where one was slow enough to be looked at. */
  slowestMs: number;
};

export type VerdictRow = {
  inputs: number;
  readonly judges: Record<string, { passed: number; refused: number }>;
};

export type ChangeRow = { inputs: number; passed: number };

/** Most failures that are kept with their inputs. */
const FAILURES_KEPT = 50;

export function emptyTally(): Tally {
  return {
    inputs: 0,
    frameBytes: 0,
    verdicts: {},
    changes: {},
    explained: {},
    failures: [],
    failureCount: 0,
    rules: {},
    signaturesAsked: 0,
    signaturesRemembered: 0,
    rightOnes: 0,
    slowestMs: 0,
  };
}

export function verdictRow(tally: Tally, ours: string): VerdictRow {
  const row = tally.verdicts[ours] ?? { inputs: 0, judges: {} };
  tally.verdicts[ours] = row;
  return row;
}

export function changeRow(tally: Tally, name: string): ChangeRow {
  const row = tally.changes[name] ?? { inputs: 0, passed: 0 };
  tally.changes[name] = row;
  return row;
}

export function countJudge(row: VerdictRow, name: string, isPass: boolean): void {
  const judge = row.judges[name] ?? { passed: 0, refused: 0 };
  row.judges[name] = judge;
  if (isPass) judge.passed += 1;
  else judge.refused += 1;
}

export function count(counts: Record<string, number>, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by;
}

export function addFailure(tally: Tally, failure: Failure): void {
  tally.failureCount += 1;
  if (tally.failures.length < FAILURES_KEPT) tally.failures.push(failure);
}

/** Adds the second to the first. */
export function merge(into: Tally, from: Tally): void {
  into.inputs += from.inputs;
  into.frameBytes += from.frameBytes;
  into.signaturesAsked += from.signaturesAsked;
  into.signaturesRemembered += from.signaturesRemembered;
  into.rightOnes += from.rightOnes;
  into.slowestMs = Math.max(into.slowestMs, from.slowestMs);
  for (const [ours, { inputs, judges }] of Object.entries(from.verdicts)) {
    const row = verdictRow(into, ours);
    row.inputs += inputs;
    for (const [name, { passed, refused }] of Object.entries(judges)) {
      const judge = row.judges[name] ?? { passed: 0, refused: 0 };
      row.judges[name] = { passed: judge.passed + passed, refused: judge.refused + refused };
    }
  }
  for (const [name, { inputs, passed }] of Object.entries(from.changes)) {
    const row = changeRow(into, name);
    row.inputs += inputs;
    row.passed += passed;
  }
  for (const [name, by] of Object.entries(from.explained)) count(into.explained, name, by);
  for (const [name, by] of Object.entries(from.rules)) count(into.rules, name, by);
  const earlier = into.failureCount;
  for (const failure of from.failures) addFailure(into, failure);
  into.failureCount = earlier + from.failureCount;
}
