/**
 * The n-th call to the disk fails, for n = 1, 2, 3 … until a run gets through without meeting it,
 * for each way to fail, once and for ever (G1, G4, G13, G15, G16). Afterwards the disk is well again
 * and the log is opened on what is there.
 */
import t from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import { KiB } from '../../lib/base/units.ts';
import { CHANGING, type Fault, FaultDisk, SYNCING } from './fault-disk.ts';
import { must, readAll, reopen, World } from './log-world.ts';
import { SimDisk } from './sim-disk.ts';

class Died extends Error {}

type Way = {
  readonly name: string;
  readonly isForEver: boolean;
  /** Whether the run must get through in spite of it. */
  readonly isSurvived: boolean;
  readonly fail: () => Fault;
};
const way = (name: string, isForEver: boolean, fail: () => Fault, isSurvived = false): Way => {
  return { name, isForEver, isSurvived, fail };
};
const die = (): Fault => {
  throw new Died();
};
const WAYS: readonly Way[] = [
  way('EIO once', false, () => ({ code: 'EIO' })),
  way('EIO for ever', true, () => ({ code: 'EIO' })),
  way('ENOSPC once', false, () => ({ code: 'ENOSPC' })),
  way('ENOSPC for ever', true, () => ({ code: 'ENOSPC' })),
  way('EMFILE once', false, () => ({ code: 'EMFILE' })),
  way('a short write', false, () => ({ shortBytes: 10 }), true),
  way('a write of nothing', false, () => ({ shortBytes: 0 })),
  way('the process dies', true, die),
];

const RECORDS = 10;
const SIZES = { segmentBytesMax: 900, ringBytes: 64 * KiB, tailBytes: 64 * KiB };

/** A run with seals, proofs and a clean stop; returns the world as far as it got. */
function run(disk: FaultDisk): { world: World | undefined; isThrough: boolean } {
  let world: World | undefined;
  try {
    world = new World({ disk, ...SIZES }).start();
    for (let i = 0; i < RECORDS; i++) {
      world.offer(Buffer.alloc(150, i));
      pollPatiently(world);
      if (i % 5 === 4) {
        world.clock.pass(1000);
        pollPatiently(world);
      }
    }
    world.words.writer('stop').publish(1);
    for (let i = 0; i < 3; i++) world.poll();
  } catch (error) {
    if (!(error instanceof Died || error instanceof RelayFault || isSystemError(error)))
      throw error;
    world?.collect();
    return { world, isThrough: false };
  }
  return { world, isThrough: world.published.size === RECORDS && world.stage.isStopped };
}

function pollPatiently(world: World): void {
  for (let i = 0; i < 4; i++) {
    world.poll();
    world.clock.pass(500);
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.message).includes('injected');
}

for (const { name, isForEver, isSurvived, fail } of WAYS) {
  t.test(`G16: the n-th call fails: ${name}`, async (t) => {
    for (let n = 0; ; n++) {
      const sim = new SimDisk();
      const disk = new FaultDisk(sim);
      let isMet = false;
      let what = '';
      disk.decide = (call, index) => {
        const isHit = isForEver ? index >= n : index === n;
        if (!isHit) return undefined;
        const fault = fail();
        const isWrite = call.what === 'pwritev';
        if (fault !== undefined && 'shortBytes' in fault && !isWrite) return undefined;
        if (!CHANGING.has(call.what) && !SYNCING.has(call.what) && call.what !== 'open') {
          return undefined;
        }
        if (!isMet) what = call.what;
        isMet = true;
        return fault;
      };
      const { world, isThrough } = run(disk);
      if (n >= disk.calls.length && !isMet && isThrough) break;
      const where = `${name} at call ${n} (${what})`;
      if (isSurvived && !isThrough) t.fail(`${where}: did not get through`);
      // A failed sync is final, a failed write outside of start-up is not.
      const isFinal = SYNCING.has(what);
      if (isMet && isFinal && isThrough && what !== '') t.fail(`${where}: went on`);
      await check(t, sim, world, where);
      if (n > 500) return t.fail('never gets through');
    }
    return t.pass('until a run meets no fault');
  });
}

async function check(
  t: { fail(message: string): unknown },
  sim: SimDisk,
  world: World | undefined,
  where: string,
): Promise<void> {
  const { reader, writer, report } = reopen(sim);
  const found = await readAll(reader);
  const published = world?.published ?? new Map<number, Buffer>();
  for (const [seq, frame] of published) {
    if (!found.get(seq)?.equals(frame)) t.fail(`${where}: seq ${seq} lost or altered`);
  }
  if (report.damaged.length > 0) t.fail(`${where}: taken for damage`);
  if ([...found.keys()].some((seq, i) => seq !== i + 1)) t.fail(`${where}: a gap`);
  if (writer.nextSeq !== found.size + 1) t.fail(`${where}: next seq ${writer.nextSeq}`);
  // It goes on as if nothing had happened.
  const again = new World({ disk: sim, ...SIZES, saltSeed: 7 }).start();
  again.offer(Buffer.from('after it'));
  again.poll();
  if (again.view.lastSeq !== found.size + 1) t.fail(`${where}: does not go on`);
  must(again.published.get(found.size + 1));
}
