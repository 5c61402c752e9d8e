/**
 * Who runs the built-in PostgreSQL. It refuses to run as root, so a relay started as root lends
 * its cluster to another user id: the owner that the cluster already has, else nobody. Where that
 * user could not reach the programs or the data (a relay below /root), a user namespace with our
 * own rights takes its place. Decides and fixes ownership; starts no server.
 * @thread main
 */
import { execFile } from 'node:child_process';
import { chmodSync, lchownSync, readdirSync, type Stats, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { RelayFault } from '../base/fault.ts';
import { MINUTE_MS } from '../base/units.ts';
import type { PostgresBinaries } from './embedded-binaries.ts';

export type ClusterUser = {
  /** Set when the user id is changed at the start of a program. */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
  /** Put in front of every command. */
  readonly prefix: readonly string[];
  /** Who must own the files. */
  readonly ownerUid: number;
};

export type CommandResult = {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
};

const NOBODY = 65534;
const UNSHARE = ['unshare', '--user', `--map-user=${NOBODY}`, '--'] as const;

/**
 * Picks the user and gives it the cluster's files. `clusterDir` need not exist. A RelayFault
 * `embedded_unreachable` or `embedded_owner` says what the operator can do.
 */
export async function chooseClusterUser(
  binaries: PostgresBinaries,
  dataDir: string,
  clusterDir: string,
): Promise<ClusterUser> {
  const owner = statSync(clusterDir, { throwIfNoEntry: false });
  const ourUid = process.getuid?.() ?? 0;
  if (ourUid !== 0) {
    if (owner !== undefined && owner.uid !== ourUid) throw ownerFault(clusterDir, owner.uid);
    return chooseAsSelf(binaries, ourUid);
  }
  const user = await chooseAsRoot(binaries, dataDir, owner);
  if (owner !== undefined && owner.uid !== user.ownerUid) {
    giveTree(clusterDir, user.ownerUid, user.ids?.gid ?? 0);
  }
  return user;
}

/** Gives one new file or directory to the user; does nothing where it is ours already. */
export function giveTo(user: ClusterUser, path: string): void {
  if (user.ids !== undefined) lchownSync(path, user.ids.uid, user.ids.gid);
}

/** Runs a program of the cluster as its user and waits for its end. Never rejects. */
export function runAs(
  user: ClusterUser,
  env: Readonly<Record<string, string>>,
  command: readonly string[],
): Promise<CommandResult> {
  const [file = '', ...args] = [...user.prefix, ...command];
  const { promise, resolve } = Promise.withResolvers<CommandResult>();
  const options = { env: { ...env }, cwd: '/', timeout: MINUTE_MS, ...user.ids };
  execFile(file, args, options, (error, stdout, stderr) => {
    const code = error === null ? 0 : (error.code ?? error.signal ?? 'failed');
    resolve({ code, stdout, stderr: stderr === '' ? (error?.message ?? '') : stderr });
  });
  return promise;
}

/** Containers run under user ids without a name, with which `initdb` cannot work. */
async function chooseAsSelf(binaries: PostgresBinaries, ourUid: number): Promise<ClusterUser> {
  const spaced: ClusterUser = { ids: undefined, prefix: UNSHARE, ownerUid: ourUid };
  if (!hasName() && (await canRun(binaries, spaced))) return spaced;
  const user: ClusterUser = { ids: undefined, prefix: [], ownerUid: ourUid };
  await requireRunning(binaries, user);
  return user;
}

function hasName(): boolean {
  try {
    userInfo();
    return true;
  } catch {
    return false;
  }
}

async function chooseAsRoot(
  binaries: PostgresBinaries,
  dataDir: string,
  owner: Stats | undefined,
): Promise<ClusterUser> {
  const isOwned = owner !== undefined && owner.uid !== 0;
  const ids = isOwned ? { uid: owner.uid, gid: owner.gid } : { uid: NOBODY, gid: NOBODY };
  const lent: ClusterUser = { ids, prefix: [], ownerUid: ids.uid };
  openDataDir(dataDir);
  const wall = firstClosedDir(dataDir, ids) ?? firstClosedDir(dirname(binaries.postgres), ids);
  if (wall === undefined && (await canRun(binaries, lent))) return lent;
  const spaced: ClusterUser = { ids: undefined, prefix: UNSHARE, ownerUid: 0 };
  if (await canRun(binaries, spaced)) return spaced;
  if (wall === undefined) await requireRunning(binaries, lent);
  const message =
    `PostgreSQL does not run as root, and user ${ids.uid} cannot enter ${wall}: run the relay as ` +
    `another user, or chmod o+x that directory, or move the relay, or set DATABASE_URL`;
  throw new RelayFault('embedded_unreachable', message, { isRetryable: false });
}

/** Lets the database user pass through our data directory, without letting it list it. */
function openDataDir(dataDir: string): void {
  const stats = statSync(dataDir);
  if (stats.uid === 0 && (stats.mode & 0o001) === 0) chmodSync(dataDir, (stats.mode & 0o777) | 1);
}

type Ids = { readonly uid: number; readonly gid: number };

/** The outermost directory on the way to `path` that `ids` may not pass through. */
function firstClosedDir(path: string, ids: Ids): string | undefined {
  const parent = dirname(path);
  const above = parent === path ? undefined : firstClosedDir(parent, ids);
  if (above !== undefined) return above;
  const stats = statSync(path);
  let bit = 0o001;
  if (stats.uid === ids.uid) bit = 0o100;
  else if (stats.gid === ids.gid) bit = 0o010;
  return (stats.mode & bit) === 0 ? path : undefined;
}

async function canRun(binaries: PostgresBinaries, user: ClusterUser): Promise<boolean> {
  return (await runAs(user, binaries.env, [binaries.postgres, '--version'])).code === 0;
}

async function requireRunning(binaries: PostgresBinaries, user: ClusterUser): Promise<void> {
  const result = await runAs(user, binaries.env, [binaries.postgres, '--version']);
  if (result.code === 0) return;
  // ENOENT for a file that is there: its loader is missing, as on Alpine.
  const hint = result.code === 'ENOENT' ? ' (the programs need glibc)' : '';
  const message = `cannot run ${binaries.postgres}: ${result.stderr.trim()}${hint}`;
  throw new RelayFault('embedded_unsupported', message, { isRetryable: false });
}

function ownerFault(clusterDir: string, uid: number): RelayFault {
  const message =
    `${clusterDir} belongs to user ${uid}: start the relay as that user (or as root), ` +
    `or chown -R it`;
  return new RelayFault('embedded_owner', message, { isRetryable: false });
}

function giveTree(path: string, uid: number, gid: number): void {
  lchownSync(path, uid, gid);
  for (const entry of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
    lchownSync(join(path, entry), uid, gid);
  }
}
