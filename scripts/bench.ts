/**
 * npm run bench: what the hot paths cost, each next to what it is compared with, in the same run.
 * The benches are in test/bench. Prints numbers and judges none: it fails only when one breaks.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { fanoutBench } from '../test/bench/fanout.bench.ts';
import { logBench } from '../test/bench/log.bench.ts';
import { relayBench } from '../test/bench/relay.bench.ts';
import { ringBench } from '../test/bench/ring.bench.ts';
import { type Bench, FULL, SMOKE } from '../test/bench/rounds.ts';
import { verifyBench } from '../test/bench/verify.bench.ts';

const BENCHES: readonly Bench[] = [verifyBench, ringBench, logBench, fanoutBench, relayBench];
const NAME_CHARS = 10;
/** Above this share of the cores something else is running. */
const BUSY_SHARE = 0.5;

const HELP = `Usage: npm run bench -- [name…] [--smoke]

Runs the named benches, or all of them:

${BENCHES.map(({ name, about }) => `  ${name.padEnd(NAME_CHARS)} ${about}`).join('\n')}

The variants of a bench take turns for five rounds; a line shows the median, the range, and the
median over the rounds of its ratio to the first line, which is the relay's own. Ratios are the
result: the rest depends on the machine and on what else it does.

  --smoke    each only so far that it is seen to run; the numbers mean nothing
  --help     this text

  BENCH_DIR  folder on the disk that the log is measured on (environment; default: temporary files)
`;

function fail(problem: string): never {
  console.error(`${problem}; --help lists what there is`);
  process.exit(2);
}

function readArguments(): { chosen: readonly Bench[]; isSmoke: boolean } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { smoke: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    });
    if (values.help === true) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    const chosen = positionals.map(
      (name) => BENCHES.find((bench) => bench.name === name) ?? fail(`no bench '${name}'`),
    );
    return { chosen: chosen.length > 0 ? chosen : BENCHES, isSmoke: values.smoke === true };
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

function describeMachine(): string {
  const cores = availableParallelism();
  const load = loadavg()[0] ?? 0;
  const busy = load > cores * BUSY_SHARE ? ', which disturbs what is measured' : '';
  const model = cpus()[0]?.model.trim() ?? 'unknown';
  return `node ${process.version}, ${cores} × ${model}, load ${load.toFixed(1)}${busy}`;
}

const { chosen, isSmoke } = readArguments();
// With their exit handlers, which remove what they have written.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130));
const startMs = performance.now();
console.log(describeMachine());
for (const bench of chosen) await bench.run(isSmoke ? SMOKE : FULL, (line) => console.log(line));
console.log(`\nbenches took ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
