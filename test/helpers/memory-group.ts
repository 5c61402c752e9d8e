/** A memory limit for a process that runs: a cgroup of version 1. Needs root. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

type Teardown = { teardown(callback: () => unknown): unknown };

const ROOT = '/sys/fs/cgroup/memory';
let made = 0;

/** False where groups can be made; else why not. */
export function whyNoMemoryGroup(): string | false {
  const path = join(ROOT, `skyrelay-probe-${process.pid}`);
  try {
    mkdirSync(path);
    readFileSync(join(path, 'memory.limit_in_bytes'));
    rmdirSync(path);
    return false;
  } catch {
    return 'no memory cgroup of version 1 can be made here';
  }
}

export class MemoryGroup {
  readonly #path: string;

  /** Goes away with the test. */
  constructor(t: Teardown) {
    this.#path = join(ROOT, `skyrelay-test-${process.pid}-${++made}`);
    mkdirSync(this.#path);
    t.teardown(() => this.#remove());
    this.#write('memory.swappiness', '0');
  }

  /** Takes the process with all its threads, without its children; what it uses anew counts. */
  add(pid: number): void {
    this.#write('cgroup.procs', String(pid));
  }

  /** How often the kernel killed for want of memory. */
  get killCount(): number {
    return Number(/^oom_kill (\d+)/m.exec(this.#read('memory.oom_control'))?.[1]);
  }

  /** Nothing more is to be had, and a little of what there is must be given back. */
  squeeze(): void {
    const usedBytes = Number(this.#read('memory.usage_in_bytes'));
    for (const bytes of [usedBytes * 0.95, usedBytes]) {
      try {
        this.#write('memory.limit_in_bytes', String(Math.floor(bytes)));
        return;
      } catch (error) {
        // More is in use than that, and cannot be given back.
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
      }
    }
  }

  /** A process that was not killed goes back to where there is no limit. */
  #remove(): void {
    for (const pid of this.#read('cgroup.procs').split('\n')) {
      if (pid !== '') writeFileSync(join(ROOT, 'cgroup.procs'), pid);
    }
    rmdirSync(this.#path);
  }

  #read(name: string): string {
    return readFileSync(join(this.#path, name), 'utf8');
  }

  #write(name: string, value: string): void {
    writeFileSync(join(this.#path, name), value);
  }
}
