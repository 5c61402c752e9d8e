/**
 * `skyrelay log inspect`: what is in the log, from the files: the segments, the batches of one, or
 * the records from a seq on. Reads while a relay writes.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { isoTime } from '../base/clock.ts';
import { RelayFault } from '../base/fault.ts';
import { toEpochMs } from '../base/units.ts';
import { type BatchHeader, RECORD_BYTES, RecordRow } from '../log/descriptor.ts';
import type { LogFiles } from '../log/files.ts';
import { type LogPosition, LogReader } from '../log/reader.ts';
import { segmentIndexOf } from '../log/segments.ts';
import { KIND_NAMES, type Kind } from '../wire/kinds.ts';
import { readWsHeader, wsHeaderBytes } from '../wire/ws-frame.ts';
import { eventJson, eventLine } from './event-text.ts';
import { readSegments, type SegmentFile, scanFile, viewUpTo } from './log-directory.ts';
import { describeDamage } from './log-verify.ts';

export type Line = { readonly json: object; readonly text: string };
export type Printer = (line: Line) => void;

/** One line per segment. */
export async function listLog(
  directory: string,
  files: LogFiles,
  clock: Clock,
  print: Printer,
): Promise<void> {
  const segments = await readSegments(directory, files);
  for (const [index, segment] of segments.entries()) {
    const { name, firstSeq, bytes, header, isLast } = segment;
    const next = segments[index + 1]?.header;
    const lastSeq =
      next !== undefined && next !== 'bad'
        ? next.prevLastSeq
        : header === 'bad'
          ? firstSeq - 1
          : (await viewUpTo(directory, files, segment)).lastSeq;
    const createdMs = header === 'bad' ? undefined : header.createdMs;
    const created = createdMs === undefined ? 'unreadable' : isoTime(toEpochMs(createdMs));
    const ageHours = createdMs === undefined ? 0 : (clock.epochMs() - createdMs) / 3_600_000;
    const state = header === 'bad' ? 'damaged' : isLast ? 'active' : 'sealed';
    const seqs = lastSeq < firstSeq ? 'no records' : `${firstSeq} … ${lastSeq}`;
    const age = `${ageHours.toFixed(1)} h old`;
    print({
      json: { name, firstSeq, lastSeq, bytes, created, state },
      text: `${name}  ${state}  ${seqs}  ${bytes} bytes  since ${created}  ${age}`,
    });
  }
}

/** One line per batch of the segment that holds `seq`. */
export async function listBatches(
  directory: string,
  files: LogFiles,
  seq: number,
  print: Printer,
): Promise<void> {
  const segment = segmentOf(await readSegments(directory, files), seq);
  const { header } = segment;
  if (header === 'bad') throw unreadable(segment.name);
  const onBatch = (batch: BatchHeader): void => {
    const { byteOffset, firstSeq, count, bodyBytes, committedMs } = batch;
    const committed = isoTime(toEpochMs(committedMs));
    const seqs = count === 0 ? 'proof' : `${firstSeq} … ${batch.nextSeq - 1}`;
    print({
      json: { byteOffset, firstSeq, count, bodyBytes, committed },
      text: `at ${byteOffset}  ${seqs}  ${count} records  ${bodyBytes} bytes  ${committed}`,
    });
  };
  const scan = await scanFile(directory, files, { ...segment, header }, onBatch);
  for (const damage of scan.damages) print({ json: { damage }, text: describeDamage(damage) });
}

/** One line per record from `seq` on, `countMax` of them. */
export async function listRecords(
  directory: string,
  files: LogFiles,
  seq: number,
  countMax: number,
  print: Printer,
): Promise<void> {
  const segments = await readSegments(directory, files);
  const last = segments.at(-1);
  if (last === undefined) throw empty(directory);
  const view = await viewUpTo(directory, files, last);
  const oldestSeq = segments[0]?.firstSeq ?? 1;
  const reader = new LogReader({
    directory,
    files,
    view: () => view,
    oldestSeq: () => oldestSeq,
  });
  try {
    await walk(reader, seq, countMax, print);
  } finally {
    await reader.close();
  }
}

async function walk(
  reader: LogReader,
  seq: number,
  countMax: number,
  print: Printer,
): Promise<void> {
  const row = new RecordRow();
  let left = countMax;
  let position: LogPosition | undefined = await reader.locate(seq - 1);
  while (position !== undefined && left > 0) {
    const raw = await reader.readRaw(position);
    if (raw.kind === 'end' || raw.kind === 'removed') return;
    if (raw.kind === 'damaged') {
      print({ json: { damage: raw.damage }, text: describeDamage(raw.damage) });
      position = raw.resume;
      continue;
    }
    for (const span of raw.spans) {
      let at = span.framesAt;
      for (let i = 0; i < span.count && left > 0; i++) {
        row.read(raw.piece, span.rowsAt + i * RECORD_BYTES);
        const end = at + row.frameBytes;
        if (span.firstSeq + i >= position.nextSeq) {
          print(recordLine(row, raw.piece.subarray(at, end), span.firstSeq + i));
          left -= 1;
        }
        at = end;
      }
    }
    position = raw.next;
  }
}

function recordLine(row: RecordRow, wire: Buffer, seq: number): Line {
  const frame = wire.subarray(wsHeaderBytes(Math.max(0, readWsHeader(wire, 0, wire.length))));
  const event = eventJson(frame, row.kind as Kind);
  const arrived = isoTime(toEpochMs(row.arrivalMs));
  const { hostId, hostSeq } = row;
  const from = row.hostSeq === 0 ? 'ours' : `host ${hostId} seq ${hostSeq}`;
  if (event === undefined) {
    const text = `${seq}  ${KIND_NAMES[row.kind]}  ${from}  ${arrived}  does not decode`;
    return { json: { seq, hostId, hostSeq, arrived, bytes: frame.length }, text };
  }
  return {
    json: { ...event, hostId, hostSeq, arrived },
    text: `${eventLine(event)}  (${from}, arrived ${arrived})`,
  };
}

function segmentOf(segments: readonly SegmentFile[], seq: number): SegmentFile {
  const firstSeqs = segments.map(({ firstSeq }) => firstSeq);
  const segment = segments[Math.max(0, segmentIndexOf(firstSeqs, seq))];
  if (segment === undefined) throw empty('it');
  return segment;
}

function empty(directory: string): RelayFault {
  return new RelayFault('log_unreadable', `${directory}: no segments`, { isRetryable: false });
}

function unreadable(name: string): RelayFault {
  return new RelayFault('log_unreadable', `${name}: no header that can be read`, {
    isRetryable: false,
  });
}
