/** The command line of the demo: one table of options, from which the help and the checks come. */
import { parseArgs } from 'node:util';

export type DemoOptions = {
  readonly hosts: number;
  readonly accounts: number;
  readonly rate: number;
  readonly seconds: number;
  readonly seed: number;
};

type Row = {
  readonly fallback: number;
  readonly range: readonly [min: number, max: number];
  readonly doc: string;
};

/** Whole numbers, all of them. */
const ROWS: Readonly<Record<keyof DemoOptions, Row>> = {
  hosts: { fallback: 20, range: [1, 1000], doc: 'simulated hosts' },
  accounts: { fallback: 20, range: [1, 10_000], doc: 'accounts on each host' },
  rate: { fallback: 200, range: [1, 10_000], doc: 'events per second, all hosts together' },
  seconds: { fallback: 30, range: [0, 86_400], doc: 'how long; 0: until Ctrl-C' },
  seed: {
    fallback: 1,
    range: [0, 2 ** 32 - 1],
    doc: 'another seed makes other accounts and events',
  },
};
const NAMES = Object.keys(ROWS) as (keyof DemoOptions)[];

/** Each has a key pair, which takes a millisecond to make. */
const ACCOUNTS_MAX = 100_000;

export function demoHelp(): string {
  const lines = NAMES.map((name) => {
    const { fallback, range, doc } = ROWS[name];
    return `  --${`${name} N`.padEnd(12)} ${doc} (${range[0]} … ${range[1]}; default ${fallback})`;
  });
  return `Usage: npm run demo -- [options]

Starts simulated hosts with accounts, keys and signed commits, a relay that reads them, and a
consumer of the relay; shows what happens and sums it up. A few forged events go in as well: none
may come out. Needs no network and leaves nothing behind.

${lines.join('\n')}
  --help         this text

Ctrl-C ends it in order, a second one at once.
Exit codes: 0 every event arrived once and no forgery did, 1 not so or something broke,
2 bad arguments, 130 ended at once.
`;
}

/** The options, `help`, or what is wrong with the arguments. */
export function parseDemoOptions(args: readonly string[]): DemoOptions | 'help' | string[] {
  const problems: string[] = [];
  const found = new Map<string, string>();
  const options = Object.fromEntries(NAMES.map((name) => [name, { type: 'string' as const }]));
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ...options, help: { type: 'boolean', short: 'h' } },
    });
    if (values.help === true) return 'help';
    for (const [name, value] of Object.entries(values)) found.set(name, String(value));
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
  const read = (name: keyof DemoOptions): number => {
    const { fallback, range } = ROWS[name];
    const text = found.get(name);
    if (text === undefined) return fallback;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= range[0] && value <= range[1]) return value;
    problems.push(`--${name} must be a whole number in ${range[0]} … ${range[1]}, not '${text}'`);
    return fallback;
  };
  const result = {
    hosts: read('hosts'),
    accounts: read('accounts'),
    rate: read('rate'),
    seconds: read('seconds'),
    seed: read('seed'),
  };
  if (result.hosts * result.accounts > ACCOUNTS_MAX) {
    problems.push(`--hosts times --accounts must be at most ${ACCOUNTS_MAX}`);
  }
  return problems.length > 0 ? problems : result;
}
