/**
 * The one door to the tests: `npm test`, `npm run test:slow`, `npm test -- test/log/disk.test.ts`.
 * Makes what a fresh clone lacks: tap without its TypeScript plugin, and the packages of the real
 * PDS in test/real.
 *
 *   --slow       the tests of test/slow instead of all others
 *   --fault      the crash rig (npm run test:fault): kills, disk faults, a database that stops, all
 *                of it with one checker; a table at the end; see scripts/fault-runs.ts
 *     --kills=N    kill -9 so many times (1000)
 *     --seed=N     seed of the first run of 25 kills (1000)
 *     --only=PART  test files whose path has this in it
 *   --coverage   with a coverage report
 *   --jobs=N     test files at a time
 *   --help       this text
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runFaults } from './fault-runs.ts';
import { installReal } from './real-packages.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    slow: { type: 'boolean', default: false },
    fault: { type: 'boolean', default: false },
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1000' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '' },
  },
});
const ROOT = join(import.meta.dirname, '..');
const BIN = join(ROOT, 'node_modules', '.bin');
/** What tap runs; written by `tap build`, and by its install with the default plugins. */
const TAP_BUILT = join(ROOT, 'node_modules/@tapjs/test/test-built/dist/esm/index.js');
/** Tests that use the packages of test/real. */
const REAL = /real|fuzz/;

function run(command: string, args: readonly string[], cwd: string): void {
  // Children find the project's Node first, and share what it compiled: hundreds of them load the
  // same files. Without a terminal the progress line is left out.
  const env = {
    NODE_COMPILE_CACHE: join(ROOT, 'node_modules', '.cache', 'skyrelay-compiled'),
    ...process.env,
    PATH: `${BIN}:${process.env['PATH']}`,
    ...(process.stdout.isTTY ? {} : { CI: 'true' }),
  };
  const { status, signal } = spawnSync(command, args, { cwd, env, stdio: 'inherit' });
  if (status === 0) return;
  console.error(`${command} ${args.join(' ')}: ended with ${signal ?? status}`);
  process.exit(status ?? 1);
}

function isTapBuilt(): boolean {
  return existsSync(TAP_BUILT) && !readFileSync(TAP_BUILT, 'utf8').includes('@tapjs/typescript');
}

function isRealWanted(): boolean {
  return positionals.length === 0 || positionals.some((path) => REAL.test(path));
}

function tapArgs(): string[] {
  const args = ['--reporter=terse'];
  if (values.coverage) args.push('--no-disable-coverage');
  if (values.jobs !== '') args.push(`--jobs=${values.jobs}`);
  if (positionals.length > 0) return [...args, ...positionals];
  if (!values.slow) return args;
  const slow = globSync('test/slow/**/*.test.ts', { cwd: ROOT });
  if (slow.length === 0) {
    console.error('no tests in test/slow');
    process.exit(1);
  }
  return [...args, '--jobs=1', '--timeout=3600', ...slow];
}

function helpText(): string {
  const [, comment = ''] =
    /\/\*\*\n(.*?) \*\//s.exec(readFileSync(import.meta.filename, 'utf8')) ?? [];
  return comment.replace(/^ \* ?/gm, '').trimEnd();
}

function countOf(name: 'kills' | 'seed'): number {
  const text = values[name];
  if (/^\d{1,9}$/.test(text)) return Number(text);
  console.error(`--${name}: ${text} is no number`);
  process.exit(2);
}

if (values.help) {
  console.log(helpText());
  process.exit(0);
}
if (values.fault) {
  const options = { kills: countOf('kills'), seed: countOf('seed'), only: values.only };
  process.exit(await runFaults(options));
}
const startMs = performance.now();
// The first run after a change of plugins would still use the old ones, and fail.
if (!isTapBuilt()) run('tap', ['build'], ROOT);
if (isRealWanted()) installReal(run);
run('tap', tapArgs(), ROOT);
console.log(`tests took ${Math.round((performance.now() - startMs) / 1000)} s`);
