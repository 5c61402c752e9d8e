/** The demo's texts: the line while it runs, the summary, and whether all went well. */
import type { Ledger } from './ledger.ts';
import { rejectCount, type Sample } from './metrics.ts';
import type { DemoOptions } from './options.ts';

const REASONS_SHOWN = 3;
/** A run that made fewer of the events it was asked for says so. */
const RATE_SHARE_MIN = 0.8;

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : thousands(ms)} ms`;
}

function reasonsOf({ rejects }: Sample, shown: number): string {
  const named = rejects.slice(0, shown).map(([reason, count]) => `${reason} ${count}`);
  const rest = rejects.slice(shown).reduce((sum, [, count]) => sum + count, 0);
  return [...named, ...(rest > 0 ? [`others ${rest}`] : [])].join(', ');
}

export type Moment = {
  readonly seconds: number;
  readonly eventsPerSecond: number;
  readonly nowMs: number;
};

/** Longest last: a narrow terminal cuts the line off. */
export function liveLine(ledger: Ledger, sample: Sample, moment: Moment): string {
  const waited = milliseconds(ledger.waitedMs(moment.nowMs));
  const rejects = rejectCount(sample);
  const reasons = rejects === 0 ? '' : ` (${reasonsOf(sample, REASONS_SHOWN)})`;
  const consumers = sample.consumerCount;
  return [
    `${Math.floor(moment.seconds)} s`,
    `${thousands(moment.eventsPerSecond)} events/s`,
    `seq ${thousands(ledger.lastSeq)}`,
    `verified ${thousands(sample.verifiedCount)}`,
    `lag ${thousands(ledger.waitingCount)} events, ${waited}`,
    `${consumers} consumer${consumers === 1 ? '' : 's'}`,
    `rejected ${thousands(rejects)}${reasons}`,
  ].join(' | ');
}

/** What is wrong with the run; empty where nothing is. */
export function problemsOf(ledger: Ledger): string[] {
  const problems: string[] = [];
  const add = (count: number, what: string): void => {
    if (count > 0) problems.push(`${thousands(count)} ${what}`);
  };
  add(ledger.waitingCount, 'events never arrived');
  add(ledger.doubledCount, 'events came twice, or from nobody');
  add(ledger.gapCount, 'times seq did not go on by one');
  add(ledger.passedCount, 'forgeries were passed on');
  return problems;
}

export function summaryLines(
  options: DemoOptions,
  ledger: Ledger,
  sample: Sample,
  runSeconds: number,
): string[] {
  const { latencies } = ledger;
  const rate = ledger.receivedCount / Math.max(runSeconds, 0.001);
  const wanted = options.rate * runSeconds;
  const isShort = ledger.sentCount < RATE_SHARE_MIN * wanted;
  const short = isShort
    ? `, for want of CPU not the ${thousands(options.rate)} per second asked`
    : '';
  const arrived = ledger.receivedCount - ledger.passedCount - ledger.doubledCount;
  const rows: readonly (readonly [string, string])[] = [
    ['hosts', `${thousands(options.hosts)}, ${thousands(options.accounts)} accounts each`],
    [
      'sent by hosts',
      `${thousands(ledger.sentCount)} events in ${runSeconds.toFixed(1)} s${short}`,
    ],
    ['received', `${thousands(arrived)} events, ${thousands(rate)} per second`],
    ['missing', thousands(ledger.waitingCount)],
    ['doubled', thousands(ledger.doubledCount)],
    ['forged', `${thousands(ledger.forgedCount)} sent, ${thousands(ledger.passedCount)} arrived`],
    ['rejected', `${thousands(rejectCount(sample))}: ${reasonsOf(sample, sample.rejects.length)}`],
    ['verifying', `${thousands(sample.verifyMicros)} µs per commit`],
    [
      'delivery',
      `p50 ${milliseconds(latencies.quantile(0.5))}, p99 ${milliseconds(latencies.quantile(0.99))}`,
    ],
  ];
  return rows.map(([name, value]) => `  ${name.padEnd(14)} ${value}`);
}
