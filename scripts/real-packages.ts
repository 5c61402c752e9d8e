/**
 * The packages in test/real: software that we did not write, for tests that want a real PDS or a
 * verifier that is not ours. Installed apart from our own dependencies, when first needed.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const REAL = join(import.meta.dirname, '..', 'test', 'real');

/** Runs a command to its end, in a folder. */
export type Run = (command: string, args: readonly string[], cwd: string) => void;

/** Installs them where they are missing. Without a checkout of test/real there is nothing to do. */
export function installReal(run: Run): void {
  if (!existsSync(join(REAL, 'package.json')) || isInstalled()) return;
  console.log('test/real: installing the packages of the real PDS');
  run('npm', ['ci', '--no-audit', '--no-fund'], REAL);
}

/** npm writes this file last: a run that was interrupted does not count. */
function isInstalled(): boolean {
  return existsSync(join(REAL, 'node_modules', '.package-lock.json'));
}
