/**
 * The crash rig behind `npm run test:fault`: every long fault proof, each test file in a process of
 * its own, with a progress line per test and one table at the end. A row is a fault: how often it
 * was done to a relay, and how many checks found something wrong. A negative control is a known
 * mistake, which must be caught.
 */
import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';

export type FaultOptions = {
  readonly kills: number;
  /** Seed of the first run of kills. */
  readonly seed: number;
  /** Test files whose path has this in it; '' for all. */
  readonly only: string;
};

type Job = { readonly file: string; readonly env: Readonly<Record<string, string>> };

type Row = {
  readonly name: string;
  runs: number;
  violations: number;
  skipped: string;
};

/** A test of one file, as its TAP output tells it. */
export type TestLine = {
  readonly isOk: boolean;
  readonly title: string;
  readonly skipped: string;
  readonly seconds: number;
};

const ROOT = join(import.meta.dirname, '..');
const KILLS_FILE = 'test/slow/kill9.test.ts';
const KILLS_PER_JOB = 25;
/** These judge by the clock: nothing runs beside them. */
const ALONE = [
  'test/fault/**/*.test.ts',
  'test/slow/fault-*.test.ts',
  'test/log/{kill,power,fault-loop,strace}.test.ts',
];
/** Side by side: each leaves room while its relay starts, or waits for the disk. */
const KILL_LANES = 3;
/** Seconds; the tests have limits of their own. */
const FILE_SECONDS_MAX = 1800;
const CONTROL = /^(negative )?control: /;

/** A line of the outermost level of TAP; undefined for all others. */
export function parseTestLine(line: string): TestLine | undefined {
  const match = /^(not )?ok \d+ - (.*?)(?: # (.*))?$/.exec(line);
  if (match === null) return undefined;
  const [, not, title = '', directive = ''] = match;
  const skipped = /^SKIP\b ?(.*)$/i.exec(directive);
  const seconds = Number(/time=([\d.]+)ms/.exec(directive)?.[1] ?? 0) / 1000;
  const why = skipped === null ? '' : skipped[1] || 'skipped';
  return { isOk: not === undefined, title, skipped: why, seconds };
}

/** The lines of the table, and how many rows are bad. */
export function faultTable(rows: readonly Row[]): { lines: string[]; badCount: number } {
  const width = Math.max(...rows.map((row) => row.name.length), 'fault'.length);
  const head = `${'fault'.padEnd(width)}    runs  violations`;
  const lines = [head, '-'.repeat(head.length)];
  let badCount = 0;
  for (const { name, runs, violations, skipped } of rows) {
    if (violations > 0) badCount++;
    const isControl = CONTROL.test(name);
    const controlled = violations === 0 ? 'caught' : 'NOT CAUGHT';
    const said = isControl ? controlled : String(violations);
    const end = skipped === '' ? said : `not run: ${skipped}`;
    lines.push(`${name.padEnd(width)}  ${String(runs).padStart(6)}  ${end.padStart(10)}`);
  }
  return { lines, badCount };
}

/** Runs everything; returns the exit code. */
export async function runFaults(options: FaultOptions): Promise<number> {
  const startMs = performance.now();
  const cache = mkdtempSync(join(tmpdir(), 'skyrelay-compiled-'));
  const rows = new Map<string, Row>();
  const run = (job: Job): Promise<void> => runJob(job, cache, rows);
  try {
    const isWanted = ({ file }: Job): boolean => file.includes(options.only);
    const alone = ALONE.flatMap((glob) => globSync(glob, { cwd: ROOT }).sort());
    for (const file of alone) if (isWanted({ file, env: {} })) await run({ file, env: {} });
    const kills = killJobs(options).filter(isWanted);
    const lane = async (): Promise<void> => {
      for (let job = kills.shift(); job !== undefined; job = kills.shift()) await run(job);
    };
    await Promise.all(Array.from({ length: KILL_LANES }, lane));
  } finally {
    rmSync(cache, { recursive: true, force: true, maxRetries: 5 });
  }
  const { lines, badCount } = faultTable([...rows.values()]);
  const tookS = Math.round((performance.now() - startMs) / 1000);
  const end = badCount === 0 ? 'no violations' : `${badCount} rows with violations`;
  console.log(`\n${lines.join('\n')}\n\n${end}, took ${tookS} s`);
  return badCount === 0 && rows.size > 0 ? 0 : 1;
}

function killJobs({ kills, seed }: FaultOptions): Job[] {
  const jobs: Job[] = [];
  for (let done = 0; done < kills; done += KILLS_PER_JOB) {
    const count = Math.min(KILLS_PER_JOB, kills - done);
    const first = seed + jobs.length;
    const env = { TEST_KILLS: String(count), TEST_KILL_SEED: String(first) };
    jobs.push({ file: KILLS_FILE, env });
  }
  return jobs;
}

async function runJob(job: Job, cache: string, rows: Map<string, Row>): Promise<void> {
  const env = {
    TEST_OUTAGE_SECONDS: '30',
    ...process.env,
    ...job.env,
    NODE_COMPILE_CACHE: cache,
    TAP_TIMEOUT: String(FILE_SECONDS_MAX),
  };
  const child = spawn(process.execPath, [join(ROOT, job.file)], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const output: string[] = [];
  /** `# fault {…}` of the test that runs: what it did, and how often. */
  let said: { name: string; runs: number } | undefined;
  let isTold = false;
  for await (const line of createInterface({ input: child.stdout })) {
    output.push(line);
    const fault = /^ +# fault (\{.*\})$/.exec(line)?.[1];
    const note = /^ +# (?!Subtest|time=|\{)(.*)$/.exec(line)?.[1];
    if (fault !== undefined) said = JSON.parse(fault);
    else if (note !== undefined) console.log(`  ${basename(job.file)}: ${note}`);
    const test = parseTestLine(line);
    if (test === undefined) continue;
    if (!test.isOk) isTold = true;
    console.log(`${test.isOk ? 'ok' : 'NOT OK'} ${Math.round(test.seconds)} s: ${test.title}`);
    record(rows, said?.name ?? test.title, said?.runs ?? 1, test);
    said = undefined;
    if (!test.isOk) for (const text of output.splice(0)) console.log(`    ${text}`);
    output.length = 0;
  }
  const code = await ended;
  if (code === 0 || isTold) return;
  record(rows, job.file, 1, { isOk: false, title: job.file, skipped: '', seconds: 0 });
  console.log(`NOT OK ${job.file} ended with ${code}\n${output.join('\n')}`);
}

function record(rows: Map<string, Row>, name: string, runs: number, test: TestLine): void {
  const row = rows.get(name) ?? { name, runs: 0, violations: 0, skipped: test.skipped };
  if (test.skipped === '') row.runs += runs;
  if (!test.isOk) row.violations++;
  rows.set(name, row);
}
