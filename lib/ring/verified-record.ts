/**
 * What a verify thread hands to `persist`: one accepted event in its final form but for `seq`.
 * Little endian.
 *
 *    0 u8  kind          1 u8  statusCode    4 u32 hostId        8 i32 ingestNo
 *   12 u32 upstreamCrc
 *   16 u32 didHashLo    20 u32 didHashHi    24 f64 hostSeq      32 f64 arrivalMs (epoch)
 *   40 f64 seq          48 u32 seqStart     52 u32 seqEnd       56 the frame
 *
 * `seq` is 0 until `persist` writes it, before the commit that makes the record durable, and the
 * verify thread reads it back after that commit; -1 says that the output was too large to emit.
 * An event of our own has hostSeq 0 and upstreamCrc 0: no host sent it, none will send it again.
 * `statusCode` of an #account event: accounts/status-code.ts; 0 for all others.
 * [seqStart, seqEnd) is the CBOR integer of `seq`, counted from the first byte of the frame.
 * @thread any
 */
export const VERIFIED_KIND = 0;
export const VERIFIED_STATUS_CODE = 1;
export const VERIFIED_HOST_ID = 4;
export const VERIFIED_INGEST_NO = 8;
export const VERIFIED_UPSTREAM_CRC = 12;
export const VERIFIED_DID_HASH_LO = 16;
export const VERIFIED_DID_HASH_HI = 20;
export const VERIFIED_HOST_SEQ = 24;
export const VERIFIED_ARRIVAL_MS = 32;
export const VERIFIED_SEQ = 40;
export const VERIFIED_SEQ_START = 48;
export const VERIFIED_SEQ_END = 52;
export const VERIFIED_HEADER_BYTES = 56;

/** Value of `seq` for an output that `persist` refused (wire_output_too_large). */
export const SEQ_REFUSED = -1;

export type VerifiedMeta = {
  kind: number;
  statusCode: number;
  hostId: number;
  ingestNo: number;
  upstreamCrc: number;
  didHashLo: number;
  didHashHi: number;
  hostSeq: number;
  arrivalMs: number;
  seqStart: number;
  seqEnd: number;
};

/** Writes the header at `at`; returns the offset at which the frame goes. */
export function writeVerifiedHeader(target: Buffer, at: number, meta: VerifiedMeta): number {
  target.writeUInt32LE(meta.kind | (meta.statusCode << 8), at);
  target.writeUInt32LE(meta.hostId, at + VERIFIED_HOST_ID);
  target.writeInt32LE(meta.ingestNo, at + VERIFIED_INGEST_NO);
  target.writeUInt32LE(meta.upstreamCrc, at + VERIFIED_UPSTREAM_CRC);
  target.writeUInt32LE(meta.didHashLo, at + VERIFIED_DID_HASH_LO);
  target.writeUInt32LE(meta.didHashHi, at + VERIFIED_DID_HASH_HI);
  target.writeDoubleLE(meta.hostSeq, at + VERIFIED_HOST_SEQ);
  target.writeDoubleLE(meta.arrivalMs, at + VERIFIED_ARRIVAL_MS);
  target.writeDoubleLE(0, at + VERIFIED_SEQ);
  target.writeUInt32LE(meta.seqStart, at + VERIFIED_SEQ_START);
  target.writeUInt32LE(meta.seqEnd, at + VERIFIED_SEQ_END);
  return at + VERIFIED_HEADER_BYTES;
}

/** A view of one verified record, reused from record to record. */
export class VerifiedRecord implements VerifiedMeta {
  kind = 0;
  statusCode = 0;
  hostId = 0;
  ingestNo = 0;
  upstreamCrc = 0;
  didHashLo = 0;
  didHashHi = 0;
  hostSeq = 0;
  arrivalMs = 0;
  seq = 0;
  seqStart = 0;
  seqEnd = 0;
  frameStart = 0;
  frameEnd = 0;

  read(source: Buffer, at: number, payloadBytes: number): void {
    this.kind = source.readUInt8(at);
    this.statusCode = source.readUInt8(at + VERIFIED_STATUS_CODE);
    this.hostId = source.readUInt32LE(at + VERIFIED_HOST_ID);
    this.ingestNo = source.readInt32LE(at + VERIFIED_INGEST_NO);
    this.upstreamCrc = source.readUInt32LE(at + VERIFIED_UPSTREAM_CRC);
    this.didHashLo = source.readUInt32LE(at + VERIFIED_DID_HASH_LO);
    this.didHashHi = source.readUInt32LE(at + VERIFIED_DID_HASH_HI);
    this.hostSeq = source.readDoubleLE(at + VERIFIED_HOST_SEQ);
    this.arrivalMs = source.readDoubleLE(at + VERIFIED_ARRIVAL_MS);
    this.seq = source.readDoubleLE(at + VERIFIED_SEQ);
    this.seqStart = source.readUInt32LE(at + VERIFIED_SEQ_START);
    this.seqEnd = source.readUInt32LE(at + VERIFIED_SEQ_END);
    this.frameStart = at + VERIFIED_HEADER_BYTES;
    this.frameEnd = at + payloadBytes;
  }
}
