/**
 * What it costs to append an event durably: the whole persist stage (take from the ring, give a
 * seq, write, fdatasync, tail ring, publish) with group commit, against the same code on a disk
 * whose fdatasync does nothing, and with one fdatasync per event. To be reached: at least half of
 * what is appended without syncs. On a RAM disk a sync is free: BENCH_DIR names another folder.
 */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GiB, MiB } from '../../lib/base/units.ts';
import { SyncThread } from '../../lib/log/background-sync.ts';
import { NodeDisk } from '../../lib/log/disk.ts';
import { World } from '../log/log-world.ts';
import { type Bench, compare, mustBe, type Print, type Scale, type Variant } from './rounds.ts';

const EVENT_BYTES = 5 * 1024;
const EVENTS_PER_ROUND = 4096;
/** Three batches: there is always a next one to prepare. */
const EVENTS_WAITING = 640;
const TMPFS = 0x0102_1994;

class UnsyncedDisk extends NodeDisk {
  override fdatasync(): void {}
}

class Appender {
  readonly #world: World;
  readonly #body = Buffer.alloc(EVENT_BYTES, 0x61);

  constructor(directory: string, disk: NodeDisk, background?: SyncThread) {
    const sizes = { ringBytes: 16 * MiB, segmentBytesMax: GiB };
    this.#world = new World({ disk, directory, background, ...sizes }).start();
  }

  close(): void {
    this.#world.log.close();
  }

  /**
   * Appends events while so many of them wait in the ring, up to the last ones; µs each. What fills
   * the ring is not counted.
   */
  append(eventCount: number, waitingCount: number): number {
    const { stage } = this.#world;
    let elapsedMs = 0;
    let offered = 0;
    for (let done = 0; done < eventCount; ) {
      const wanted = Math.min(eventCount, done + waitingCount);
      for (; offered < wanted; offered++) this.#world.offer(this.#body);
      const startMs = performance.now();
      const count = stage.poll();
      elapsedMs += performance.now() - startMs;
      mustBe(count > 0, true, 'events became durable');
      done += count;
    }
    return (1000 * elapsedMs) / eventCount;
  }
}

async function run(scale: Scale, print: Print): Promise<void> {
  const folder = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'skyrelay-bench-'));
  const kind = statfsSync(folder).type === TMPFS ? ' (a RAM disk: a sync is free)' : '';
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  const appenders: Appender[] = [];
  const threads: SyncThread[] = [];
  const open = (name: string, disk: NodeDisk): Appender => {
    // As in the relay; where nothing is synced there is nothing to wait for.
    const background = disk instanceof UnsyncedDisk ? undefined : new SyncThread();
    if (background !== undefined) threads.push(background);
    const appender = new Appender(join(folder, name), disk, background);
    appenders.push(appender);
    return appender;
  };
  try {
    const grouped = open('grouped', new NodeDisk());
    const live = open('live', new NodeDisk());
    const unsynced = open('unsynced', new UnsyncedDisk());
    const single = open('single', new NodeDisk());
    const all = scale.isSmoke ? 16 : EVENTS_PER_ROUND;
    const few = scale.isSmoke ? 2 : 32;
    const variants: readonly Variant[] = [
      {
        name: 'the relay: a batch of up to 1 MiB per sync',
        measure: () => grouped.append(all, EVENTS_WAITING),
      },
      {
        name: 'the relay: 8 events per sync',
        measure: () => live.append(scale.isSmoke ? 8 : 256, 8),
      },
      { name: 'no sync at all', measure: () => unsynced.append(all, EVENTS_WAITING) },
      { name: 'a sync per event', measure: () => single.append(few, 1) },
    ];
    await compare(
      `log: events of 5 KiB, appended to a disk of ${folder}${kind}; time per event`,
      variants,
      scale,
      print,
    );
  } finally {
    for (const appender of appenders) appender.close();
    for (const thread of threads) thread.close();
    process.off('exit', remove);
    remove();
  }
}

export const logBench: Bench = {
  name: 'log',
  about: 'durable appends in groups, against none synced and each synced',
  run,
};
