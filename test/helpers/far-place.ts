/** A network namespace at the other end of a cable that can be pulled. Needs root and `ip`. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';

let made = 0;

/** False where packets can be dropped and held back (`nft`, `tc`); else why not. */
export function whyNoBadCable(): string | false {
  for (const [tool = '', ...args] of [
    ['nft', '--version'],
    ['tc', '-V'],
  ]) {
    if (spawnSync(tool, args).status !== 0) return `${tool} is missing`;
  }
  return whyNoFarPlace();
}

type Teardown = { teardown(callback: () => unknown): unknown };

const ip = (...args: readonly string[]): void => run('ip', args);

function run(tool: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(tool, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${tool} ${args.join(' ')}: ${error?.message ?? stderr}`);
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

  /** From now on so many packets of a hundred are lost on their way there, or back. */
  lose(percent: number): void {
    const lossy = ['meta', 'iifname', 'far0', 'numgen', 'random', 'mod', '100', '<', `${percent}`];
    const nft = (...args: readonly string[]): void =>
      ip('netns', 'exec', this.#name, 'nft', ...args);
    nft('add', 'table', 'ip', 'loss');
    for (const hook of ['input', 'output']) {
      nft('add', 'chain', 'ip', 'loss', hook, `{ type filter hook ${hook} priority 0; }`);
    }
    nft('add', 'rule', 'ip', 'loss', 'input', ...lossy, 'drop');
    const back = lossy.map((word) => (word === 'iifname' ? 'oifname' : word));
    nft('add', 'rule', 'ip', 'loss', 'output', ...back, 'drop');
  }

  /** No more than so much comes through, from us to them. */
  throttle(kilobitsPerSecond: number): void {
    const rate = ['rate', `${kilobitsPerSecond}kbit`, 'burst', '16kb', 'latency', '50ms'];
    run('tc', ['qdisc', 'replace', 'dev', this.#cable, 'root', 'tbf', ...rate]);
  }

  /** A program of Node that runs there. */
  run(path: string, ...args: readonly string[]): ChildProcess {
    const command = ['netns', 'exec', this.#name, process.execPath, path, ...args];
    return spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  }
}
