/**
 * What a verify thread tells main about a rejected frame, so that the host can be given a strike
 * and its page can say why. Little endian; a lost report is counted, never waited for.
 *
 *    0 u32 hostId    4 u16 code index    6 u16 didBytes    8 f64 hostSeq    16 u32 crc    20 did
 * @thread any
 */
import { latin1, writeLatin1 } from '../base/bytes.ts';

const HEADER_BYTES = 20;
const DID_BYTES_MAX = 256;

export type Report = {
  hostId: number;
  codeIndex: number;
  hostSeq: number;
  /** CRC-32 of the frame as received. */
  crc: number;
  /** Cut to 256 characters. */
  did: string;
};

export function reportBytes(did: string): number {
  return HEADER_BYTES + Math.min(did.length, DID_BYTES_MAX);
}

export function writeReport(target: Buffer, at: number, report: Report): void {
  const did = report.did.slice(0, DID_BYTES_MAX);
  target.writeUInt32LE(report.hostId, at);
  target.writeUInt16LE(report.codeIndex, at + 4);
  target.writeUInt16LE(did.length, at + 6);
  target.writeDoubleLE(report.hostSeq, at + 8);
  target.writeUInt32LE(report.crc, at + 16);
  writeLatin1(target, did, at + HEADER_BYTES);
}

export function readReport(source: Buffer, at: number): Report {
  const didBytes = source.readUInt16LE(at + 6);
  return {
    hostId: source.readUInt32LE(at),
    codeIndex: source.readUInt16LE(at + 4),
    hostSeq: source.readDoubleLE(at + 8),
    crc: source.readUInt32LE(at + 16),
    did: latin1(source, at + HEADER_BYTES, at + HEADER_BYTES + didBytes),
  };
}
