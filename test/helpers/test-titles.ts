/**
 * Titles of tests, read from the text of a test file: what stands first in a call of `test`, and in
 * a row of a table whose rows become tests (`t.test(name, …)`, or `check(ROWS)` and `suite(…)`).
 */
const CALL = /\bt\.test\(\s*(?:'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`)/g;
const SUITE = /\bsuite\(\s*'((?:[^'\\]|\\.)*)'/g;
const ROW = /(?:\[|\bseqs\()\s*(?:'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`)\s*,/g;
const ROWS_ARE_TESTS = /\bt\.test\(name,|^check\(/m;

export function titlesOf(text: string): string[] {
  const patterns = ROWS_ARE_TESTS.test(text) ? [CALL, SUITE, ROW] : [CALL, SUITE];
  return patterns.flatMap((pattern) =>
    [...text.matchAll(pattern)].map(([, plain, template]) => plain ?? template ?? ''),
  );
}
