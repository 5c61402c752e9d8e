/**
 * npm run fuzz: our verifier against two that are not ours, on mutated messages. Fails where one
 * passes what the other refuses and no explained class says why, where ours throws, and where it
 * takes too long. The inputs that failed are saved and can be judged again.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Prng } from '../lib/base/prng.ts';
import { Campaign } from '../test/fuzz/campaign.ts';
import { runFuzz } from '../test/fuzz/fuzz-pool.ts';
import {
  changeTable,
  explainedTable,
  outcome,
  ruleTable,
  verdictTable,
} from '../test/fuzz/report.ts';
import { inputOf } from '../test/fuzz/saved-input.ts';
import type { Tally } from '../test/fuzz/tally.ts';
import { installReal } from './real-packages.ts';

const COUNT = 2_000_000;
const JOBS = 2;
const FAILURES_MAX = 100;
const LINE_EVERY_MS = 10_000;
const BAR_CHARS = 30;

const HELP = `Usage: npm run fuzz -- [options]

Judges changed messages (commits, syncs, identity and account events) with our verifier and with
two made of other people's packages, @atcute and @atproto, and compares. Whatever they disagree on
must be of an explained class; a throw, or more than 50 ms of CPU time for one input, fails too.
Inputs depend on the seed and their number alone, not on the number of threads.

  --count=N      inputs (default ${COUNT})
  --seed=N       seed (default: another one each time; it is printed)
  --from=N       number of the first input (default 0): with --count=1, one input again
  --jobs=N       threads (default ${JOBS}, at most the cores)
  --out=FOLDER   where inputs that failed are saved (default: a new temporary folder)
  --changes      also a table of what was changed in the inputs, and how often that passes
  --replay=FILE  judge one saved input again, and say who says what
  --help         this text

Exit codes: 0 all agree, 1 something failed, 2 wrong arguments.
`;

const OPTIONS = {
  count: { type: 'string' },
  seed: { type: 'string' },
  from: { type: 'string' },
  jobs: { type: 'string' },
  out: { type: 'string' },
  changes: { type: 'boolean' },
  replay: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

function fail(problem: string): never {
  console.error(`${problem}; --help lists what there is`);
  process.exit(2);
}

function readArguments(): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

/** A whole number of an option, or its default. */
function numberOf(name: string, text: string | undefined, otherwise: number, min: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text.replaceAll('_', ''));
  const isWhole = text !== '' && Number.isSafeInteger(value) && value >= min;
  return isWhole ? value : fail(`--${name}: '${text}' is no whole number from ${min}`);
}

function run(command: string, args: readonly string[], cwd: string): void {
  const { status, signal } = spawnSync(command, args, { cwd, stdio: 'inherit' });
  if (status === 0) return;
  console.error(`${command} ${args.join(' ')}: ended with ${signal ?? status}`);
  process.exit(status ?? 1);
}

/** A bar on a terminal; elsewhere a line now and then. */
class Progress {
  readonly #count: number;
  readonly #startMs = performance.now();
  #lineMs = this.#startMs;

  constructor(count: number) {
    this.#count = count;
  }

  get seconds(): number {
    return (performance.now() - this.#startMs) / 1000;
  }

  show({ inputs, failureCount }: Tally): void {
    const share = inputs / this.#count;
    const left = Math.round((this.seconds / share) * (1 - share));
    const rest = `${inputs}/${this.#count} inputs, ${failureCount} failures, ${left} s left`;
    if (process.stdout.isTTY) {
      const bar = '█'.repeat(Math.round(share * BAR_CHARS)).padEnd(BAR_CHARS, '·');
      process.stdout.write(`\r${bar} ${rest} \x1b[K`);
    } else if (performance.now() - this.#lineMs >= LINE_EVERY_MS) {
      this.#lineMs = performance.now();
      console.log(`${Math.floor(100 * share)} %: ${rest}`);
    }
  }

  end(): void {
    if (process.stdout.isTTY) process.stdout.write('\n');
  }
}

/** Writes what failed to files and says where. */
function saveFailures({ failures, failureCount }: Tally, out: string | undefined): void {
  if (failureCount === 0) return;
  if (out !== undefined) mkdirSync(out, { recursive: true });
  const folder = out ?? mkdtempSync(join(tmpdir(), 'skyrelay-fuzz-'));
  for (const { index, what, saved } of failures) {
    const file = join(folder, `input-${index}.json`);
    writeFileSync(file, saved);
    console.log(`FAILED input ${index}: ${what}\n  npm run fuzz -- --replay ${file}`);
  }
  const more = failureCount - failures.length;
  if (more > 0) console.log(`and ${more} more`);
}

const values = readArguments();
if (values.help === true) {
  process.stdout.write(HELP);
  process.exit(0);
}
installReal(run);
if (values.replay !== undefined) {
  const campaign = await Campaign.start(0);
  const { lines, isFine } = await campaign.replay(inputOf(readFileSync(values.replay, 'utf8')));
  console.log(lines.join('\n'));
  process.exit(isFine ? 0 : 1);
}
const count = numberOf('count', values.count, COUNT, 1);
const seed = numberOf('seed', values.seed, Prng.randomSeed(), 0);
const from = numberOf('from', values.from, 0, 0);
const jobs = numberOf('jobs', values.jobs, Math.min(JOBS, availableParallelism()), 1);
const progress = new Progress(count);
console.log(`seed ${seed}, inputs ${from} to ${from + count - 1}, ${jobs} threads`);
const onProgress = (tally: Tally): void => progress.show(tally);
const tally = await runFuzz({ seed, from, count, jobs, failuresMax: FAILURES_MAX, onProgress });
progress.end();
const tables = [verdictTable(tally), explainedTable(tally), ruleTable(tally)];
if (values.changes === true) tables.push(changeTable(tally));
for (const table of tables) console.log(`\n${table.join('\n')}`);
console.log('');
saveFailures(tally, values.out);
console.log(outcome(tally, seed, progress.seconds));
process.exit(tally.failureCount === 0 ? 0 : 1);
