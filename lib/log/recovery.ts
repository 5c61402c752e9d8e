/**
 * Opens the log after a clean stop, a crash or a power cut, and says what it found. Reads the last
 * segment in full, of the others only the headers (G13: within 5 s whatever the log holds).
 * What it may change: a torn tail is cut off, with a copy; a damaged segment is copied, never cut;
 * the last batch is written again and synced, because after a failed sync its pages can be clean in
 * memory and absent on disk (G15). Does not know what records mean.
 * @thread any
 */
import { dirname, join } from 'node:path';
import { assert } from '../base/assert.ts';
import { errorCode, RelayFault } from '../base/fault.ts';
import { syncFault } from './append-fault.ts';
import {
  decodeSegmentHeader,
  recordCountMax,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './descriptor.ts';
import { type Disk, readUpTo, writeFully } from './disk.ts';
import { keepCorrupt, keepTorn } from './quarantine.ts';
import { type Damage, runScan, SCAN_AHEAD_BYTES, type SegmentScan, scanSegment } from './scan.ts';
import { ActiveSegment } from './segment.ts';
import { listSegments } from './segments.ts';
import { SparseIndex } from './sparse-index.ts';
import { LogWriter, type LogWriterOptions, type SealedSegment } from './writer.ts';

export type OpenLogOptions = LogWriterOptions & {
  /** The next seq is at least this; a jump is recorded in the header of a new segment. */
  readonly nextSeqMin: number;
};

/** Damage found while opening, once per segment: a second start finds the copy and is silent. */
export type DamagedSegment = {
  readonly name: string;
  readonly damages: readonly Damage[];
  /** Name of the copy; '' when there was no room for one. */
  readonly copyName: string;
};

export type RecoveryReport = {
  readonly segmentCount: number;
  readonly oldestSeq: number;
  readonly nextSeq: number;
  /** Bytes of an unpublished batch that were cut off, and the copy of them ('' for none). */
  readonly tornBytes: number;
  readonly tornCopyName: string;
  /** A segment that was being created, with nothing in it; removed. '' for none. */
  readonly unbornName: string;
  readonly damaged: readonly DamagedSegment[];
  readonly durationMs: number;
};

type Known = { readonly name: string; readonly firstSeq: number; readonly bytes: number };
type Segment = Known & { readonly header: SegmentHeader | 'bad' };
type Findings = {
  tornBytes: number;
  tornCopyName: string;
  unbornName: string;
  readonly damaged: DamagedSegment[];
};

/**
 * Throws a `RelayFault`: `log_version_unknown` names the file of a newer format (G27),
 * `log_sync_failed` says that the disk does not keep what it is given.
 */
export function openLog(options: OpenLogOptions): { writer: LogWriter; report: RecoveryReport } {
  const startedMs = options.clock.monoMs();
  const findings: Findings = { tornBytes: 0, tornCopyName: '', unbornName: '', damaged: [] };
  prepareDirectory(options.disk, options.directory);
  const segments = readHeaders(options, findings);
  const writer = openWriter(options, segments, findings);
  const report = {
    ...findings,
    segmentCount: writer.sealed.length + 1,
    oldestSeq: writer.oldestSeq,
    nextSeq: writer.nextSeq,
    durationMs: options.clock.monoMs() - startedMs,
  };
  return { writer, report };
}

const FOREIGN = new Set(['EACCES', 'EPERM', 'EROFS', 'EINVAL', 'ENOTSUP']);

function prepareDirectory(disk: Disk, directory: string): void {
  disk.mkdir(directory);
  try {
    // A process before this one may have ended between making a name and syncing it: a segment's,
    // or the directory's own.
    disk.fsyncDir(directory);
    disk.fsyncDir(dirname(directory));
  } catch (error) {
    throw syncFault(error);
  }
  for (let path = dirname(directory); path !== dirname(path); path = dirname(path)) {
    try {
      disk.fsyncDir(dirname(path));
    } catch (error) {
      // Not ours to open or sync, so not made by us either.
      if (FOREIGN.has(errorCode(error))) return;
      throw syncFault(error);
    }
  }
}

function refuse(name: string, what: 'version' | 'kind'): never {
  const message = `${name}: unknown log ${what === 'version' ? 'version' : 'record kind'}`;
  throw new RelayFault('log_version_unknown', message, { isRetryable: false });
}

/** Headers of all segments, oldest first. An unborn last one is removed. */
function readHeaders(options: OpenLogOptions, findings: Findings): Segment[] {
  const { disk, directory } = options;
  const known = listSegments(disk.readdir(directory)).map((firstSeq) => {
    const name = segmentName(firstSeq);
    return { name, firstSeq, bytes: disk.stat(join(directory, name))?.bytes ?? 0 };
  });
  const last = known.at(-1);
  const segments: Segment[] = [];
  for (const segment of known) {
    const header = readHeader(disk, join(directory, segment.name));
    if (header === 'version') refuse(segment.name, header);
    const isNamed = header !== 'bad' && header.firstSeq === segment.firstSeq;
    if (!isNamed && segment === last && segment.bytes <= SEGMENT_HEADER_BYTES) {
      // Batches are written only once the header is durable: there never was one.
      disk.unlink(join(directory, segment.name));
      disk.fsyncDir(directory);
      findings.unbornName = segment.name;
      continue;
    }
    segments.push({ ...segment, header: isNamed ? header : 'bad' });
  }
  return segments;
}

function readHeader(disk: Disk, path: string): SegmentHeader | 'bad' | 'version' {
  const fd = disk.open(path, 'read');
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const got = readUpTo(disk, fd, bytes, SEGMENT_HEADER_BYTES, 0);
    return decodeSegmentHeader(bytes.subarray(0, got));
  } finally {
    disk.close(fd);
  }
}

function openWriter(
  options: OpenLogOptions,
  segments: readonly Segment[],
  findings: Findings,
): LogWriter {
  for (const segment of segments) {
    if (segment.header === 'bad') noteDamage(options, segment, [wholeDamage(segment)], findings);
  }
  const last = segments.at(-1);
  const nextSeqMin = Math.max(1, options.nextSeqMin);
  if (last === undefined) return startSegment(options, [], undefined, nextSeqMin);
  const sealed = sealedFacts(segments, options.clock.epochMs());
  if (last.header === 'bad') {
    const nextSeq = wholeDamage(last).lastSeq + 1;
    const ended = { segment: last, nextSeq, lastCrc: 0, newestMs: options.clock.epochMs() };
    return startSegment(options, sealed, ended, Math.max(nextSeq, nextSeqMin));
  }
  return resume(options, sealed, { ...last, header: last.header }, nextSeqMin, findings);
}

/** Everything in a segment without a readable header, as far as its size tells. */
function wholeDamage(segment: Segment): Damage {
  const { firstSeq, bytes } = segment;
  const lastSeq = firstSeq + recordCountMax(bytes) - 1;
  return { firstSeq, lastSeq, byteOffset: 0, byteEnd: bytes };
}

/** All but the last segment; what is in them is told by the header of the next one. */
function sealedFacts(segments: readonly Segment[], nowMs: number): SealedSegment[] {
  const facts: SealedSegment[] = [];
  // From the newest on: a header that cannot be read leaves the time to the one behind it. Rather
  // too young than too old: retention must not take what is inside the window (G7).
  let newestMs = nowMs;
  for (let index = segments.length - 2; index >= 0; index--) {
    const segment = segments[index];
    const next = segments[index + 1];
    if (segment === undefined || next === undefined) break;
    const lastSeq = next.header === 'bad' ? next.firstSeq - 1 : next.header.prevLastSeq;
    if (next.header !== 'bad') newestMs = next.header.createdMs;
    facts.push({ firstSeq: segment.firstSeq, lastSeq, bytes: segment.bytes, newestMs });
  }
  return facts.reverse();
}

type Ended = {
  readonly segment: Known;
  readonly nextSeq: number;
  readonly lastCrc: number;
  readonly newestMs: number;
};

/** Goes on in a new segment, behind `ended` (which stays as it is) or as the first of all. */
function startSegment(
  options: OpenLogOptions,
  sealed: readonly SealedSegment[],
  ended: Ended | undefined,
  firstSeq: number,
): LogWriter {
  const { disk, directory, clock, makeSalt } = options;
  const prevLastSeq = ended === undefined ? firstSeq - 1 : ended.nextSeq - 1;
  const active = ActiveSegment.create(disk, directory, {
    salt: makeSalt(),
    firstSeq,
    prevLastSeq,
    createdMs: clock.epochMs(),
    prevCrc: ended?.lastCrc ?? 0,
  });
  const newestMs = ended?.newestMs ?? clock.epochMs();
  if (ended === undefined) return new LogWriter(options, active, sealed, newestMs);
  const { segment } = ended;
  const { firstSeq: endedFirstSeq, bytes } = segment;
  const fact = { firstSeq: endedFirstSeq, lastSeq: prevLastSeq, bytes, newestMs };
  return new LogWriter(options, active, [...sealed, fact], clock.epochMs());
}

/** Scans the last segment, repairs its tail, and goes on in it if nothing in it is damaged. */
function resume(
  options: OpenLogOptions,
  sealed: readonly SealedSegment[],
  last: Known & { readonly header: SegmentHeader },
  nextSeqMin: number,
  findings: Findings,
): LogWriter {
  const { disk, directory, clock } = options;
  const fd = disk.open(join(directory, last.name), 'write');
  const index = new SparseIndex(last.header);
  const scan = runScan(
    scanSegment(last.header, last.bytes, (header) => index.note(header)),
    last.bytes,
    SCAN_AHEAD_BYTES,
    (target, byteOffset) => readUpTo(disk, fd, target, target.length, byteOffset),
  );
  if (typeof scan === 'string') {
    disk.close(fd);
    return refuse(last.name, scan);
  }
  if (scan.damages.length > 0) noteDamage(options, last, scan.damages, findings);
  if (scan.tornBytes > 0) {
    findings.tornCopyName = keepTorn(disk, directory, last.name, fd, scan);
    findings.tornBytes = scan.tornBytes;
  }
  settle(disk, fd, scan);
  const { byteEnd, nextSeq, lastCrc, isProven } = scan;
  // A segment without a record would give its name to the next one: it is gone on in.
  const isGoneOn = scan.damages.length === 0 || nextSeq === last.firstSeq;
  if (isGoneOn && nextSeq >= nextSeqMin) {
    const end = { byteEnd, nextSeq, lastCrc, isProven };
    const active = new ActiveSegment(disk, fd, last.header, end, index);
    return new LogWriter(options, active, sealed, clock.epochMs());
  }
  disk.close(fd);
  const segment = { ...last, bytes: byteEnd };
  const ended = { segment, nextSeq, lastCrc, newestMs: clock.epochMs() };
  return startSegment(options, sealed, ended, Math.max(nextSeq, nextSeqMin));
}

/** Cuts the torn tail off, writes the last batch again where it stands, and syncs (G15). */
function settle(disk: Disk, fd: number, scan: SegmentScan): void {
  if (scan.tornBytes > 0) disk.ftruncate(fd, scan.byteEnd);
  const { byteOffset, bytes } = scan.lastBatch ?? { byteOffset: 0, bytes: SEGMENT_HEADER_BYTES };
  const batch = Buffer.allocUnsafeSlow(bytes);
  const got = readUpTo(disk, fd, batch, bytes, byteOffset);
  assert(got === bytes, 'the last batch was there a moment ago');
  writeFully(disk, fd, [batch], byteOffset);
  try {
    disk.fdatasync(fd);
  } catch (error) {
    throw syncFault(error);
  }
}

function noteDamage(
  options: OpenLogOptions,
  segment: Known,
  damages: readonly Damage[],
  findings: Findings,
): void {
  const kept = keepCorrupt(options.disk, options.directory, segment.name);
  if (kept.isNew) findings.damaged.push({ name: segment.name, damages, copyName: kept.copyName });
}
