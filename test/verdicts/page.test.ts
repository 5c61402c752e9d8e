/** docs/VERDICTS.md is whole, and every row of it says that we got what we expect. */
import t from 'tap';
import { REJECTS } from '../../lib/reject/codes.ts';
import { readRows } from './table.ts';

const CASES = 173;
/** What may become of a message; other answers are compared by who reads the page. */
const WORD = /\bPASS\*?|\b(?:IGNORE|DROP|STRIKE|CLOSE)\b/g;
const CODED = /\b(DROP|STRIKE|IGNORE) ([a-z_]+)/g;
const rows = readRows();

t.test('H1 … H173 have one row each, in order', async (t) => {
  t.same(
    rows.map((row) => row.id),
    Array.from({ length: CASES }, (_, index) => `H${index + 1}`),
  );
});

t.test('what we got is what we expect', async (t) => {
  for (const row of rows) t.equal(row.got, row.expected, row.id);
});

t.test('a verdict of ours and the code behind it agree on what is done', async (t) => {
  for (const { id, expected } of rows) {
    for (const [, word = '', code = ''] of expected.matchAll(CODED)) {
      const row = Object.entries(REJECTS).find(([name]) => name === code)?.[1];
      t.equal(row?.action, word.toLowerCase(), `${id}: ${word} ${code}`);
    }
  }
});

/** `DROP(car)` and `DROP commit_car_bad` are the same word, `PASS*` is `PASS changed`. */
function wordsOf(verdict: string): Set<string> {
  return new Set(verdict.replaceAll('PASS changed', 'PASS*').match(WORD) ?? []);
}

t.test('a verdict that is not the one of the catalogue names its decision', async (t) => {
  for (const { id, specVerdict, expected, deviation = '' } of rows) {
    const ours = wordsOf(expected);
    const choices = specVerdict.split(' or ').map(wordsOf);
    if (!ours.has('STRIKE') && choices.some((words) => words.isSubsetOf(ours))) continue;
    t.match(deviation, /^\[ADR \d{4}\]\(adr\//, `${id}: ${specVerdict}, ${expected}`);
  }
});
