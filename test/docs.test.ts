/** Pages, manifests and tables say what the code does, and nothing more (B14). */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { IGNORED_NAMES, KEYS } from '../lib/config/keys.ts';
import type { Row } from '../lib/config/row.ts';
import { REJECT_FAMILY } from '../lib/metrics/catalog.ts';
import { METRIC_FAMILIES } from '../lib/metrics/slots.ts';
import { REJECT_CODES } from '../lib/reject/codes.ts';
import { stalePages } from '../scripts/gen-docs.ts';

const GUARANTEES = 28;
const SERIES_TABLES = ['lib/metrics/catalog.ts', 'lib/metrics/verify-series.ts'];
const PAGES = globSync(['*.md', 'docs/**/*.md', 'k8s/**/*.yaml', 'Dockerfile']);
const textOf = (path: string): string => readFileSync(path, 'utf8');
const sourcesBut = (...tables: readonly string[]): string =>
  globSync('{lib,workers}/**/*.ts')
    .filter((path) => !tables.includes(path))
    .map(textOf)
    .join('\n');

const ENV_NAMES = new Set([
  ...IGNORED_NAMES.keys(),
  ...Object.values<Row<unknown>>(KEYS).flatMap((row) => [row.env, ...row.aliases]),
]);
const SERIES = new Set<string>([REJECT_FAMILY, ...METRIC_FAMILIES]);

t.test('generated pages are up to date (npm run docs)', async (t) => {
  t.same(stalePages(), []);
});

t.test('every setting and series that a page names exists', async (t) => {
  for (const path of PAGES) {
    const text = textOf(path);
    const names = text.match(/\bRELAY_[A-Z_]+[A-Z]\b(?!_?\*)/g) ?? [];
    const unknown = names.filter((name) => !ENV_NAMES.has(name.replace(/_FILE$/, '')));
    t.same(unknown, [], `settings in ${path}`);
    const series = text.match(/\brelay_[a-z_]+[a-z]\b(?!_?\*)/g) ?? [];
    const strange = series.filter((name) => !SERIES.has(name.replace(/_(bucket|sum|count)$/, '')));
    t.same(
      strange.filter((name) => !SERIES.has(name)),
      [],
      `series in ${path}`,
    );
  }
});

t.test('links between pages lead somewhere', async (t) => {
  for (const path of PAGES.filter((name) => name.endsWith('.md'))) {
    for (const [, target = ''] of textOf(path).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      t.ok(existsSync(join(dirname(path), target)), `${path}: ${target}`);
    }
  }
});

t.test('every dependency has its line in docs/adr/0001', async (t) => {
  const json: Record<string, Record<string, string>> = JSON.parse(textOf('package.json'));
  const { dependencies, devDependencies, optionalDependencies } = json;
  const page = textOf('docs/adr/0001-dependencies.md');
  const packages = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies });
  for (const [name, version] of packages) {
    const scope = /^@(types|tsconfig)\//.exec(name);
    const mark = scope === null ? `\`${name}\`` : `\`@${scope[1]}/*\``;
    t.ok(page.includes(mark), name);
    t.match(version, /^\d/, `${name} is pinned`);
  }
});

t.test('decisions are short', async (t) => {
  for (const path of globSync('docs/adr/*.md')) {
    t.ok(textOf(path).split('\n').length <= 41, path);
  }
});

t.test('no row of a table is dead', async (t) => {
  const unusedSeries = METRIC_FAMILIES.filter(
    (family) => !sourcesBut(...SERIES_TABLES).includes(family),
  );
  t.same(unusedSeries, [], 'series');
  const unusedCodes = REJECT_CODES.filter(
    (code) => !sourcesBut('lib/reject/codes.ts').includes(`'${code}'`),
  );
  t.same(unusedCodes, [], 'reject codes');
  const unusedKeys = Object.keys(KEYS).filter(
    (key) => !new RegExp(`\\bconfig\\.${key}\\b`).test(sourcesBut('lib/config/keys.ts')),
  );
  t.same(unusedKeys, [], 'settings');
});

t.test('each guarantee G1 … G28 is in the name of a test', async (t) => {
  const tests = globSync('test/**/*.test.ts', { exclude: (name) => name.endsWith('node_modules') });
  const names = tests
    .map(textOf)
    .flatMap((text) => text.match(/\bt\.test\(\s*(['"`])[\s\S]*?\1/g) ?? [])
    .join('\n');
  const missing = Array.from({ length: GUARANTEES }, (_, index) => `G${index + 1}`).filter(
    (name) => !new RegExp(`\\b${name}\\b`).test(names),
  );
  t.same(missing, []);
});
