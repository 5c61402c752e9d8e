/**
 * `<segment>.idx` beside a sealed segment: its sparse index as a file, so that the first cursor in
 * an old segment finds its place with one read. A cache and nothing else: bound to the segment by
 * salt, header CRC and size, checksummed; what does not fit is as good as not there. The writer
 * leaves it when it seals, readers put back what is missing, retention removes it.
 *
 *    0  8 magic "SKYIDX\r\n"   8  2 version   10 2 zero   12 4 count of entries
 *   16 16 salt of the segment
 *   32  4 crc of the segment's header         36 4 chain value at the end
 *   40  8 bytes of the segment                48 8 seq behind its last record
 *   56  4 zero                                60 4 crc of bytes 0 … 59 and of all entries
 *   64  count × entry: 8 seq, 8 byteOffset
 * @thread any
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  BATCH_HEADER_BYTES,
  SALT_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './descriptor.ts';
import { type Disk, unlinkIfThere, writeFully } from './disk.ts';
import type { IndexContent } from './sparse-index.ts';

export const SIDECAR_VERSION = 1;
const MAGIC = Buffer.from('SKYIDX\r\n', 'latin1');
const HEADER_BYTES = 64;
const ENTRY_BYTES = 16;
const CRC_AT = 60;
const SIDECAR_NAME = /^(\d{16})\.seg\.idx$/;

export function sidecarName(firstSeq: number): string {
  return `${segmentName(firstSeq)}.idx`;
}

/** First seq in the name of a sidecar; undefined for any other file. */
export function parseSidecarName(name: string): number | undefined {
  const digits = SIDECAR_NAME.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** An upper bound of its size, for a segment of `segmentBytes`. */
export function sidecarBytesMax(segmentBytes: number): number {
  return HEADER_BYTES + ENTRY_BYTES * (1 + Math.ceil(segmentBytes / BATCH_HEADER_BYTES));
}

export function encodeSidecar(segment: SegmentHeader, content: IndexContent): Buffer {
  const { seqs, byteOffsets, end } = content;
  const bytes = Buffer.alloc(HEADER_BYTES + seqs.length * ENTRY_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt16LE(SIDECAR_VERSION, 8);
  bytes.writeUInt32LE(seqs.length, 12);
  segment.salt.copy(bytes, 16);
  bytes.writeUInt32LE(segment.crc, 32);
  bytes.writeUInt32LE(end.crc, 36);
  bytes.writeDoubleLE(end.byteOffset, 40);
  bytes.writeDoubleLE(end.nextSeq, 48);
  for (const [i, seq] of seqs.entries()) {
    const at = HEADER_BYTES + i * ENTRY_BYTES;
    bytes.writeDoubleLE(seq, at);
    bytes.writeDoubleLE(byteOffsets[i] ?? 0, at + 8);
  }
  bytes.writeUInt32LE(checksum(bytes), CRC_AT);
  return bytes;
}

/** The index of this very segment, so many bytes long; undefined where it is anything else. */
export function decodeSidecar(
  bytes: Buffer,
  segment: SegmentHeader,
  segmentBytes: number,
): IndexContent | undefined {
  if (bytes.length < HEADER_BYTES + ENTRY_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) {
    return undefined;
  }
  const count = bytes.readUInt32LE(12);
  const isWhole =
    bytes.length === HEADER_BYTES + count * ENTRY_BYTES &&
    bytes.readUInt32LE(CRC_AT) === checksum(bytes);
  const isOurs =
    bytes.readUInt16LE(8) === SIDECAR_VERSION &&
    bytes.subarray(16, 16 + SALT_BYTES).equals(segment.salt) &&
    bytes.readUInt32LE(32) === segment.crc &&
    bytes.readDoubleLE(40) === segmentBytes;
  if (!isWhole || !isOurs) return undefined;
  const seqs: number[] = [];
  const byteOffsets: number[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    seqs.push(bytes.readDoubleLE(at));
    byteOffsets.push(bytes.readDoubleLE(at + 8));
  }
  if (seqs[0] !== segment.firstSeq || byteOffsets[0] !== SEGMENT_HEADER_BYTES) return undefined;
  const nextSeq = bytes.readDoubleLE(48);
  return {
    seqs,
    byteOffsets,
    end: { byteOffset: segmentBytes, nextSeq, crc: bytes.readUInt32LE(36) },
  };
}

function checksum(bytes: Buffer): number {
  return crc32(bytes.subarray(HEADER_BYTES), crc32(bytes.subarray(0, CRC_AT)));
}

/**
 * Leaves the sidecar of a segment that was just sealed. Not synced, and no error of the disk is one
 * of the log: a reader that finds it missing or torn does without.
 */
export function leaveSidecar(
  disk: Disk,
  directory: string,
  segment: SegmentHeader,
  content: IndexContent,
): void {
  const path = join(directory, sidecarName(segment.firstSeq));
  let fd = -1;
  try {
    unlinkIfThere(disk, path);
    fd = disk.open(path, 'create');
    writeFully(disk, fd, [encodeSidecar(segment, content)], 0);
  } catch {
    // Readers build it again.
  }
  try {
    if (fd >= 0) disk.close(fd);
  } catch {
    // The system has closed it, whatever it says.
  }
}
