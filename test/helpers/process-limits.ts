/** The limit of open files of a process that runs, by `prlimit` and /proc. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

/** False where limits of another process can be set; else why not. */
export function whyNoLimits(): string | false {
  const probe = spawnSync('prlimit', ['--pid', String(process.pid), '--nofile']);
  return probe.status === 0 ? false : 'prlimit is missing';
}

/** The soft limit of descriptors, as `ulimit -Sn` would set it. */
export function limitFiles(pid: number, soft: number): void {
  const args = ['--pid', String(pid), `--nofile=${soft}:`];
  const { status, stderr } = spawnSync('prlimit', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
}

/** Descriptors that are open. */
function openFiles(pid: number): Set<number> {
  return new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
}

/**
 * Leaves a process so many free descriptors and no more: new ones are the lowest that are free.
 * What was open stays open.
 */
export function leaveFiles(pid: number, freeCount: number): void {
  const open = openFiles(pid);
  let below = 0;
  for (let free = 0; free < freeCount || open.has(below); below++) if (!open.has(below)) free++;
  limitFiles(pid, below);
}
