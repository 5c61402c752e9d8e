/**
 * Writes dist/: plain JavaScript of lib and workers, for the package and the image (Node does not
 * strip types below node_modules). dist/build.json says which commit it is made of (D32).
 *
 *   npm run build
 *   npm run build -- --out <folder>    somewhere else
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const { values } = parseArgs({ options: { out: { type: 'string', default: join(ROOT, 'dist') } } });
const OUT = resolve(values.out);
const SHEBANG = '#!/usr/bin/env node\n';

function fail(reason: string): never {
  console.error(reason);
  process.exit(1);
}

function compile(): void {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const config = join(ROOT, 'scripts/tsconfig.build.json');
  const args = [compiler, '-p', config, '--outDir', OUT];
  const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0) fail('the compiler found errors');
}

/** An import that still names a .ts file would fail only when it is reached. */
function checkImports(): void {
  const left = globSync('**/*.js', { cwd: OUT }).filter((file) =>
    /^\s*(?:import|export)\b[^'"]*['"]\.[^'"]+\.ts['"]/m.test(
      readFileSync(join(OUT, file), 'utf8'),
    ),
  );
  if (left.length > 0) fail(`imports of .ts files are left in ${left.join(', ')}`);
}

function git(...args: readonly string[]): string {
  const { status, stdout } = spawnSync('git', args, { cwd: ROOT });
  return status === 0 ? String(stdout).trim() : '';
}

/** Of the tree, or of BUILD_COMMIT where there is no repository (an image build). */
function commitOf(): string {
  const commit = git('rev-parse', 'HEAD');
  if (commit === '') return process.env['BUILD_COMMIT'] ?? '';
  const isDirty = git('status', '--porcelain', '--', 'lib', 'workers', 'migrations') !== '';
  return isDirty ? `${commit}-dirty` : commit;
}

function writeInfo(): void {
  const { version }: { version: string } = JSON.parse(
    readFileSync(join(ROOT, 'package.json'), 'utf8'),
  );
  const info = { version, commit: commitOf() };
  writeFileSync(join(OUT, 'build.json'), `${JSON.stringify(info)}\n`);
  console.log(`built ${version} ${info.commit} into ${OUT}`);
}

/** The package's binary. */
function makeExecutable(): void {
  const main = join(OUT, 'lib/main.js');
  const text = readFileSync(main, 'utf8');
  if (!text.startsWith('#!')) writeFileSync(main, SHEBANG + text);
  chmodSync(main, 0o755);
}

rmSync(OUT, { recursive: true, force: true });
compile();
checkImports();
makeExecutable();
writeInfo();
