/**
 * What all benches share: alternating rounds, medians, and a table in which the first variant, the
 * relay's own, counts as 1. Numbers of one run can be compared, numbers of two runs cannot: the
 * machine, and what else runs on it, are in them.
 */
export type Scale = {
  /** Only shows that the bench runs: its numbers mean nothing. */
  readonly isSmoke: boolean;
  readonly rounds: number;
};

export const FULL: Scale = { isSmoke: false, rounds: 5 };
export const SMOKE: Scale = { isSmoke: true, rounds: 1 };

const NAME_CHARS = 44;

export type Print = (line: string) => void;

export type Bench = {
  readonly name: string;
  readonly about: string;
  readonly run: (scale: Scale, print: Print) => Promise<void>;
};

export type Variant = {
  readonly name: string;
  /** Does its work once and says what one unit of it cost, in µs. */
  readonly measure: () => number | Promise<number>;
};

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** Costs of each variant, by round. All run once before it counts, and another is first each time. */
async function alternate(variants: readonly Variant[], scale: Scale): Promise<number[][]> {
  const costs = variants.map((): number[] => []);
  const roundsBefore = scale.isSmoke ? 0 : 1;
  for (let round = -roundsBefore; round < scale.rounds; round++) {
    for (let turn = 0; turn < variants.length; turn++) {
      const index = (turn + Math.max(0, round)) % variants.length;
      const cost = await (variants[index] as Variant).measure();
      if (round >= 0) costs[index]?.push(cost);
    }
  }
  return costs;
}

/** Measures the variants in turn and prints what they cost; the first is the relay's own. */
export async function compare(
  title: string,
  variants: readonly Variant[],
  scale: Scale,
  print: Print,
): Promise<void> {
  const costs = await alternate(variants, scale);
  print('');
  print(title);
  const head = ['µs'.padStart(9), 'min … max'.padStart(19), 'per s'.padStart(11)].join(' ');
  print(`  ${''.padEnd(NAME_CHARS)} ${head}   ratio`);
  for (const [index, { name }] of variants.entries()) {
    const own = costs[index] ?? [];
    // Of each round by itself: what disturbs a round disturbs all variants in it.
    const ratio = median(own.map((cost, round) => cost / (costs[0]?.[round] ?? Number.NaN)));
    const range = `${micros(Math.min(...own))} … ${micros(Math.max(...own))}`;
    const perSecond = Math.round(1e6 / median(own)).toLocaleString('en-US');
    const columns = [micros(median(own)).padStart(9), range.padStart(19), perSecond.padStart(11)];
    print(`  ${name.padEnd(NAME_CHARS)} ${columns.join(' ')}   ${ratio.toFixed(2).padStart(5)}`);
  }
}

function micros(cost: number): string {
  return cost < 10 ? cost.toFixed(2) : cost.toFixed(1);
}

/**
 * CPU time of this thread, in µs. Time that others take is not in it, nor what other threads of the
 * process do at last for what ran before: compiling, and collecting the garbage of another variant.
 */
export function cpuMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

/** Runs `work`, which does `unitCount` units, again and again for `msMin`; CPU µs per unit. */
export async function cpuPerUnit(
  unitCount: number,
  msMin: number,
  work: () => void | Promise<void>,
): Promise<number> {
  const endMs = performance.now() + msMin;
  const startMicros = cpuMicros();
  let passes = 0;
  do {
    const pending = work();
    if (pending !== undefined) await pending;
    passes += 1;
  } while (performance.now() < endMs);
  return (cpuMicros() - startMicros) / (passes * unitCount);
}

/** A broken bench says so; it never judges a number. */
export function mustBe<Value>(value: Value, expected: Value, what: string): void {
  if (value !== expected) throw new Error(`${what}: ${value}, not ${expected}`);
}
