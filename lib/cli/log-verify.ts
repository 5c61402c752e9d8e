/**
 * `skyrelay log verify`: reads every byte of the log and checks what its format promises (chain,
 * CRCs, contiguous seqs, segments that continue each other) and what it holds: each frame is a
 * websocket frame of one event with the seq, kind and DID hash that its row says.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import {
  type BatchHeader,
  RECORD_BYTES,
  RecordRow,
  type SegmentHeader,
} from '../log/descriptor.ts';
import type { LogFiles } from '../log/files.ts';
import type { Damage, SegmentScan } from '../log/scan.ts';
import { type DidHash, didHash } from '../wire/did-hash.ts';
import { Peek, peekAt } from '../wire/peek.ts';
import { readWsHeader, wsHeaderBytes } from '../wire/ws-frame.ts';
import { readSegments, type SegmentFile, scanFile } from './log-directory.ts';
import { Progress } from './progress.ts';

/** Problems told per segment; all are counted. */
const PROBLEMS_MAX = 20;

export type SegmentReport = {
  readonly name: string;
  readonly firstSeq: number;
  /** Below `firstSeq` when it holds no record. */
  readonly lastSeq: number;
  readonly bytes: number;
  readonly batchCount: number;
  readonly recordCount: number;
  /** Bytes at the end of the last segment that no proof covers: being written, or torn. */
  readonly tornBytes: number;
  readonly damages: readonly Damage[];
  readonly problemCount: number;
  /** The first of them, in words. */
  readonly problems: readonly string[];
};

export type LogReport = {
  readonly segments: readonly SegmentReport[];
  readonly recordCount: number;
  readonly bytes: number;
  readonly isWhole: boolean;
};

/** Checks the frames of a batch against its rows; what it finds goes to `tell`. */
export class BatchAudit {
  batchCount = 0;
  recordCount = 0;
  readonly #tell: (problem: string) => void;
  readonly #row = new RecordRow();
  readonly #peek = new Peek();
  readonly #hash: DidHash = { lo: 0, hi: 0 };

  constructor(tell: (problem: string) => void) {
    this.#tell = tell;
  }

  batch(header: BatchHeader, body: Buffer): void {
    let at = header.count * RECORD_BYTES;
    for (let i = 0; i < header.count; i++) {
      this.#row.read(body, i * RECORD_BYTES);
      const end = at + this.#row.frameBytes;
      const problem = this.#frameProblem(body, at, end, header.firstSeq + i);
      if (problem !== '') this.#tell(`seq ${header.firstSeq + i}: ${problem}`);
      at = end;
    }
    this.batchCount += 1;
    this.recordCount += header.count;
  }

  #frameProblem(body: Buffer, at: number, end: number, seq: number): string {
    const row = this.#row;
    const messageBytes = readWsHeader(body, at, end);
    if (messageBytes < 0) return 'no websocket frame';
    const start = at + wsHeaderBytes(messageBytes);
    if (start + messageBytes !== end) return 'the websocket frame has another length than its row';
    const what = peekAt(body, start, end, this.#peek);
    if (what !== 'event') return `no event (${what})`;
    if (this.#peek.hostSeq !== seq) return `the frame says seq ${this.#peek.hostSeq}`;
    if (this.#peek.kind !== row.kind) return `the frame is of kind ${this.#peek.kind}`;
    didHash(body, this.#peek.didStart, this.#peek.didEnd, this.#hash);
    const isHash = this.#hash.lo === row.didHashLo && this.#hash.hi === row.didHashHi;
    return isHash ? '' : "the row has another DID's hash";
  }
}

/** Throws a `RelayFault` when the log cannot be read or is of a newer version. */
export async function verifyLog(
  directory: string,
  files: LogFiles,
  clock: Clock,
  onSegment: (report: SegmentReport) => void,
): Promise<LogReport> {
  const segments = await readSegments(directory, files);
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const progress = new Progress(clock, process.stderr, bytes);
  const reports: SegmentReport[] = [];
  let before: Before | undefined;
  let bytesDone = 0;
  for (const segment of segments) {
    const from = bytesDone;
    const { report, scan } = await verifySegment(directory, files, segment, before, (done) =>
      progress.show(from + done, segment.name),
    );
    bytesDone += segment.bytes;
    progress.end();
    reports.push(report);
    onSegment(report);
    before = { header: segment.header, scan };
  }
  return {
    segments: reports,
    recordCount: reports.reduce((sum, { recordCount }) => sum + recordCount, 0),
    bytes,
    isWhole: reports.every(({ problemCount }) => problemCount === 0),
  };
}

type Before = { readonly header: SegmentHeader | 'bad'; readonly scan: SegmentScan | undefined };

async function verifySegment(
  directory: string,
  files: LogFiles,
  segment: SegmentFile,
  before: Before | undefined,
  onRead: (bytesDone: number) => void,
): Promise<{ report: SegmentReport; scan: SegmentScan | undefined }> {
  const problems: string[] = [];
  let problemCount = 0;
  const tell = (problem: string): void => {
    problemCount += 1;
    if (problems.length < PROBLEMS_MAX) problems.push(problem);
  };
  const { name, firstSeq, bytes, header, isLast } = segment;
  const audit = new BatchAudit(tell);
  let scan: SegmentScan | undefined;
  if (header === 'bad') tell('no header that can be read');
  else {
    const onBatch = (batch: BatchHeader, body: Buffer): void => audit.batch(batch, body);
    scan = await scanFile(directory, files, { ...segment, header }, onBatch, onRead);
    for (const damage of scan.damages) tell(describeDamage(damage));
    if (header.firstSeq !== firstSeq) tell(`the header says first seq ${header.firstSeq}`);
    if (before !== undefined) checkLink(before, header, tell);
    if (!isLast && scan.tornBytes > 0) tell(`${scan.tornBytes} bytes at its end are no batch`);
  }
  const report = {
    name,
    firstSeq,
    lastSeq: (scan?.nextSeq ?? firstSeq) - 1,
    bytes,
    batchCount: audit.batchCount,
    recordCount: audit.recordCount,
    tornBytes: isLast ? (scan?.tornBytes ?? 0) : 0,
    damages: scan?.damages ?? [],
    problemCount,
    problems,
  };
  return { report, scan };
}

/** Whether a segment continues the one before it: the chain, and all of its records. */
function checkLink(before: Before, header: SegmentHeader, tell: (problem: string) => void): void {
  const { scan } = before;
  if (scan === undefined) return;
  if (scan.nextSeq - 1 < header.prevLastSeq) {
    tell(`the segment before lacks seqs ${scan.nextSeq} … ${header.prevLastSeq}`);
  } else if (scan.damages.length === 0 && scan.lastCrc !== header.prevCrc) {
    tell('it does not continue the chain of the segment before');
  }
}

export function describeDamage({ firstSeq, lastSeq, byteOffset, byteEnd }: Damage): string {
  const where = `bytes ${byteOffset} … ${byteEnd}`;
  if (lastSeq < firstSeq) return `damaged: ${where}, no record lost`;
  return `damaged: ${where}, seqs ${firstSeq} … ${lastSeq} are or may be lost`;
}
