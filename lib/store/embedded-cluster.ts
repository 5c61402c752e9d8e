/**
 * The files of the built-in PostgreSQL: where they are, how the cluster is made, of which version
 * it is, where its socket goes, and its server log. A cluster is made beside its place and moved
 * there when complete, so a crash in between leaves nothing that looks like one.
 * @thread main
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorCode, RelayFault } from '../base/fault.ts';
import { KiB, MiB } from '../base/units.ts';
import type { PostgresBinaries } from './embedded-binaries.ts';
import { type ClusterUser, giveTo, runAs } from './embedded-user.ts';

/** Role of the cluster; there is no other, and no password: the socket's directory is private. */
export const CLUSTER_ROLE = 'skyrelay';
export const CLUSTER_PORT = 5432;

const INIT_PREFIX = 'postgres.init-';
const SERVER_LOG = 'postgres.log';
const SERVER_LOG_BYTES_MAX = 4 * MiB;
/** Longest path of a unix socket, in bytes, without its ending zero. */
const SOCKET_PATH_BYTES_MAX = process.platform === 'linux' ? 107 : 103;

/**
 * Makes the cluster in `clusterDir` unless it is there; refuses one that another major version
 * made, or a directory that holds something else.
 */
export async function ensureCluster(
  binaries: PostgresBinaries,
  user: ClusterUser,
  dataDir: string,
  clusterDir: string,
  isSyncing: boolean,
): Promise<void> {
  removeUnfinished(dataDir);
  const version = clusterVersion(clusterDir);
  if (version === undefined) return initCluster(binaries, user, dataDir, clusterDir, isSyncing);
  const ours = await serverMajor(binaries, user);
  if (version === ours) return;
  const message =
    `${clusterDir} was made by PostgreSQL ${version}, this relay brings ${ours}: start the relay ` +
    `that made it and move its data with pg_dump, or set DATABASE_URL to a server of yours`;
  throw new RelayFault('embedded_version', message, { isRetryable: false });
}

/** Directory for the socket: the cluster itself, or a short private one where paths are long. */
export function socketDirOf(clusterDir: string, user: ClusterUser): string {
  const path = join(clusterDir, `.s.PGSQL.${CLUSTER_PORT}`);
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return clusterDir;
  const hash = createHash('sha256').update(clusterDir).digest('hex').slice(0, 12);
  const shortDir = join(tmpdir(), `skyrelay-${hash}`);
  try {
    mkdirSync(shortDir, { mode: 0o700 });
    giveTo(user, shortDir);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
  // Anybody may make names in a temporary directory: trust only one that is ours and closed.
  const stats = lstatSync(shortDir);
  if (stats.isDirectory() && stats.uid === user.ownerUid && (stats.mode & 0o077) === 0) {
    return shortDir;
  }
  const message = `${shortDir} is in the way: it must be a directory of mode 0700 of our own`;
  throw new RelayFault('embedded_unreachable', message, { isRetryable: false });
}

/** Removes the lock files of a postmaster that is known not to run. */
export function removeStaleLocks(clusterDir: string, socketDir: string): void {
  const socket = join(socketDir, `.s.PGSQL.${CLUSTER_PORT}`);
  for (const path of [join(clusterDir, 'postmaster.pid'), socket, `${socket}.lock`]) {
    rmSync(path, { force: true });
  }
}

/** Opens the server log for appending; the server inherits the descriptor. */
export function openServerLog(dataDir: string): number {
  return openSync(join(dataDir, SERVER_LOG), 'a+', 0o640);
}

/** Empties the server log once it has grown; the server appends, so it goes on at the start. */
export function trimServerLog(logFd: number): void {
  if (fstatSync(logFd).size > SERVER_LOG_BYTES_MAX) ftruncateSync(logFd, 0);
}

/** Last lines of the server log, for the message of a failed start. */
export function serverLogTail(logFd: number, fromByte: number): string {
  const endByte = fstatSync(logFd).size;
  const startByte = Math.max(Math.min(fromByte, endByte), endByte - 2 * KiB);
  const bytes = Buffer.alloc(endByte - startByte);
  const byteCount = readSync(logFd, bytes, 0, bytes.length, startByte);
  const lines = bytes.toString('utf8', 0, byteCount).trim().split('\n');
  return lines.slice(-3).join(' | ');
}

export function serverLogBytes(logFd: number): number {
  return fstatSync(logFd).size;
}

function clusterVersion(clusterDir: string): string | undefined {
  try {
    return readFileSync(join(clusterDir, 'PG_VERSION'), 'utf8').trim();
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  if (existsSync(clusterDir) && readdirSync(clusterDir).length > 0) {
    const message = `${clusterDir} holds files but no PostgreSQL cluster: move it away`;
    throw new RelayFault('embedded_damaged', message, { isRetryable: false });
  }
  return undefined;
}

async function serverMajor(binaries: PostgresBinaries, user: ClusterUser): Promise<string> {
  const result = await runAs(user, binaries.env, [binaries.postgres, '--version']);
  return /(\d+)\./.exec(result.stdout)?.[1] ?? result.stdout.trim();
}

async function initCluster(
  binaries: PostgresBinaries,
  user: ClusterUser,
  dataDir: string,
  clusterDir: string,
  isSyncing: boolean,
): Promise<void> {
  const newDir = mkdtempSync(join(dataDir, INIT_PREFIX));
  chmodSync(newDir, 0o700);
  giveTo(user, newDir);
  const options = ['--auth=trust', '--encoding=UTF8', '--locale=C', '--no-instructions'];
  if (!isSyncing) options.push('--no-sync');
  const command = [binaries.initdb, '-D', newDir, '-U', CLUSTER_ROLE, ...options];
  const result = await runAs(user, binaries.env, command);
  if (result.code !== 0) {
    rmSync(newDir, { recursive: true, force: true });
    const reason = result.stderr.trim().slice(-500);
    const hint = /could not look up effective user ID/.test(reason)
      ? ': give this user id a name in /etc/passwd, or set DATABASE_URL'
      : '';
    const message = `cannot make a database cluster: ${reason}${hint}`;
    const isFull = /No space left|quota exceeded/i.test(result.stderr);
    throw new RelayFault('embedded_start', message, { isRetryable: isFull });
  }
  if (existsSync(clusterDir)) rmdirSync(clusterDir);
  renameSync(newDir, clusterDir);
  syncDir(dataDir);
}

function removeUnfinished(dataDir: string): void {
  for (const name of readdirSync(dataDir)) {
    if (name.startsWith(INIT_PREFIX)) rmSync(join(dataDir, name), { recursive: true, force: true });
  }
}

function syncDir(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
