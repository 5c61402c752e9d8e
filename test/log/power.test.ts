/**
 * Power cuts at every kind of moment, by seed (G1, G4, G7, G13, G14); test/slow has many more. Each
 * guard is taken away once, and then the same check must fail.
 */
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { FaultDisk } from './fault-disk.ts';
import { World } from './log-world.ts';
import { MOMENTS, PowerCut, runSeeds, SIZES, seedsUntilCaught, summary } from './power-rig.ts';
import { SimDisk } from './sim-disk.ts';

const SEEDS = 150;
/** A missing guard must show within so many seeds. */
const CONTROL_SEEDS_MAX = 20;

t.test('G14: nothing published is lost, altered or doubled by a power cut', async (t) => {
  const campaign = await runSeeds(1, SEEDS);
  t.same(campaign.violations, []);
  t.comment(summary(1, SEEDS, campaign));
  for (const moment of MOMENTS) t.ok(campaign.ends[moment] > 0, `cut off at ${moment}`);
  t.ok(campaign.doubleCuts > 0, 'cut off while recovering from a cut');
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

const CONTROLS = [
  ['without fdatasync', { isSyncIgnored: true }],
  ['without the directory fsync', { isDirSyncIgnored: true }],
  ['shown before the sync', { isShownBeforeSync: true }],
] as const;

for (const [name, control] of CONTROLS) {
  t.test(`control: ${name}, the same check fails`, async (t) => {
    const seeds = await seedsUntilCaught(control, CONTROL_SEEDS_MAX);
    t.ok(seeds !== undefined, `within ${CONTROL_SEEDS_MAX} seeds`);
    t.comment(`caught by seed ${seeds}`);
  });
}
