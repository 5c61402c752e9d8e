/**
 * Walks the log record by record, for those who rebuild state from it: row and frame of each event
 * from a seq on, in order, with bounded memory. Each walk has a reader of its own and a fixed end.
 * @thread any
 */
import { RelayFault } from '../base/fault.ts';
import { readWsHeader, wsHeaderBytes } from '../wire/ws-frame.ts';
import type { Span } from './chunk.ts';
import { RECORD_BYTES, RecordRow } from './descriptor.ts';
import type { LogFiles } from './files.ts';
import { type LogDamage, type LogPosition, LogReader, type RawResult } from './reader.ts';
import type { LogView } from './segment-files.ts';

/** One event; the object is reused, the bytes are not. */
export class LogRecord extends RecordRow {
  seq = 0;
  /** The message as consumers get it, without its websocket header. */
  frame: Buffer = Buffer.alloc(0);
}

/** A promise is waited for before the next record. */
export type RecordVisitor = (record: LogRecord) => Promise<void> | undefined;

export interface RecordSource {
  /**
   * Visits every record with a seq above `fromSeqExclusive`, up to what `view` shows as durable.
   * Damaged pieces are passed over and returned. Throws a `RelayFault` when the log cannot be read
   * or has lost what is asked for.
   */
  forEachRecord(
    fromSeqExclusive: number,
    view: LogView,
    visit: RecordVisitor,
  ): Promise<readonly LogDamage[]>;
}

export class LogRecords implements RecordSource {
  readonly #directory: string;
  readonly #files: LogFiles;

  constructor(directory: string, files: LogFiles) {
    this.#directory = directory;
    this.#files = files;
  }

  async forEachRecord(
    fromSeqExclusive: number,
    view: LogView,
    visit: RecordVisitor,
  ): Promise<readonly LogDamage[]> {
    const { segmentFirstSeq, byteEnd, lastSeq } = view;
    const fixed = { segmentFirstSeq, byteEnd, lastSeq };
    const reader = new LogReader({
      directory: this.#directory,
      files: this.#files,
      view: () => fixed,
      oldestSeq: () => 0,
    });
    try {
      return await walk(reader, fromSeqExclusive, visit);
    } finally {
      await reader.close();
    }
  }
}

async function walk(
  reader: LogReader,
  fromSeqExclusive: number,
  visit: RecordVisitor,
): Promise<readonly LogDamage[]> {
  const damages: LogDamage[] = [];
  const record = new LogRecord();
  let position: LogPosition | undefined = await reader.locate(fromSeqExclusive);
  for (;;) {
    const raw: RawResult =
      position === undefined ? { kind: 'removed' } : await reader.readRaw(position);
    if (raw.kind === 'end') return damages;
    if (raw.kind === 'removed') throw goneFault(position);
    if (raw.kind === 'damaged') {
      damages.push(raw);
      position = raw.resume;
      continue;
    }
    for (const span of raw.spans) {
      const pending = visitSpan(raw.piece, span, position?.nextSeq ?? 0, record, visit);
      if (pending !== undefined) await pending;
    }
    position = raw.next;
  }
}

/** Visits without waiting as long as the visitor gives no promise. */
function visitSpan(
  piece: Buffer,
  span: Span,
  fromSeq: number,
  record: LogRecord,
  visit: RecordVisitor,
): Promise<void> | undefined {
  let start = span.framesAt;
  for (let i = 0; i < span.count; i++) {
    record.read(piece, span.rowsAt + i * RECORD_BYTES);
    const end = start + record.frameBytes;
    record.seq = span.firstSeq + i;
    if (record.seq >= fromSeq) {
      const messageBytes = readWsHeader(piece, start, end);
      record.frame = piece.subarray(start + wsHeaderBytes(Math.max(messageBytes, 0)), end);
      const pending = visit(record);
      if (pending !== undefined) {
        const rest = { ...span, framesAt: end, rowsAt: span.rowsAt + (i + 1) * RECORD_BYTES };
        const left = { ...rest, firstSeq: span.firstSeq + i + 1, count: span.count - i - 1 };
        return pending.then(() => visitSpan(piece, left, fromSeq, record, visit));
      }
    }
    start = end;
  }
  return undefined;
}

function goneFault(position: LogPosition | undefined): RelayFault {
  const where = position === undefined ? '' : ` at seq ${position.nextSeq}`;
  return new RelayFault('log_removed', `the log ends${where}`, { isRetryable: false });
}
