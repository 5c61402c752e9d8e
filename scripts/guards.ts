/**
 * npm run guards: takes one check after the other out of a copy of the tree, and expects the test
 * that is named for it to fail. A check whose absence no test notices ends this with 1.
 */
import { parseArgs } from 'node:util';
import { TreeCopy } from './guards/copy.ts';
import { type Guard, withoutCheck } from './guards/guard.ts';
import { GUARDS } from './guards/table.ts';

const HELP = `Usage: npm run guards -- [word…] [--list]

Takes each check of the table in scripts/guards out of a copy of the tree, runs the test that is
named for it, and expects it to fail. Each test file runs once untouched, too, and must be green.
With words: only guards whose name or file has one of them.

  --jobs=N   copies that work at a time (2)
  --list     the guards, and nothing is run
  --help     this text
`;
const OUTPUT_LINES_MAX = 40;

function fail(problem: string): never {
  console.error(`${problem}; --help lists what there is`);
  process.exit(2);
}

function readArguments(): { chosen: readonly Guard[]; isList: boolean; jobs: number } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        list: { type: 'boolean', default: false },
        jobs: { type: 'string', default: '2' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help === true) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    const isChosen = ({ name, file }: Guard): boolean =>
      positionals.length === 0 || positionals.some((word) => `${name} ${file}`.includes(word));
    const chosen = GUARDS.filter(isChosen);
    const jobs = Number(values.jobs);
    if (chosen.length === 0) fail('no such guard');
    if (!Number.isInteger(jobs) || jobs < 1) fail('--jobs takes a number of 1 or more');
    return { chosen, isList: values.list, jobs };
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

const { chosen, isList, jobs } = readArguments();
if (isList) {
  for (const { name, file, test, title } of chosen) {
    console.log(`${name}\n    ${file}: ${test}, "${title}…"`);
  }
  process.exit(0);
}

const copies = new Set<TreeCopy>();
process.once('exit', () => {
  for (const copy of copies) copy.remove();
});
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130));

type Task = { readonly name: string; readonly run: (copy: TreeCopy) => Promise<string> };

/** '' when the untouched test is green. */
function greenTask(test: string): Task {
  const run = async (copy: TreeCopy): Promise<string> => {
    const { isGreen, output } = await copy.run(test);
    return isGreen ? '' : `is red though nothing was taken out\n${lastLines(output)}`;
  };
  return { name: test, run };
}

function lastLines(output: string): string {
  return output.split('\n').slice(-OUTPUT_LINES_MAX).join('\n');
}

/** '' when the test notices. */
function guardTask(guard: Guard): Task {
  const run = async (copy: TreeCopy): Promise<string> => {
    const original = copy.read(guard.file);
    const patched = withoutCheck(guard, original);
    if ('problem' in patched) return patched.problem;
    copy.write(guard.file, patched.text);
    const { isGreen, failed, output } = await copy.run(guard.test);
    copy.write(guard.file, original);
    if (isGreen) return `${guard.test} is green without it`;
    if (failed.some((title) => title.startsWith(guard.title))) return '';
    const titles = failed.length > 0 ? failed.join('\n  ') : lastLines(output);
    return `"${guard.title}…" is not among what fails without it:\n  ${titles}`;
  };
  return { name: guard.name, run };
}

const tests = [...new Set(chosen.map(({ test }) => test))];
const tasks = [...tests.map(greenTask), ...chosen.map(guardTask)];
const total = tasks.length;
let done = 0;
let bad = 0;

async function work(): Promise<void> {
  const copy = new TreeCopy();
  copies.add(copy);
  for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) {
    const problem = await task.run(copy);
    done++;
    if (problem !== '') bad++;
    console.log(`${`${done}`.padStart(3)}/${total} ${problem === '' ? 'ok ' : 'BAD'} ${task.name}`);
    if (problem !== '') console.log(`    ${problem.replaceAll('\n', '\n    ')}`);
  }
}

const startMs = performance.now();
await Promise.all(Array.from({ length: jobs }, work));
const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
console.log(`${chosen.length} guards, ${tests.length} test files, ${bad} bad, ${seconds} s`);
if (bad > 0) process.exitCode = 1;
