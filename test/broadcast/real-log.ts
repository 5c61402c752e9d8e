/** A hub over a real log in a folder of its own: segments, restarts, retention. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '../../lib/base/clock.ts';
import { KiB } from '../../lib/base/units.ts';
import { logArrivals } from '../../lib/broadcast/delivery.ts';
import type { HubOptions } from '../../lib/broadcast/hub-options.ts';
import { Batch } from '../../lib/log/batch.ts';
import { LogCursors } from '../../lib/log/cursor.ts';
import { RecordRow } from '../../lib/log/descriptor.ts';
import { NodeDisk } from '../../lib/log/disk.ts';
import { realLogFiles } from '../../lib/log/files.ts';
import { LogReader } from '../../lib/log/reader.ts';
import { openLog } from '../../lib/log/recovery.ts';
import type { LogWriter } from '../../lib/log/writer.ts';
import { CommitView } from '../../lib/shared/commit-cell.ts';
import { World } from './world.ts';

const clock = new SystemClock();

function openWriter(directory: string): LogWriter {
  return openLog({
    disk: new NodeDisk(),
    directory,
    clock,
    segmentBytesMax: 48 * KiB,
    segmentAgeMsMax: 3_600_000,
    makeSalt: () => randomBytes(16),
    nextSeqMin: 1,
  }).writer;
}

export class RealLog {
  readonly directory = mkdtempSync(join(tmpdir(), 'hub-log-'));
  readonly #batch = new Batch();
  arrivalMs = 0;
  writer = openWriter(this.directory);
  view = new CommitView();
  readonly reader = new LogReader({
    directory: this.directory,
    files: realLogFiles,
    view: () => this.view,
    oldestSeq: () => this.writer.oldestSeq,
  });
  readonly cursors = new LogCursors(this.reader);

  readonly store = (frames: readonly Buffer[], view: CommitView): void => {
    for (const frame of frames) {
      if (!this.#batch.hasRoom(frame.length)) this.#flush();
      frame.copy(this.#batch.frames, this.#batch.framesBytes);
      const row = new RecordRow();
      row.frameBytes = frame.length;
      row.kind = 1;
      row.arrivalMs = this.arrivalMs;
      this.#batch.add(row);
    }
    this.#flush();
    this.note(view);
  };

  /** An empty batch, as after a second of silence. */
  prove(view: CommitView): void {
    this.#flush();
    this.note(view);
  }

  note(view: CommitView): void {
    view.segmentFirstSeq = this.writer.segmentFirstSeq;
    view.byteEnd = this.writer.byteEnd;
    this.view.segmentFirstSeq = view.segmentFirstSeq;
    this.view.byteEnd = view.byteEnd;
    this.view.lastSeq = this.writer.nextSeq - 1;
  }

  restart(): void {
    this.writer.close();
    this.writer = openWriter(this.directory);
  }

  async retire(count: number): Promise<void> {
    this.writer.dropOldest(count);
    await this.reader.retire(this.writer.oldestSeq);
  }

  async close(): Promise<void> {
    await this.reader.close();
    this.writer.close();
    rmSync(this.directory, { recursive: true });
  }

  #flush(): void {
    this.writer.write(this.#batch);
    this.writer.beginSync(false);
    this.writer.finishSync();
    this.#batch.clear();
  }
}

export async function startOver(
  t: { teardown(done: () => Promise<void>): void },
  log: RealLog,
  tailBytes: number,
  lastSeq = 0,
  hub: Partial<HubOptions> = {},
): Promise<World> {
  const world = new World({
    tailBytes,
    lastSeq,
    log: log.cursors,
    arrivals: logArrivals(log.reader),
    store: log.store,
    oldestSeq: () => log.writer.oldestSeq,
    hub: { chunkBytesMax: 16 * KiB, ...hub },
  });
  log.note(world.view);
  world.publish();
  await world.listen();
  t.teardown(async () => {
    await world.stop();
  });
  return world;
}
