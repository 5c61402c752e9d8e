/** The benches run, each a little; .ci/run has the one with a whole relay too. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { compare, median, SMOKE } from './rounds.ts';

const BENCH = join(import.meta.dirname, '..', '..', 'scripts', 'bench.ts');

function bench(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BENCH, ...args]);
  return { status, output: String(stdout) + String(stderr) };
}

t.test('benches in smoke mode print a ratio per variant', { timeout: 60_000 }, async (t) => {
  const { status, output } = bench('--smoke', 'verify', 'ring', 'log', 'fanout');
  t.equal(status, 0, status === 0 ? 'exit code' : output);
  for (const title of ['verify: ', 'ring: ', 'log: ', 'fan-out: ']) t.match(output, title);
  // So little work that a CPU clock may not have moved: then a ratio is no number.
  const ratios = output.match(/ {2}(\d+\.\d\d|Infinity|NaN)$/gm) ?? [];
  t.equal(ratios.length, 6 * 3 + 3 + 4 + 3 * 3);
});

t.test('arguments', async (t) => {
  const help = bench('--help');
  t.equal(help.status, 0);
  for (const name of ['verify', 'ring', 'log', 'fanout', 'relay', '--smoke']) {
    t.match(help.output, name);
  }
  t.match(bench('speed'), { status: 2, output: /no bench 'speed'/ });
  t.match(bench('--quick'), { status: 2, output: /--quick/ });
});

t.test('ratios are medians of rounds, not of runs', async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 3, 2]), 2.5);
  const order: string[] = [];
  const variant = (name: string, costs: readonly number[]) => {
    let turn = 0;
    const measure = (): number => {
      order.push(name);
      return costs[turn++] ?? Number.NaN;
    };
    return { name, measure };
  };
  const lines: string[] = [];
  // A disturbed round, in which everything takes ten times as long, leaves the ratio as it is.
  const variants = [variant('own', [10, 100, 10]), variant('other', [20, 200, 20])];
  await compare('title', variants, { ...SMOKE, rounds: 3 }, (line) => lines.push(line));
  t.same(order, ['own', 'other', 'other', 'own', 'own', 'other']);
  t.match(lines.at(-2), /own +10\.0 +10\.0 … 100\.0 +100,000 +1\.00$/);
  t.match(lines.at(-1), /other +20\.0 +20\.0 … 200\.0 +50,000 +2\.00$/);
});
