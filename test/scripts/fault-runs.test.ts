/** The table of the crash rig: what counts as a violation, and how a control is told. */
import t from 'tap';
import { faultTable, parseTestLine } from '../../scripts/fault-runs.ts';

t.test('lines of TAP at the outermost level are tests', async (t) => {
  t.same(parseTestLine('ok 3 - G16 full # time=9000.0ms'), {
    isOk: true,
    title: 'G16 full',
    skipped: '',
    seconds: 9,
  });
  t.match(parseTestLine('not ok 1 - kill -9, seed 7 # time=5ms'), {
    isOk: false,
    title: 'kill -9, seed 7',
  });
  t.match(parseTestLine('ok 1 - G15 fails once # SKIP no libfiu'), { skipped: 'no libfiu' });
  t.equal(parseTestLine('    not ok 1 - an assertion of a test'), undefined);
  t.equal(parseTestLine('# { total: 1, pass: 1 }'), undefined);
});

t.test('violations are counted; a control must be caught; what did not run is told', async (t) => {
  const row = { runs: 1, violations: 0, skipped: '' };
  const { lines, badCount } = faultTable([
    { ...row, name: 'kill -9', runs: 1000 },
    { ...row, name: 'disk full', violations: 2 },
    { ...row, name: 'negative control: cursor first' },
    { ...row, name: 'negative control: nobody saw it', violations: 1 },
    { ...row, name: 'libfiu', runs: 0, skipped: 'not installed' },
  ]);
  t.equal(badCount, 2);
  const text = lines.join('\n');
  t.match(text, /^kill -9 +1000 +0$/m);
  t.match(text, /^disk full +1 +2$/m);
  t.match(text, /cursor first +1 +caught$/m);
  t.match(text, /nobody saw it +1 +NOT CAUGHT$/m);
  t.match(text, /libfiu +0 +not run: not installed$/m);
});
