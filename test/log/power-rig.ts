/**
 * Relays on one simulated disk, one after the other, each killed or cut off from power at some
 * call to the disk: while it recovers, appends, seals, cuts off a tail, removes old segments. What
 * was published and is retained must be there at the next start, with the same bytes and without a
 * hole, and no seq is given twice (G1, G4, G7, G13, G14). All of it follows from the seed.
 */
import { Prng } from '../../lib/base/prng.ts';
import { KiB } from '../../lib/base/units.ts';
import type { BackgroundSync } from '../../lib/log/background-sync.ts';
import type { Disk } from '../../lib/log/disk.ts';
import { SegmentRemover } from '../../lib/log/unlink.ts';
import { type Call, FaultDisk, PASSIVE } from './fault-disk.ts';
import { must, randomBytes, readAll, World } from './log-world.ts';
import { type Quirks, SimDisk, simFiles, simRemovalFiles } from './sim-disk.ts';

export class PowerCut extends Error {}

/** A guard that is taken away. */
export type Control = Quirks & { readonly isShownBeforeSync?: boolean };

/** What the relay was at when it was cut off. */
export const MOMENTS = ['recovery', 'append', 'seal', 'sidecar', 'truncate', 'removal'] as const;
export type Moment = (typeof MOMENTS)[number];

export type Outcome = {
  readonly violations: readonly string[];
  /** Power cuts and kills together. */
  readonly ends: Readonly<Record<Moment, number>>;
  readonly powerCuts: number;
  /** Power cuts during the recovery from a power cut. */
  readonly doubleCuts: number;
};

const GENERATIONS = 4;
/** Calls to the disk that a relay makes, roughly; few of them while it starts. */
const CALLS = { all: 80, start: 12 };
export const SIZES = { segmentBytesMax: 3000, ringBytes: 64 * KiB, tailBytes: 64 * KiB };
const RETENTION = { ageMsMax: 5000, bytesMax: 0 };

/** Everything that the relays of one seed have in common. */
class Run {
  readonly prng: Prng;
  readonly violations: string[] = [];
  readonly ends: Record<Moment, number> = {
    ...{ recovery: 0, append: 0, seal: 0, sidecar: 0, truncate: 0, removal: 0 },
  };
  /** All that any consumer may have seen. */
  readonly truth = new Map<number, Buffer>();
  shownSeq = 0;
  /** Retention has given up what is below. */
  oldestSeq = 1;
  powerCuts = 0;
  doubleCuts = 0;

  constructor(seed: number) {
    this.prng = new Prng(seed);
  }
}

/** One relay's way to its end. */
class Life {
  readonly disk: FaultDisk;
  world: World | undefined;
  isRemoving = false;
  moment: Moment = 'recovery';
  #callsLeft: number;
  #isShort = false;
  #isCreating = false;
  #isCutting = false;
  readonly #prng: Prng;

  constructor(sim: SimDisk, prng: Prng, callsLeft: number) {
    this.disk = new FaultDisk(sim);
    this.#prng = prng;
    this.#callsLeft = callsLeft;
    this.disk.decide = (call) => this.#decide(call);
  }

  get isCut(): boolean {
    return this.#callsLeft < 0;
  }

  #decide(call: Call) {
    if (PASSIVE.has(call.what) && call.what !== 'open') return undefined;
    // The first call that fails: some errors are survived by the code, the cut is not.
    if (!this.isCut) this.moment = this.#momentOf(call);
    // Whatever the code does with the error, it reaches the disk no more.
    if (this.#callsLeft-- <= 0) throw new PowerCut();
    if (this.world === undefined || this.isRemoving) return undefined;
    const prng = this.#prng;
    // Now and then what a full disk has taken cannot even be cut off again.
    if (call.what === 'ftruncate' && prng.nextBelow(4) === 0) return { code: 'EIO' };
    if (call.what !== 'pwritev') return undefined;
    // Now and then the disk is full in the middle of a write.
    if (this.#isShort) {
      this.#isShort = false;
      return { code: 'ENOSPC' };
    }
    this.#isShort = prng.nextBelow(15) === 0;
    return this.#isShort ? { shortBytes: prng.nextBelow(900) } : undefined;
  }

  #momentOf({ what, path }: Call): Moment {
    if (this.world === undefined) return 'recovery';
    if (this.isRemoving) return 'removal';
    if (path.endsWith('.idx')) return 'sidecar';
    if (what === 'create') this.#isCreating = true;
    if (what === 'ftruncate') this.#isCutting = true;
    if (what === 'pwritev') this.#isCutting = false;
    const moment = this.#isCreating ? 'seal' : this.#isCutting ? 'truncate' : 'append';
    if (what === 'fsyncDir') this.#isCreating = false;
    if (what === 'fdatasync') this.#isCutting = false;
    return moment;
  }
}

/** A sync beside the writer: on disk as soon as it was asked for, or only when it is waited for. */
function besideSync(disk: Disk, isEarly: boolean): BackgroundSync {
  let fd = -1;
  return {
    isReady: true,
    begin: (begun) => {
      fd = begun;
      if (isEarly) disk.fdatasync(fd);
    },
    finish: () => {
      if (!isEarly) disk.fdatasync(fd);
      return 0;
    },
  };
}

export async function runSeed(seed: number, control: Control = {}): Promise<Outcome> {
  const run = new Run(seed);
  const { prng } = run;
  let sim = new SimDisk(control);
  let wasPowerCut = false;
  for (let generation = 0; generation <= GENERATIONS; generation++) {
    const isLast = generation === GENERATIONS;
    const callsMax = prng.nextBelow(4) === 0 ? CALLS.start : CALLS.all;
    const life = new Life(sim, prng, isLast ? 1e9 : prng.nextBelow(callsMax));
    try {
      await live(run, life, sim, seed * 100 + generation);
    } catch (error) {
      if (!life.isCut) throw error;
    }
    note(run, life, control);
    // Now and then only the process dies: what it had written stays, synced or not.
    const isPowerCut = prng.nextBelow(3) > 0;
    if (life.isCut) run.ends[life.moment]++;
    if (isPowerCut && wasPowerCut && life.isCut && life.moment === 'recovery') run.doubleCuts++;
    if (isPowerCut) {
      sim = sim.powerCut(prng);
      run.powerCuts++;
    }
    wasPowerCut = isPowerCut;
  }
  const { violations, ends, powerCuts, doubleCuts } = run;
  return { violations, ends, powerCuts, doubleCuts };
}

async function live(run: Run, life: Life, sim: SimDisk, saltSeed: number): Promise<void> {
  const { prng, violations } = run;
  const { disk } = life;
  const isBeside = prng.nextBelow(2) === 0;
  const background = isBeside ? besideSync(disk, prng.nextBelow(2) === 0) : undefined;
  const options = { disk, ...SIZES, saltSeed, background, backlogBytesMin: 1 };
  const world = new World({ ...options, retention: RETENTION });
  life.world = world;
  if (world.report.damaged.length > 0) violations.push('torn taken for damage');
  if (world.log.nextSeq <= run.shownSeq) {
    violations.push(`lost: ${world.log.nextSeq} ≤ ${run.shownSeq}`);
  }
  world.start();
  await compare(run, world, sim);
  run.shownSeq = Math.max(run.shownSeq, world.view.lastSeq);
  world.onPoint = (point) => {
    // What comes in while a batch is written waits in memory while it is synced.
    if (isBeside && point === 'after-write' && prng.nextBelow(2) === 0) offer(world, prng);
  };
  const remover = new SegmentRemover({
    directory: world.directory,
    files: simRemovalFiles(disk),
    metrics: world.metrics,
    oldestSeq: () => world.words.wideReader('oldestSeq').observe(),
    activeBytes: () => world.view.byteEnd,
    retire: async () => {},
  });
  for (let i = 0; i < 25; i++) {
    for (let k = prng.nextBelow(4); k > 0; k--) offer(world, prng);
    world.poll();
    if (prng.nextBelow(3) === 0) world.clock.pass(prng.nextBelow(4) === 0 ? 11_000 : 1000);
    if (prng.nextBelow(4) > 0) continue;
    world.words.wideWriter('checkpointSeq').publish(prng.nextBelow(world.view.lastSeq + 1));
    life.isRemoving = true;
    await remover.pass();
    life.isRemoving = false;
  }
}

const offer = (world: World, prng: Prng): number =>
  world.offer(randomBytes(prng, prng.nextBelow(700)));

/** What recovery found is what was published before, and becomes visible now. */
async function compare(run: Run, world: World, sim: SimDisk): Promise<void> {
  const { truth, violations } = run;
  const reader = world.reader(simFiles(sim));
  const found = await readAll(reader);
  for (const [seq, frame] of truth) {
    if (seq < run.oldestSeq && !found.has(seq)) truth.delete(seq);
    else if (!found.has(seq)) violations.push(`seq ${seq} lost`);
    else if (!must(found.get(seq)).equals(frame)) violations.push(`seq ${seq} altered`);
  }
  let before = 0;
  for (const [seq, frame] of found) {
    if (before > 0 && seq !== before + 1) violations.push(`a hole before seq ${seq}`);
    before = seq;
    truth.set(seq, frame);
  }
  await reader.close();
}

/** What the life that has ended has shown, and given up. */
function note(run: Run, { world }: Life, control: Control): void {
  if (world === undefined) return;
  for (const [seq, frame] of world.published) {
    if (!(run.truth.get(seq)?.equals(frame) ?? true)) run.violations.push(`seq ${seq} reused`);
    run.truth.set(seq, frame);
    run.shownSeq = Math.max(run.shownSeq, seq);
  }
  if (control.isShownBeforeSync) {
    run.shownSeq = Math.max(run.shownSeq, world.words.wideReader('written').observe());
  }
  run.oldestSeq = Math.max(run.oldestSeq, world.words.wideReader('oldestSeq').observe());
}

export type Campaign = {
  /** Each with its seed. */
  readonly violations: readonly string[];
  readonly powerCuts: number;
  readonly doubleCuts: number;
  readonly ends: Readonly<Record<Moment, number>>;
};

/** Runs seeds [first, first + count), all of them, and adds up what happened. */
export async function runSeeds(first: number, count: number): Promise<Campaign> {
  const violations: string[] = [];
  const ends = { recovery: 0, append: 0, seal: 0, sidecar: 0, truncate: 0, removal: 0 };
  let powerCuts = 0;
  let doubleCuts = 0;
  for (let seed = first; seed < first + count; seed++) {
    const outcome = await runSeed(seed);
    violations.push(...outcome.violations.map((violation) => `seed ${seed}: ${violation}`));
    for (const moment of MOMENTS) ends[moment] += outcome.ends[moment];
    powerCuts += outcome.powerCuts;
    doubleCuts += outcome.doubleCuts;
  }
  return { violations, powerCuts, doubleCuts, ends };
}

/** The line that says what a campaign was. */
export function summary(first: number, count: number, campaign: Campaign): string {
  const { powerCuts, doubleCuts, ends, violations } = campaign;
  const moments = MOMENTS.map((moment) => `${moment} ${ends[moment]}`).join(', ');
  const seeds = `seeds ${first} to ${first + count - 1}`;
  const cuts = `${powerCuts} power cuts (${doubleCuts} of them double)`;
  return `${seeds}: ${cuts}; ended at ${moments}; ${violations.length} violations`;
}

/** How many seeds it takes until the missing guard shows, or undefined where it does not. */
export async function seedsUntilCaught(
  control: Control,
  seedsMax: number,
): Promise<number | undefined> {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const { violations } = await runSeed(seed, control);
    if (violations.length > 0) return seed;
  }
  return undefined;
}
