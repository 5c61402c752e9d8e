/** A network namespace at the other end of a cable that can be pulled. Needs root and `ip`. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';

let made = 0;

type Teardown = { teardown(callback: () => unknown): unknown };

function ip(...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr}`);
}

/** False where a namespace can be made; else why not. */
export function whyNoFarPlace(): string | false {
  if (process.getuid?.() !== 0) return 'only root may make a network namespace';
  const probe = spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'a0', 'type', 'veth']);
  return probe.status === 0 ? false : 'no network namespace can be made here';
}

export class FarPlace {
  /** Ours, as they see it; of a block that is for tests of networks. */
  readonly nearAddress: string;
  readonly #name: string;
  readonly #cable: string;

  /** Goes away with the test, by when its processes must have ended. */
  constructor(t: Teardown) {
    // What is left of one before may go a little later.
    const block = `198.18.${process.pid % 250}`;
    const first = 4 * made++;
    this.#name = `skyrelay-${process.pid}-${made}`;
    this.#cable = `sky${process.pid}-${made}`;
    this.nearAddress = `${block}.${first + 1}`;
    ip('netns', 'add', this.#name);
    t.teardown(() => ip('netns', 'del', this.#name));
    ip('link', 'add', this.#cable, 'type', 'veth', 'peer', 'name', 'far0', 'netns', this.#name);
    t.teardown(() => ip('link', 'del', this.#cable));
    ip('addr', 'add', `${this.nearAddress}/30`, 'dev', this.#cable);
    ip('link', 'set', this.#cable, 'up');
    ip('-n', this.#name, 'addr', 'add', `${block}.${first + 2}/30`, 'dev', 'far0');
    ip('-n', this.#name, 'link', 'set', 'far0', 'up');
    ip('-n', this.#name, 'link', 'set', 'lo', 'up');
  }

  /** Neither side is told: what is sent waits, and is sent again. */
  pull(): void {
    ip('-n', this.#name, 'link', 'set', 'far0', 'down');
  }

  plug(): void {
    ip('-n', this.#name, 'link', 'set', 'far0', 'up');
  }

  /** A program of Node that runs there. */
  run(path: string, ...args: readonly string[]): ChildProcess {
    const command = ['netns', 'exec', this.#name, process.execPath, path, ...args];
    return spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  }
}
