/**
 * What main hands to a verify thread: one upstream frame with where it came from. Little endian.
 *
 *    0 u8  kind          1 u8 flags     2 u16 hostnameBytes   4 u32 hostId
 *    8 i32 ingestNo     12 u32 -       16 u32 didHashLo      20 u32 didHashHi
 *   24 f64 hostSeq      32 f64 arrivalMs (epoch)             40 hostname, then the frame
 *
 * `ingestNo` counts the frames of one shard (modular): it names an input for the life of the
 * process, so a successor can tell which inputs its predecessor had already answered. `flags` are
 * what main knows of the host at that moment: an operator's switch is so ordered with the frames.
 * @thread any
 */
import { latin1, writeLatin1 } from '../base/bytes.ts';

export const INGEST_KIND = 0;
export const INGEST_FLAGS = 1;
export const INGEST_HOSTNAME_BYTES = 2;
export const INGEST_HOST_ID = 4;
export const INGEST_NO = 8;
export const INGEST_DID_HASH_LO = 16;
export const INGEST_DID_HASH_HI = 20;
export const INGEST_HOST_SEQ = 24;
export const INGEST_ARRIVAL_MS = 32;
export const INGEST_HEADER_BYTES = 40;

/** The host's commits may come as they were before sync v1.1. */
export const FLAG_LENIENT = 1;
/** The host has all the accounts that it may have: no new ones. */
export const FLAG_HOST_FULL = 2;

export type IngestMeta = {
  kind: number;
  /** FLAG_… */
  flags: number;
  hostId: number;
  hostname: string;
  ingestNo: number;
  didHashLo: number;
  didHashHi: number;
  hostSeq: number;
  arrivalMs: number;
};

export function ingestRecordBytes(hostname: string, frameBytes: number): number {
  return INGEST_HEADER_BYTES + hostname.length + frameBytes;
}

/** Writes header and hostname (ASCII) at `at`; returns the offset at which the frame goes. */
export function writeIngestHeader(target: Buffer, at: number, meta: IngestMeta): number {
  target.writeUInt8(meta.kind, at);
  target.writeUInt8(meta.flags, at + INGEST_FLAGS);
  target.writeUInt16LE(meta.hostname.length, at + INGEST_HOSTNAME_BYTES);
  target.writeUInt32LE(meta.hostId, at + INGEST_HOST_ID);
  target.writeInt32LE(meta.ingestNo, at + INGEST_NO);
  target.writeUInt32LE(0, at + 12);
  target.writeUInt32LE(meta.didHashLo, at + INGEST_DID_HASH_LO);
  target.writeUInt32LE(meta.didHashHi, at + INGEST_DID_HASH_HI);
  target.writeDoubleLE(meta.hostSeq, at + INGEST_HOST_SEQ);
  target.writeDoubleLE(meta.arrivalMs, at + INGEST_ARRIVAL_MS);
  writeLatin1(target, meta.hostname, at + INGEST_HEADER_BYTES);
  return at + INGEST_HEADER_BYTES + meta.hostname.length;
}

/** A view of one ingest record, reused from record to record. */
export class IngestRecord implements IngestMeta {
  kind = 0;
  flags = 0;
  hostId = 0;
  hostname = '';
  ingestNo = 0;
  didHashLo = 0;
  didHashHi = 0;
  hostSeq = 0;
  arrivalMs = 0;
  /** The frame's place in the buffer that was read from. */
  frameStart = 0;
  frameEnd = 0;

  get isLenient(): boolean {
    return (this.flags & FLAG_LENIENT) !== 0;
  }

  get isHostFull(): boolean {
    return (this.flags & FLAG_HOST_FULL) !== 0;
  }

  read(source: Buffer, at: number, payloadBytes: number): void {
    const hostnameBytes = source.readUInt16LE(at + INGEST_HOSTNAME_BYTES);
    this.kind = source.readUInt8(at);
    this.flags = source.readUInt8(at + INGEST_FLAGS);
    this.hostId = source.readUInt32LE(at + INGEST_HOST_ID);
    this.ingestNo = source.readInt32LE(at + INGEST_NO);
    this.didHashLo = source.readUInt32LE(at + INGEST_DID_HASH_LO);
    this.didHashHi = source.readUInt32LE(at + INGEST_DID_HASH_HI);
    this.hostSeq = source.readDoubleLE(at + INGEST_HOST_SEQ);
    this.arrivalMs = source.readDoubleLE(at + INGEST_ARRIVAL_MS);
    this.frameStart = at + INGEST_HEADER_BYTES + hostnameBytes;
    this.frameEnd = at + payloadBytes;
    this.hostname = latin1(source, at + INGEST_HEADER_BYTES, this.frameStart);
  }
}
