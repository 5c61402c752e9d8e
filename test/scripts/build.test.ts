import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';

const ROOT = join(import.meta.dirname, '..', '..');
/** Below node_modules, where a package is installed: Node refuses to strip types there. */
const OUT = join(ROOT, 'node_modules/.cache', `build-test-${process.pid}`);

/** Runs Node without the hooks that the test runner puts into every child's environment. */
function runPlain(command: string, args: readonly string[], path = process.env['PATH']) {
  const names = Object.keys(process.env).filter((name) => /^(NODE_OPTIONS$|_?TAP)/.test(name));
  const unset = [...names, 'NODE_OPTIONS'].flatMap((name) => ['-u', name]);
  const env = { ...process.env, PATH: path };
  return spawnSync('env', [...unset, command, ...args], { cwd: ROOT, env });
}

t.test('D32: the build runs as an installed package does, and says its commit', async (t) => {
  t.teardown(() => rmSync(OUT, { recursive: true, force: true }));
  const built = runPlain(process.execPath, ['scripts/build.ts', '--out', OUT]);
  t.equal(built.status, 0, String(built.stdout) + String(built.stderr));
  // By its shebang, as npm's link to it is run; with this Node first in the path.
  const path = `${dirname(process.execPath)}:${process.env['PATH']}`;
  const help = runPlain(join(OUT, 'lib/main.js'), ['--help'], path);
  t.equal(help.status, 0, String(help.stderr));
  t.match(String(help.stdout), /RELAY_API_BIND/);
  const info: unknown = JSON.parse(readFileSync(join(OUT, 'build.json'), 'utf8'));
  t.match(info, { version: /^\d+\.\d+\.\d+/, commit: /^([0-9a-f]{40}(-dirty)?)?$/ });
});
