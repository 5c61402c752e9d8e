/**
 * The n-th call to the disk fails, for n = 1, 2, 3 … until a run gets through without meeting it,
 * for each way to fail, once and for ever (G1, G4, G13, G15, G16). Afterwards the disk is well again
 * and the log is opened on what is there.
 */
import { dirname, join } from 'node:path';
import t from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import { KiB } from '../../lib/base/units.ts';
import { segmentName } from '../../lib/log/descriptor.ts';
import { ShortWrite } from '../../lib/log/disk.ts';
import { type Fault, FaultDisk, SYNCING } from './fault-disk.ts';
import { DIRECTORY, must, readAll, reopen, World } from './log-world.ts';
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
const CODES = ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE'] as const;
const WAYS: readonly Way[] = [
  ...CODES.flatMap((code) => [
    way(`${code} once`, false, () => ({ code })),
    way(`${code} for ever`, true, () => ({ code })),
  ]),
  way('a short write', false, () => ({ shortBytes: 10 }), true),
  way('short writes for ever', true, () => ({ shortBytes: 10 }), true),
  way('a write of nothing', false, () => ({ shortBytes: 0 })),
  way('writes of nothing for ever', true, () => ({ shortBytes: 0 })),
  way('the process dies', true, die),
];

const RECORDS = 8;
const RECORDS_LEFT = 2;
const SIZES = { segmentBytesMax: 900, ringBytes: 64 * KiB, tailBytes: 64 * KiB };

/** A run meets all of these, at the start or later. */
const CALLS = [
  ...['open', 'create', 'pwritev', 'pread', 'fdatasync', 'fsyncDir', 'ftruncate', 'close'],
  ...['readdir', 'stat', 'rename', 'unlink', 'mkdir'],
];
/** Above these nothing need be ours: a read-only root is no reason not to start. */
const OWN = new Set([DIRECTORY, dirname(DIRECTORY)]);
/** What an earlier run has left, cut off in the middle of a batch. */
const LEFT = leftover();

function leftover(): SimDisk {
  const disk = new SimDisk();
  const world = new World({ disk, ...SIZES, saltSeed: 3 }).start();
  for (let i = 0; i < RECORDS_LEFT; i++) {
    world.offer(Buffer.alloc(100, i));
    world.poll();
  }
  const path = join(DIRECTORY, segmentName(1));
  disk.put(path, Buffer.concat([disk.content(path), Buffer.alloc(70, 1)]));
  return disk;
}

/** A run with seals, proofs and a clean stop; returns the world as far as it got. */
function run(
  disk: FaultDisk,
  onStart: () => void,
): { world: World | undefined; isThrough: boolean } {
  let world: World | undefined;
  try {
    world = new World({ disk, ...SIZES }).start();
    onStart();
    for (let i = 0; i < RECORDS; i++) {
      world.offer(Buffer.alloc(150, i));
      pollPatiently(world);
      if (i % 4 === 3) {
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
  if (error instanceof ShortWrite) return true;
  return error instanceof Error && 'code' in error && String(error.message).includes('injected');
}

for (const { name, isForEver, isSurvived, fail } of WAYS) {
  t.test(`G16: the n-th call fails: ${name}`, async (t) => {
    const isOfWrites = name.includes('write');
    const seen = new Set<string>();
    for (let n = 0; ; n++) {
      const sim = LEFT.clone();
      const disk = new FaultDisk(sim);
      let isMet = false;
      let isOpen = false;
      let isStarted = false;
      let isForeign = false;
      let isCopying = false;
      let what = '';
      disk.decide = (call, index) => {
        // A copy of what is torn is a courtesy: nothing hangs on its syncs.
        if (call.what === 'create') isCopying = call.path.endsWith('.part');
        if (call.what === 'ftruncate') isCopying = false;
        const isHit = isForEver ? index >= n : index === n;
        if (!isHit || (isOfWrites && call.what !== 'pwritev')) return undefined;
        if (!isMet) {
          what = call.what;
          isStarted = isOpen;
          isForeign = isCopying || (what === 'fsyncDir' && !OWN.has(call.path));
        }
        isMet = true;
        return fail();
      };
      const { world, isThrough } = run(disk, () => {
        isOpen = true;
      });
      seen.add(what);
      if (n >= disk.calls.length && !isMet && isThrough) break;
      const where = `${name} at call ${n} (${what})`;
      if (isSurvived && !isThrough) t.fail(`${where}: did not get through`);
      // A failed sync is final; any other call that fails once, outside of start-up, is not. Without
      // a descriptor a directory is not even opened.
      const isUnopened = what === 'fsyncDir' && name.startsWith('EMFILE');
      const isFinal = SYNCING.has(what) && !isForeign && !isUnopened;
      if (isMet && isFinal && isThrough) t.fail(`${where}: went on`);
      const isOnce = isMet && !isForEver && isStarted;
      if (isOnce && !isFinal && !isThrough) t.fail(`${where}: did not get over it`);
      await check(t, sim, world, where);
      if (n > 500) {
        t.fail('never gets through');
        break;
      }
    }
    for (const call of isOfWrites ? ['pwritev'] : CALLS) t.ok(seen.has(call), `at a ${call}`);
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
