/**
 * Removes the segments that `persist` has given up, on main's event loop: name first, oldest
 * first, each name's absence made durable before the next goes (no hole after a power cut), then
 * the bytes in steps, because freeing a gigabyte at once blocks the file system for 0.2 s.
 * A reader inside such a segment ends its step first.
 * @thread main
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB } from '../base/units.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { segmentName } from './descriptor.ts';
import { listSegments } from './segments.ts';
import { parseSidecarName } from './sidecar.ts';

const STEP_BYTES = 16 * MiB;

/** The log line of a pass tells all of it, also when nothing could be removed (A4). */
export type RemovalReport = {
  readonly segments_removed: number;
  readonly bytes_removed: number;
  readonly active_bytes: number;
  readonly oldest_seq: number;
};

export type SegmentRemoverOptions = {
  readonly directory: string;
  readonly metrics: MetricWriter;
  /** First seq that `persist` keeps: the start of a segment. */
  readonly oldestSeq: () => number;
  /** Durable bytes of the active segment. */
  readonly activeBytes: () => number;
  /** Takes the segments below a seq out of use; resolves when nobody reads in them. */
  readonly retire: (oldestSeq: number) => Promise<void>;
};

export class SegmentRemover {
  readonly #options: SegmentRemoverOptions;

  constructor(options: SegmentRemoverOptions) {
    this.#options = options;
  }

  /** One pass. Rejects with the system's error; what was not removed is tried again next time. */
  async pass(): Promise<RemovalReport> {
    const { directory, metrics, retire } = this.#options;
    const oldestSeq = this.#options.oldestSeq();
    const names = await readdir(directory);
    const firstSeqs = listSegments(names);
    const retired = firstSeqs.filter((firstSeq) => firstSeq < oldestSeq);
    let segmentsRemoved = 0;
    let bytesRemoved = 0;
    if (retired.length > 0) await retire(oldestSeq);
    try {
      for (const firstSeq of retired) {
        bytesRemoved += await removeSegment(directory, segmentName(firstSeq));
        segmentsRemoved++;
      }
      // Also those that a process which ended in between has left.
      for (const name of names) {
        const firstSeq = parseSidecarName(name);
        if (firstSeq !== undefined && firstSeq < oldestSeq) await unlink(join(directory, name));
      }
    } finally {
      metrics.add('relay_log_segments_removed_total', segmentsRemoved);
      metrics.add('relay_log_removed_bytes_total', bytesRemoved);
    }
    return {
      segments_removed: segmentsRemoved,
      bytes_removed: bytesRemoved,
      active_bytes: this.#options.activeBytes(),
      oldest_seq: oldestSeq,
    };
  }
}

/** Returns how many bytes were freed. */
async function removeSegment(directory: string, name: string): Promise<number> {
  const path = join(directory, name);
  const handle = await open(path, constants.O_RDWR);
  try {
    const { size } = await handle.stat();
    await unlink(path);
    await syncDirectory(directory);
    await free(handle, size);
    return size;
  } finally {
    await handle.close();
  }
}

async function free(handle: FileHandle, fileBytes: number): Promise<void> {
  for (let bytes = fileBytes - STEP_BYTES; bytes > 0; bytes -= STEP_BYTES) {
    await handle.truncate(bytes);
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
