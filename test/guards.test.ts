/** The table of guards (npm run guards) fits the code, and three of them really run. */
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { TreeCopy } from '../scripts/guards/copy.ts';
import { type Guard, withoutCheck } from '../scripts/guards/guard.ts';
import { GUARDS } from '../scripts/guards/table.ts';
import { titlesOf } from './helpers/test-titles.ts';

const textOf = (path: string): string => readFileSync(path, 'utf8');

t.test('each guard finds its check, once, and its test has the title', async (t) => {
  t.ok(GUARDS.length >= 170, `${GUARDS.length} guards`);
  t.equal(new Set(GUARDS.map(({ name }) => name)).size, GUARDS.length, 'no name twice');
  const folders = new Set(GUARDS.map(({ file }) => file.split('/').slice(0, 2).join('/')));
  const verification = ['wire', 'repo', 'verify', 'shard', 'hosts', 'upstream'];
  for (const folder of [...verification, 'log', 'shared', 'broadcast', 'threads']) {
    t.ok(folders.has(`lib/${folder}`), folder);
  }
  for (const guard of GUARDS) {
    const patched = withoutCheck(guard, textOf(guard.file));
    if ('problem' in patched) t.fail(patched.problem);
    else t.not(patched.text, textOf(guard.file), guard.name);
    const isTitled = titlesOf(textOf(guard.test)).some((title) => title.startsWith(guard.title));
    t.ok(isTitled, `${guard.name}: "${guard.title}…" in ${guard.test}`);
  }
});

t.test('a text that is missing or stands twice is told', async (t) => {
  const guard: Guard = { name: 'g', file: 'f', find: 'ab', replace: '', test: '', title: '' };
  t.same(withoutCheck(guard, 'xaby'), { text: 'xy' });
  t.match(withoutCheck(guard, 'xy'), { problem: /does not have/ });
  t.match(withoutCheck(guard, 'abab'), { problem: /more than once/ });
});

t.test('without its check the named test fails, with it the test is green', async (t) => {
  const copy = new TreeCopy();
  t.teardown(() => copy.remove());
  for (const name of ['undone, it is prevData', 'low-S', 'no envelope key twice, unsorted']) {
    const guard = GUARDS.find((each) => each.name === name);
    if (guard === undefined) throw new Error(`no guard ${name}`);
    const original = copy.read(guard.file);
    const patched = withoutCheck(guard, original);
    if ('problem' in patched) throw new Error(patched.problem);
    copy.write(guard.file, patched.text);
    const without = await copy.run(guard.test);
    copy.write(guard.file, original);
    t.notOk(without.isGreen, `${name}: red without it`);
    const isNoticed = without.failed.some((title) => title.startsWith(guard.title));
    t.ok(isNoticed, `${name}: "${guard.title}…" fails`);
    t.ok((await copy.run(guard.test)).isGreen, `${name}: green with it`);
  }
  copy.remove();
  t.notOk(existsSync(copy.root), 'nothing is left behind');
});
