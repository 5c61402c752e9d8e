/**
 * Power cuts at every kind of moment, by seed: what was published is there afterwards with the same
 * bytes, and no seq is given twice (G1, G4, G13, G14). Each guard is taken away once, and then the
 * same check must fail.
 */
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { KiB } from '../../lib/base/units.ts';
import { FaultDisk } from './fault-disk.ts';
import { must, randomBytes, readAll, World } from './log-world.ts';
import { type Quirks, SimDisk, simFiles } from './sim-disk.ts';

class PowerCut extends Error {}

type Control = Quirks & { readonly isShownBeforeSync?: boolean };
/** More by night. */
const SEEDS = Number(process.env['POWER_SEEDS'] ?? 150);
const GENERATIONS = 4;
const SIZES = { segmentBytesMax: 3000, ringBytes: 64 * KiB, tailBytes: 64 * KiB };

/** Runs relays on one disk, each killed or cut off from power; returns what was violated. */
async function run(seed: number, control: Control): Promise<string[]> {
  const prng = new Prng(seed);
  const violations: string[] = [];
  /** All that any consumer may have seen. */
  const truth = new Map<number, Buffer>();
  let shownSeq = 0;
  let sim = new SimDisk(control);
  for (let generation = 0; generation <= GENERATIONS; generation++) {
    const disk = new FaultDisk(sim);
    let callsLeft = generation === GENERATIONS ? 1e9 : prng.nextBelow(60);
    let world: World | undefined;
    let isShort = false;
    disk.decide = ({ what }) => {
      // Whatever the code does with the error, it reaches the disk no more.
      if (callsLeft-- <= 0) throw new PowerCut();
      if (world === undefined || what !== 'pwritev') return undefined;
      // Now and then the disk is full in the middle of a write.
      if (isShort) {
        isShort = false;
        return { code: 'ENOSPC' };
      }
      isShort = prng.nextBelow(15) === 0;
      return isShort ? { shortBytes: prng.nextBelow(900) } : undefined;
    };
    try {
      world = new World({ disk, ...SIZES, saltSeed: seed * 100 + generation });
      if (world.report.damaged.length > 0) violations.push('torn taken for damage');
      if (world.log.nextSeq <= shownSeq)
        violations.push(`lost: ${world.log.nextSeq} ≤ ${shownSeq}`);
      world.start();
      await compare(world, sim, truth, violations);
      shownSeq = Math.max(shownSeq, world.view.lastSeq);
      work(world, prng);
    } catch (error) {
      if (callsLeft >= 0) throw error;
    }
    for (const [seq, frame] of world?.published ?? []) {
      if (!(truth.get(seq)?.equals(frame) ?? true)) violations.push(`seq ${seq} reused`);
      truth.set(seq, frame);
      shownSeq = Math.max(shownSeq, seq);
    }
    if (control.isShownBeforeSync && world !== undefined) {
      shownSeq = Math.max(shownSeq, world.words.wideReader('written').observe());
    }
    // Now and then only the process dies: what it had written stays, synced or not.
    if (prng.nextBelow(3) > 0) sim = sim.powerCut(prng);
  }
  return violations;
}

/** What recovery found is what was published before, and becomes visible now. */
async function compare(
  world: World,
  sim: SimDisk,
  truth: Map<number, Buffer>,
  violations: string[],
): Promise<void> {
  const reader = world.reader(simFiles(sim));
  const found = await readAll(reader);
  for (const [seq, frame] of truth) {
    if (!found.has(seq)) violations.push(`seq ${seq} lost`);
    else if (!must(found.get(seq)).equals(frame)) violations.push(`seq ${seq} altered`);
  }
  for (const [seq, frame] of found) truth.set(seq, frame);
  await reader.close();
}

function work(world: World, prng: Prng): void {
  for (let i = 0; i < 25; i++) {
    for (let k = prng.nextBelow(4); k > 0; k--) world.offer(randomBytes(prng, prng.nextBelow(700)));
    world.poll();
    if (prng.nextBelow(3) === 0) world.clock.pass(1000);
  }
}

/** Of the first seed that shows any. */
async function violationsOf(control: Control): Promise<string[]> {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const violations = await run(seed, control);
    if (violations.length > 0) return violations.map((violation) => `seed ${seed}: ${violation}`);
  }
  return [];
}

t.test('G14: nothing published is lost, altered or doubled by a power cut', async (t) => {
  t.same(await violationsOf({}), []);
});

t.test('G14: a restart makes names durable that the process before it did not', async (t) => {
  const sim = new SimDisk();
  const disk = new FaultDisk(sim);
  const world = new World({ disk, ...SIZES, segmentBytesMax: 300 }).start();
  world.offer(Buffer.alloc(200));
  world.poll();
  // Killed after the new segment was synced and before its name was.
  disk.decide = ({ what }) => {
    if (what === 'fsyncDir') throw new PowerCut();
    return undefined;
  };
  world.offer(Buffer.alloc(200));
  t.throws(() => world.poll());
  const again = new World({ disk: sim, ...SIZES, saltSeed: 2 }).start();
  t.equal(again.view.segmentFirstSeq, 2);
  again.offer(Buffer.alloc(200));
  again.poll();
  const dropAll = new Prng(1);
  dropAll.nextBelow = () => 0;
  const after = new World({ disk: sim.powerCut(dropAll), ...SIZES, saltSeed: 3 });
  t.equal(after.log.nextSeq, 3);
});

t.test('control: without fdatasync the same check fails', async (t) => {
  t.ok((await violationsOf({ isSyncIgnored: true })).length > 0);
});

t.test('control: without the directory fsync the same check fails', async (t) => {
  t.ok((await violationsOf({ isDirSyncIgnored: true })).length > 0);
});

t.test('control: shown before the sync, the same check fails', async (t) => {
  t.ok((await violationsOf({ isShownBeforeSync: true })).length > 0);
});
