import t from 'tap';
import { editDistance } from '../../lib/config/distance.ts';
import { configHelp } from '../../lib/config/help.ts';
import { KEYS } from '../../lib/config/keys.ts';
import type { Row } from '../../lib/config/row.ts';

t.test('--help names every setting with its default and range', async (t) => {
  const help = configHelp();
  for (const row of Object.values<Row<unknown>>(KEYS)) {
    t.ok(help.includes(`  ${row.env}  ${row.kind}, default `), row.env);
    t.ok(row.doc.length > 10, `${row.env} is explained`);
  }
  t.match(help, /RELAY_REPLAY_WINDOW {2}duration, default 72h\n.*\(1s … 3650d\)/);
  t.match(help, /RELAY_ADMIN_PASSWORD_FILE/);
  t.same(
    help.split('\n').filter((line) => line.length > 100),
    [],
  );
});

t.test('names are unique', async (t) => {
  const names = Object.values<Row<unknown>>(KEYS).flatMap((row) => [row.env, ...row.aliases]);
  t.equal(new Set(names).size, names.length);
});

t.test('edit distance', async (t) => {
  t.equal(editDistance('', 'abc'), 3);
  t.equal(editDistance('kitten', 'sitting'), 3);
  t.equal(editDistance('same', 'same'), 0);
});
