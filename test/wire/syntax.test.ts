/** TID, datetime and handle by the published lists and at their edges. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { isDatetime, isHandle, isTid } from '../../lib/wire/syntax.ts';

const FOLDER = join(import.meta.dirname, '../fixtures/atproto-interop/syntax');
type Check = (buf: Uint8Array, start: number, end: number) => boolean;

/** The lines of a list; comments and empty lines are none. */
function list(name: string): string[] {
  const lines = readFileSync(join(FOLDER, `${name}.txt`), 'utf8').split('\n');
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

/** The verdict inside other bytes, which must not matter. */
function verdict(check: Check, text: string): boolean {
  const [z, nine] = [Buffer.from(`Z${text}Z`), Buffer.from(`9${text}9`)];
  const [a, b] = [check(z, 1, z.length - 1), check(nine, 1, nine.length - 1)];
  if (a !== b) throw new Error(`looks outside of ${text}`);
  return a;
}

function suite(
  name: string,
  check: Check,
  valid: readonly string[],
  invalid: readonly string[],
): void {
  t.test(name, async (t) => {
    t.ok(valid.length > 0 && invalid.length > 0);
    for (const text of valid) t.ok(verdict(check, text), text);
    for (const text of invalid) t.notOk(verdict(check, text), text);
  });
}

suite('interop: TIDs', isTid, list('tid_syntax_valid'), list('tid_syntax_invalid'));
suite('interop: handles', isHandle, list('handle_syntax_valid'), list('handle_syntax_invalid'));
suite('interop: datetimes', isDatetime, list('datetime_syntax_valid'), [
  ...list('datetime_syntax_invalid'),
  ...list('datetime_parse_invalid'),
]);

suite(
  'TIDs at the edges',
  isTid,
  ['2222222222222', 'jzzzzzzzzzzzz'],
  [
    '',
    'kzzzzzzzzzzzz',
    '1222222222222',
    '8222222222222',
    '222222222222{',
    '222222222222`',
    '222222222222Z',
  ],
);

suite(
  'datetimes at the edges (H51)',
  isDatetime,
  [
    '2024-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
    '1904-02-29T00:00:00Z',
    '2026-12-31T23:59:59+23:59',
    '2026-01-31T00:00:00-00:01',
    '2026-04-30T00:00:00-01:00',
    '0000-01-01T00:00:00-01:00',
    '0000-01-01T01:00:00+01:00',
    '0000-01-02T00:00:00+01:00',
    `2026-01-01T00:00:00.${'1'.repeat(43)}Z`,
  ],
  [
    '',
    '2026-01-01T00:00:0Z',
    '2025-02-29T00:00:00Z',
    '2024-02-30T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-06-31T00:00:00Z',
    '2026-09-31T00:00:00Z',
    '2026-11-31T00:00:00Z',
    '2026-01-32T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:60Z',
    '2026-01-01T00:00:00+24:00',
    '2026-01-01T00:00:00+00:60',
    '2026-01-01T00:00:00+0x:00',
    '2026-01-01T00:00:00+00:0x',
    '2026-01-01T00:00:00+00-00',
    '2026-01-01T00:00:00*00:00',
    '2026-01-01T00:00:00-00:00',
    '2026-01-01T00:00:00ZZ',
    '2026-01-01T00:00:00.Z',
    '2026-01-01T00:00:00.1',
    '2026-01-01T00:00:00,1Z',
    '2x26-01-01T00:00:00Z',
    '20x6-01-01T00:00:00Z',
    '2026/01-01T00:00:00Z',
    '2026-01/01T00:00:00Z',
    '2026-01-01T00.00:00Z',
    '2026-01-01T00:00.00Z',
    '2026-01-01Tx0:00:00Z',
    '2026-01-01T00:x0:00Z',
    '2026-01-01T00:00:x0Z',
    '0000-01-01T00:59:00+01:00',
    '0000-01-01T01:30:00+01:31',
    `2026-01-01T00:00:00.${'1'.repeat(44)}Z`,
  ],
);

const LABEL = 'a'.repeat(63);
suite(
  'handles at the edges',
  isHandle,
  ['a.b', 'A.B1', 'xn--ls8h.test', `${LABEL}.com`, `${`${LABEL}.`.repeat(3)}${'b'.repeat(61)}`],
  [
    '',
    '.',
    'a',
    'a.',
    '.a',
    'a..b',
    'a.-b',
    'a-.b',
    'a.b-',
    'a.1b',
    `${LABEL}a.com`,
    `${`${LABEL}.`.repeat(3)}${'b'.repeat(62)}`,
    'a_b.c',
    'a.b/c',
    'a.[',
    'a.b:c',
  ],
);
