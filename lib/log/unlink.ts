/**
 * Removes the segments that `persist` has given up, on main's event loop: name first, oldest
 * first, each name's absence made durable before the next goes (no hole after a power cut), then
 * the bytes in steps, because freeing a gigabyte at once blocks the file system for 0.2 s.
 * A reader inside such a segment ends its step first.
 * @thread main
 */
import { constants } from 'node:fs';
import { open, readdir, unlink } from 'node:fs/promises';
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

/** The calls of a removal, one by one. Tests put the simulated disk in their place. */
export interface RemovalFiles {
  names(directory: string): Promise<string[]>;
  open(path: string): Promise<{
    bytes(): Promise<number>;
    truncate(bytes: number): Promise<void>;
    close(): Promise<void>;
  }>;
  unlink(path: string): Promise<void>;
  /** Makes the absence of unlinked names durable. */
  syncDirectory(path: string): Promise<void>;
}

export type SegmentRemoverOptions = {
  readonly directory: string;
  readonly files: RemovalFiles;
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
    const { directory, files, metrics, retire } = this.#options;
    const oldestSeq = this.#options.oldestSeq();
    const names = await files.names(directory);
    const firstSeqs = listSegments(names);
    const retired = firstSeqs.filter((firstSeq) => firstSeq < oldestSeq);
    let segmentsRemoved = 0;
    let bytesRemoved = 0;
    if (retired.length > 0) await retire(oldestSeq);
    try {
      for (const firstSeq of retired) {
        bytesRemoved += await removeSegment(files, directory, segmentName(firstSeq));
        segmentsRemoved++;
      }
      // Also those that a process which ended in between has left.
      for (const name of names) {
        const firstSeq = parseSidecarName(name);
        const isLeft = firstSeq !== undefined && firstSeq < oldestSeq;
        if (isLeft) await files.unlink(join(directory, name));
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
async function removeSegment(
  files: RemovalFiles,
  directory: string,
  name: string,
): Promise<number> {
  const path = join(directory, name);
  const file = await files.open(path);
  try {
    const fileBytes = await file.bytes();
    await files.unlink(path);
    await files.syncDirectory(directory);
    for (let bytes = fileBytes - STEP_BYTES; bytes > 0; bytes -= STEP_BYTES) {
      await file.truncate(bytes);
    }
    return fileBytes;
  } finally {
    await file.close();
  }
}

/** The real ones: libuv's threads do the work. */
export const realRemovalFiles: RemovalFiles = {
  names: (directory) => readdir(directory),
  open: async (path) => {
    const handle = await open(path, constants.O_RDWR);
    return {
      bytes: async () => (await handle.stat()).size,
      truncate: (bytes) => handle.truncate(bytes),
      close: () => handle.close(),
    };
  },
  unlink: (path) => unlink(path),
  syncDirectory: async (path) => {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};
