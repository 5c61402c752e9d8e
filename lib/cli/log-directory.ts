/**
 * The segments of a log directory for commands that only read: a relay may be writing to it
 * meanwhile. Opens nothing for writing, takes no lock.
 * @thread main
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, RelayFault } from '../base/fault.ts';
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from '../log/descriptor.ts';
import type { LogFiles, ReadFile } from '../log/files.ts';
import {
  type BatchVisitor,
  runScanAsync,
  SCAN_AHEAD_BYTES,
  type SegmentScan,
  scanSegment,
} from '../log/scan.ts';
import type { LogView } from '../log/segment-files.ts';
import { listSegments } from '../log/segments.ts';

export type SegmentFile = {
  readonly name: string;
  readonly firstSeq: number;
  readonly bytes: number;
  /** The one with the highest number: a relay may be writing to it. */
  readonly isLast: boolean;
  readonly header: SegmentHeader | 'bad';
};

/**
 * All segments, oldest first. Throws a `RelayFault`: `log_unreadable` for a directory or file that
 * cannot be read, `log_version_unknown` for a file of a newer version (G27).
 */
export async function readSegments(directory: string, files: LogFiles): Promise<SegmentFile[]> {
  const names = await files.names(directory).catch((error: unknown) => {
    throw unreadable(directory, error);
  });
  const firstSeqs = listSegments(names);
  const found: SegmentFile[] = [];
  for (const firstSeq of firstSeqs) {
    const name = segmentName(firstSeq);
    const isLast = firstSeq === firstSeqs.at(-1);
    const header = await withFile(join(directory, name), files, async (file) => {
      const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
      const got = await file.read(bytes, 0);
      return decodeSegmentHeader(bytes.subarray(0, got));
    });
    if (header === 'version') throw versionFault(name);
    const { size: bytes } = await stat(join(directory, name));
    found.push({ name, firstSeq, bytes, isLast, header });
  }
  return found;
}

/** Reads one segment in full. `onRead` is told how many of its bytes are done. */
export async function scanFile(
  directory: string,
  files: LogFiles,
  segment: SegmentFile & { readonly header: SegmentHeader },
  onBatch?: BatchVisitor,
  onRead: (bytesDone: number) => void = () => {},
): Promise<SegmentScan> {
  const found = await withFile(join(directory, segment.name), files, (file) =>
    runScanAsync(
      scanSegment(segment.header, segment.bytes, onBatch),
      segment.bytes,
      SCAN_AHEAD_BYTES,
      (target, byteOffset) => {
        onRead(byteOffset);
        return file.read(target, byteOffset);
      },
    ),
  );
  if (found === 'version' || found === 'kind') throw versionFault(segment.name);
  return found;
}

/** What a reader may see of the log up to and with `last`. */
export async function viewUpTo(
  directory: string,
  files: LogFiles,
  last: SegmentFile,
): Promise<LogView> {
  const { header } = last;
  if (header === 'bad') {
    throw new RelayFault('log_unreadable', `${last.name}: no header that can be read`, {
      isRetryable: false,
    });
  }
  const scan = await scanFile(directory, files, { ...last, header });
  const { byteEnd, nextSeq } = scan;
  return { segmentFirstSeq: last.firstSeq, byteEnd, lastSeq: nextSeq - 1 };
}

async function withFile<Result>(
  path: string,
  files: LogFiles,
  use: (file: ReadFile) => Promise<Result>,
): Promise<Result> {
  const file = await files.open(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

function unreadable(path: string, error: unknown): RelayFault {
  return new RelayFault('log_unreadable', `${path}: ${errorText(error)}`, { isRetryable: false });
}

function versionFault(name: string): RelayFault {
  return new RelayFault('log_version_unknown', `${name} was written by a newer version`, {
    isRetryable: false,
  });
}
