/** Starts the demo for tests, in a folder for temporary files of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const DEMO = join(import.meta.dirname, '..', '..', 'scripts', 'demo.ts');
/** A few hosts: what is tested does not depend on how many. */
export const SMALL = ['--hosts', '4', '--accounts', '5', '--rate', '200'];

export type Run = {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  output: string;
  /** What is left: files of the demo, and processes that know its folder. */
  readonly leftovers: () => string[];
};

/** Its folder for temporary files is its own, so that all that belongs to it can be told. */
export function startDemo(
  t: { teardown(done: () => void): void },
  args: readonly string[],
  isClosed = false,
): Run {
  const folder = mkdtempSync(join(tmpdir(), 'demo-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const child = spawn(process.execPath, [DEMO, ...args], {
    env: { ...process.env, TMPDIR: folder, RELAY_NO_SUCH_SETTING: 'must not reach the relay' },
    stdio: ['ignore', isClosed ? 'ignore' : 'pipe', 'inherit'],
  });
  const exited = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const run: Run = {
    child,
    exited,
    output: '',
    leftovers: () => [...readdirSync(folder), ...processesOf(folder)],
  };
  child.stdout?.on('data', (chunk: Buffer) => {
    run.output += chunk;
  });
  return run;
}

/** Command lines of processes that were given the folder, by an argument or in their environment. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        const isOurs = (command + readFileSync(`/proc/${pid}/environ`, 'latin1')).includes(folder);
        return isOurs ? [command.replaceAll('\0', ' ')] : [];
      } catch {
        return [];
      }
    });
}

/** What a row of the summary says. */
export function rowOf(run: Run, name: string): string {
  return new RegExp(`^  ${name} +(.*)$`, 'm').exec(run.output)?.[1] ?? '';
}

/** The relay: the only child of the demo. */
export function childOf(pid: number): number {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, 'latin1'))?.[1];
      if (Number(parent) === pid) return Number(name);
    } catch {
      // It ended in between.
    }
  }
  throw new Error('no relay');
}
