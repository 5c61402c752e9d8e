import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { statement } from '../../lib/store/statement.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const files = globSync('lib/store/*.ts', { cwd: ROOT });
const STATEMENT = /statement\('(\w+)'\)`([^`]*)`/g;

type Found = { file: string; name: string; sql: string };
const found: Found[] = files.flatMap((file) =>
  [...readFileSync(join(ROOT, file), 'utf8').matchAll(STATEMENT)].map(
    ([, name = '', sql = '']) => ({
      file,
      name,
      sql,
    }),
  ),
);

/** A read of a table must say how many rows it can give; unnest() is bounded by its caller. */
function isBounded(sql: string): boolean {
  const isRead = /^\s*(SELECT|WITH)\b/.test(sql) && /\bFROM\b/.test(sql);
  return !isRead || /\bLIMIT\b/.test(sql);
}

t.test('C21: every read has a LIMIT', async (t) => {
  t.ok(found.length > 20, `${found.length} statements`);
  t.same(
    found.filter(({ sql }) => !isBounded(sql)).map(({ name }) => name),
    [],
  );
  t.equal(isBounded('SELECT did FROM accounts'), false, 'the rule fires');
});

t.test('names of statements are unique: a connection prepares a name once', async (t) => {
  const names = found.map(({ name }) => name);
  t.same(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  );
});

t.test('S19: SQL is constant text', async (t) => {
  for (const { name, sql } of found) t.notMatch(sql, /\$\{/, name);
  for (const file of files) {
    const text = readFileSync(join(ROOT, file), 'utf8');
    t.notMatch(text, /query(<[^(]*>)?\(\s*`[^`]*\$\{/, `${file}: no template with values`);
    t.notMatch(text, /query(<[^(]*>)?\(\s*['"`][^'"`]*['"`]\s*\+/, `${file}: no concatenation`);
  }
  const tag = statement('test_bad') as (text: TemplateStringsArray, ...rest: unknown[]) => unknown;
  t.throws(() => tag`SELECT ${1}`, { name: 'AssertionFailed' });
  t.throws(() => statement('x'.repeat(64)), { name: 'AssertionFailed' });
});

t.test('no SQL and no pg outside lib/store', async (t) => {
  for (const file of globSync('lib/**/*.ts', { cwd: ROOT })) {
    if (file.startsWith('lib/store/')) continue;
    const text = readFileSync(join(ROOT, file), 'utf8');
    t.notMatch(text, /from 'pg'/, file);
    t.notMatch(text, /\b(SELECT .+ FROM|INSERT INTO|DELETE FROM|UPDATE \w+ SET)\b/, file);
  }
});
