/** What lets `npm ci` work on every machine, also where a registry lacks some platforms. */
import { globSync, readFileSync } from 'node:fs';
import t from 'tap';

type Entry = {
  version?: string;
  resolved?: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
};

for (const path of globSync(['package-lock.json', 'test/real/package-lock.json'])) {
  const { packages }: { packages: Record<string, Entry> } = JSON.parse(readFileSync(path, 'utf8'));

  t.test(`${path}: each package is there, optional ones of other platforms too`, async (t) => {
    const names = new Set(Object.keys(packages).map((at) => at.replace(/^.*node_modules\//, '')));
    const missing = Object.entries(packages).flatMap(([at, entry]) =>
      Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })
        .filter((name) => !names.has(name))
        .map((name) => `${name}, wanted by ${at}`),
    );
    t.same(missing, [], 'npm ci would refuse the lockfile');
  });

  t.test(`${path}: names no registry`, async (t) => {
    const urls = Object.values(packages).filter(({ resolved }) => resolved !== undefined);
    t.same(urls, []);
  });
}
