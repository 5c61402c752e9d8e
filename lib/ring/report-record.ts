/**
 * What a verify thread tells main: a rejected frame, so that the host can be given a strike and its
 * page can say why; and what a host's frames cost and brought since the last time, so that main can
 * slow it down. Little endian.
 *
 *   reject   0 u8 kind   2 u16 code index   4 u32 hostId   8 f64 hostSeq   16 u32 crc
 *           20 u16 didBytes   22 did
 *   usage    0 u8 kind                      4 u32 hostId   8 f64 verifyMs  16 u32 frames
 *           20 u32 discontinuous   24 u32 waived   28 u32 new accounts
 * @thread any
 */
import { latin1, writeLatin1 } from '../base/bytes.ts';

const KIND_REJECT = 0;
const KIND_USAGE = 1;
const REJECT_BYTES = 22;
const USAGE_BYTES = 32;
const DID_BYTES_MAX = 256;

export type RejectReport = {
  readonly kind: 'reject';
  readonly hostId: number;
  readonly codeIndex: number;
  readonly hostSeq: number;
  /** CRC-32 of the frame as received. */
  readonly crc: number;
  /** Cut to 256 characters. */
  readonly did: string;
};

/** Sums of one host, on one verify thread, since that thread's last report of it. */
export type UsageReport = {
  readonly kind: 'usage';
  readonly hostId: number;
  /** Time spent on its frames, judged or not. */
  readonly verifyMs: number;
  readonly frameCount: number;
  /** Accepted commits that do not chain on what was known (CH-4). */
  readonly discontinuousCount: number;
  /** Accepted commits that only a lenient host may send (A12). */
  readonly waivedCount: number;
  /** Accounts that it spoke for first. */
  readonly newAccountCount: number;
};

export type Report = RejectReport | UsageReport;

export function reportBytes(report: Report): number {
  if (report.kind === 'usage') return USAGE_BYTES;
  return REJECT_BYTES + Math.min(report.did.length, DID_BYTES_MAX);
}

export function writeReport(target: Buffer, at: number, report: Report): void {
  target.writeUInt32LE(report.hostId, at + 4);
  if (report.kind === 'usage') writeUsage(target, at, report);
  else writeReject(target, at, report);
}

function writeReject(target: Buffer, at: number, report: RejectReport): void {
  const did = report.did.slice(0, DID_BYTES_MAX);
  target.writeUInt8(KIND_REJECT, at);
  target.writeUInt16LE(report.codeIndex, at + 2);
  target.writeDoubleLE(report.hostSeq, at + 8);
  target.writeUInt32LE(report.crc, at + 16);
  target.writeUInt16LE(did.length, at + 20);
  writeLatin1(target, did, at + REJECT_BYTES);
}

function writeUsage(target: Buffer, at: number, report: UsageReport): void {
  target.writeUInt8(KIND_USAGE, at);
  target.writeDoubleLE(report.verifyMs, at + 8);
  target.writeUInt32LE(report.frameCount, at + 16);
  target.writeUInt32LE(report.discontinuousCount, at + 20);
  target.writeUInt32LE(report.waivedCount, at + 24);
  target.writeUInt32LE(report.newAccountCount, at + 28);
}

export function readReport(source: Buffer, at: number): Report {
  const hostId = source.readUInt32LE(at + 4);
  if (source.readUInt8(at) === KIND_USAGE) {
    return {
      kind: 'usage',
      hostId,
      verifyMs: source.readDoubleLE(at + 8),
      frameCount: source.readUInt32LE(at + 16),
      discontinuousCount: source.readUInt32LE(at + 20),
      waivedCount: source.readUInt32LE(at + 24),
      newAccountCount: source.readUInt32LE(at + 28),
    };
  }
  const didBytes = source.readUInt16LE(at + 20);
  return {
    kind: 'reject',
    hostId,
    codeIndex: source.readUInt16LE(at + 2),
    hostSeq: source.readDoubleLE(at + 8),
    crc: source.readUInt32LE(at + 16),
    did: latin1(source, at + REJECT_BYTES, at + REJECT_BYTES + didBytes),
  };
}
