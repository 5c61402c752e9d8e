/** `npm run fuzz` as its user sees it: a short run, an input again, wrong arguments. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { basesOf } from '../fuzz/bases.ts';
import { savedInput } from '../fuzz/saved-input.ts';

const PACKAGE = join(import.meta.dirname, '../../package.json');
const SCRIPT = join(import.meta.dirname, '../../scripts/fuzz.ts');

function fuzz(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], {
    encoding: 'utf8',
  });
  return { status, output: `${stdout}${stderr}` };
}

t.test('a short run: tables, and no failure', async (t) => {
  const { status, output } = fuzz('--count=200', '--seed=5', '--jobs=1', '--changes');
  t.equal(status, 0, output);
  for (const part of [
    'seed 5, inputs 0 to 199, 1 threads',
    /^our verdict +inputs +@atcute/m,
    /^pass +\d+/m,
    'disagreements that are meant to be',
    'rules by which judges refused',
    /^tree: /m,
    /^seed 5: 200 inputs .*; 0 failures/m,
  ]) {
    t.match(output, part);
  }
});

t.test('an input again, from a file', async (t) => {
  const [base] = basesOf(1);
  if (base === undefined) throw new Error('no message');
  const { frame, key, known } = base;
  const file = join(t.testdir(), 'input.json');
  const input = { frame, key, known, isStrict: true, changes: [] };
  writeFileSync(file, savedInput(1, 7, 'a right message', input));
  const { status, output } = fuzz('--replay', file);
  t.equal(status, 0);
  t.match(output, /^ours: pass .*\n@atcute: pass\n@atproto: pass\n$/);
});

t.test('npm knows it', async (t) => {
  t.match(JSON.parse(readFileSync(PACKAGE, 'utf8')), { scripts: { fuzz: 'node scripts/fuzz.ts' } });
});

t.test('help, and arguments that are none', async (t) => {
  t.match(fuzz('--help'), { status: 0, output: /--replay=FILE/ });
  t.match(fuzz('--count=many'), { status: 2, output: /whole number from 1/ });
  t.match(fuzz('--fast'), { status: 2, output: /--help/ });
});
