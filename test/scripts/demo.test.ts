/** The demo as somebody runs it: it sums up truly and leaves nothing behind. */
import t from 'tap';
import { demoHelp, parseDemoOptions } from '../../scripts/demo/options.ts';
import { eventually } from '../helpers/stream-checker.ts';
import { rowOf, SMALL, startDemo } from './demo-run.ts';

t.setTimeout(100_000);
const countOf = (text: string): number => Number.parseInt(text.replaceAll(',', ''), 10);

t.test('G2 G3 G5: a run of three seconds', { timeout: 90_000 }, async (t) => {
  const run = startDemo(t, [...SMALL, '--seconds', '3']);
  t.equal(await run.exited, 0, run.output);
  t.same(run.leftovers(), []);
  t.match(run.output, /^\d+ s \| .* events\/s \| seq .* \| verified .* \| lag .* \| 1 consumer/m);
  const sent = countOf(rowOf(run, 'sent by hosts'));
  t.ok(sent > 100, `${sent} events sent`);
  t.equal(countOf(rowOf(run, 'received')), sent);
  t.equal(rowOf(run, 'missing'), '0');
  t.equal(rowOf(run, 'doubled'), '0');
  const forged = /^(\d+) sent, 0 arrived$/.exec(rowOf(run, 'forged'))?.[1];
  t.equal(countOf(rowOf(run, 'rejected')), Number(forged), 'each forgery has its reject');
  t.ok(Number(forged) >= 4);
  t.match(rowOf(run, 'rejected'), /commit_signature_bad/);
  t.match(rowOf(run, 'verifying'), /^[1-9]/);
  t.match(rowOf(run, 'delivery'), /^p50 [\d.,]+ ms, p99 [\d.,]+ ms$/);
});

t.test('Ctrl-C sums up what there was', { timeout: 90_000 }, async (t) => {
  const run = startDemo(t, [...SMALL, '--seconds', '0']);
  t.ok(await eventually(() => /^2 s \|/m.test(run.output), 60_000));
  run.child.kill('SIGINT');
  // Under npm the same Ctrl-C comes twice.
  setTimeout(() => run.child.kill('SIGINT'), 20);
  t.equal(await run.exited, 0, run.output);
  t.same(run.leftovers(), []);
  t.equal(rowOf(run, 'missing'), '0');
  t.equal(rowOf(run, 'doubled'), '0');
});

t.test('Ctrl-C in the middle of the start', { timeout: 60_000 }, async (t) => {
  const run = startDemo(t, SMALL);
  t.ok(await eventually(() => run.output.includes('starting the relay'), 30_000));
  await new Promise((resolve) => setTimeout(resolve, 500));
  run.child.kill('SIGINT');
  t.equal(await run.exited, 0, run.output);
  t.same(run.leftovers(), []);
});

t.test('arguments', async (t) => {
  t.equal(parseDemoOptions(['--help']), 'help');
  const options = { hosts: 3, accounts: 20, rate: 200, seconds: 0, seed: 7 };
  t.same(parseDemoOptions(['--hosts', '3', '--seconds=0', '--seed', '7']), options);
  t.match(parseDemoOptions(['--hosts', '0']), [/--hosts must be a whole number in 1 … 1000/]);
  t.match(parseDemoOptions(['--rate=-1', '--seed', 'x']), [/--rate must be/, /--seed must be/]);
  t.match(parseDemoOptions(['--hosts']), [/--hosts/]);
  t.match(parseDemoOptions(['--speed', '3']), [/--speed/]);
  t.match(parseDemoOptions(['more']), [/more/]);
  t.match(parseDemoOptions(['--hosts', '1000', '--accounts', '1000']), [/at most 100000/]);
  for (const name of ['hosts', 'accounts', 'rate', 'seconds', 'seed', 'help']) {
    t.match(demoHelp(), `--${name}`);
  }
});
