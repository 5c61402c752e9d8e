/** The few numbers of /metrics that the demo shows. */
export type Sample = {
  readonly verifiedCount: number;
  readonly durableSeq: number;
  readonly consumerCount: number;
  /** By reason, none that is zero, most frequent first. */
  readonly rejects: readonly (readonly [reason: string, count: number])[];
  /** Mean time to verify a commit, in µs; 0 before the first. */
  readonly verifyMicros: number;
};

export const NO_SAMPLE: Sample = {
  verifiedCount: 0,
  durableSeq: 0,
  consumerCount: 0,
  rejects: [],
  verifyMicros: 0,
};

/** One line of the Prometheus text format: family, labels, value. */
const LINE = /^([a-z_]+)(?:\{(.*)\})? ([^ ]+)$/;

export function readSample(text: string): Sample {
  const sums = new Map<string, number>();
  const rejects = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, family = '', labels = '', value = ''] = LINE.exec(line) ?? [];
    const number = Number(value);
    sums.set(family, (sums.get(family) ?? 0) + number);
    if (family !== 'relay_reject_events_total' || number === 0) continue;
    const reason = /reason="(\w+)"/.exec(labels)?.[1] ?? '';
    rejects.set(reason, (rejects.get(reason) ?? 0) + number);
  }
  const sum = (family: string): number => sums.get(family) ?? 0;
  const commitCount = sum('relay_verify_commit_seconds_count');
  const verifySeconds = sum('relay_verify_commit_seconds_sum') / Math.max(1, commitCount);
  return {
    verifiedCount: sum('relay_verify_events_total'),
    durableSeq: sum('relay_log_durable_seq'),
    consumerCount: sum('relay_broadcast_consumers_count'),
    rejects: [...rejects].sort((a, b) => b[1] - a[1]),
    verifyMicros: verifySeconds * 1e6,
  };
}

export function rejectCount({ rejects }: Sample): number {
  return rejects.reduce((sum, [, count]) => sum + count, 0);
}
