/**
 * The processes of one database cluster: which run, what the main one wrote about itself, and how
 * to end them. A process is known by its command line, which everybody may read, and not by a
 * number in a file: numbers are used again, most of all in containers. Starts nothing.
 * @thread main
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { RelayFault } from '../base/fault.ts';
import { SECOND_MS } from '../base/units.ts';

/** What a running postmaster says in its lock file. */
export type PostmasterFile = {
  readonly pid: number;
  readonly port: number;
  readonly socketDir: string;
  /** `starting`, `ready`, `stopping` or empty. */
  readonly status: string;
};

export type StopTimes = {
  /** For a fast stop: clients are cut off, a shutdown checkpoint is written. */
  readonly fastMs: number;
  /** For an immediate stop, which recovers at the next start. */
  readonly immediateMs: number;
};

const LOOK_MS = 20;
const KILL_MS = 5 * SECOND_MS;

/** Name in the process titles of the cluster: tells ours from any other PostgreSQL. */
export function clusterName(clusterDir: string): string {
  return `skyrelay-${createHash('sha256').update(clusterDir).digest('hex').slice(0, 16)}`;
}

/** Content of `postmaster.pid`; undefined where there is none or it is not complete yet. */
export function readPostmasterFile(clusterDir: string): PostmasterFile | undefined {
  let text: string;
  try {
    text = readFileSync(join(clusterDir, 'postmaster.pid'), 'utf8');
  } catch {
    return undefined;
  }
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  const socketDir = (lines[4] ?? '').trim();
  if (!Number.isInteger(pid) || pid <= 1 || !Number.isInteger(port) || socketDir === '') {
    return undefined;
  }
  return { pid, port, socketDir, status: (lines[7] ?? '').trim() };
}

/** Process ids of the cluster: its postmaster and what that one left behind. */
export function clusterProcesses(clusterDir: string): number[] {
  const found: number[] = [];
  for (const [pid, command] of allProcesses()) {
    if (isOfCluster(command, clusterDir)) found.push(pid);
  }
  return found;
}

/** Whether `pid` runs and belongs to the cluster; a zombie does not run. */
export function isRunning(pid: number, clusterDir: string): boolean {
  if (process.platform === 'linux') return isOfCluster(commandOf(pid), clusterDir);
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * Ends the postmaster `pid` and its children: fast stop, then immediate, then SIGKILL. Resolves
 * when no process of the cluster is left; throws a RelayFault when even SIGKILL did not end them.
 */
export async function stopCluster(
  pid: number,
  clusterDir: string,
  clock: Clock,
  times: StopTimes,
): Promise<void> {
  signal(pid, 'SIGINT');
  if (await isGone(pid, clusterDir, clock, times.fastMs)) return killOrphans(clusterDir, clock);
  signal(pid, 'SIGQUIT');
  // A stopped process takes no signal but this one and SIGKILL.
  signal(pid, 'SIGCONT');
  await isGone(pid, clusterDir, clock, times.immediateMs);
  return killOrphans(clusterDir, clock);
}

/** Ends every process of the cluster with SIGKILL; the next start recovers from the log. */
export async function killOrphans(clusterDir: string, clock: Clock): Promise<void> {
  const untilMs = clock.monoMs() + KILL_MS;
  for (;;) {
    const pids = clusterProcesses(clusterDir);
    if (pids.length === 0) return;
    if (clock.monoMs() > untilMs) {
      const message = `processes ${pids.join(', ')} of ${clusterDir} do not end`;
      throw new RelayFault('embedded_start', message, { isRetryable: true });
    }
    for (const pid of pids) signal(pid, 'SIGKILL');
    await clock.sleep(LOOK_MS);
  }
}

async function isGone(pid: number, clusterDir: string, clock: Clock, waitMs: number) {
  const untilMs = clock.monoMs() + waitMs;
  while (isRunning(pid, clusterDir)) {
    if (clock.monoMs() > untilMs) return false;
    await clock.sleep(LOOK_MS);
  }
  return true;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended in between.
  }
}

/** The postmaster keeps its command line; its children show a title with the cluster's name. */
function isOfCluster(command: string, clusterDir: string): boolean {
  return (
    command.includes(`/postgres -D ${clusterDir} `) ||
    command.startsWith(`postgres: ${clusterName(clusterDir)}: `)
  );
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

function* allProcesses(): Generator<readonly [pid: number, command: string]> {
  if (process.platform === 'linux') {
    for (const name of readdirSync('/proc')) {
      const pid = Number(name);
      if (Number.isInteger(pid)) yield [pid, commandOf(pid)];
    }
    return;
  }
  const options = { encoding: 'utf8', timeout: KILL_MS, maxBuffer: 16 * 1024 * 1024 } as const;
  for (const line of execFileSync('/bin/ps', ['-axo', 'pid=,command='], options).split('\n')) {
    const match = /^\s*(\d+) (.*)$/.exec(line);
    if (match !== null) yield [Number(match[1]), match[2] ?? ''];
  }
}
