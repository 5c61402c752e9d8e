/**
 * Our seq in place of the host's: the frame is copied around it, nothing else changes. `seqStart`
 * and `seqEnd` are the CBOR integer of `seq`, counted from the first byte of the frame, as
 * `normalizeFrame` gives them.
 * @thread any
 */
import { headBytesOf, MAJOR_UINT, writeHead } from './cbor.ts';
import { writeWsHeader, wsHeaderBytes } from './ws-frame.ts';

/** Bytes of the frame with `seq` (1 … 2^53-1) in it, without a websocket header. */
export function resequencedBytes(
  frameBytes: number,
  seqStart: number,
  seqEnd: number,
  seq: number,
): number {
  return frameBytes - (seqEnd - seqStart) + headBytesOf(seq);
}

/** Bytes of the wire frame: websocket header and the frame with `seq` in it. */
export function wireFrameBytes(
  frameBytes: number,
  seqStart: number,
  seqEnd: number,
  seq: number,
): number {
  const message = resequencedBytes(frameBytes, seqStart, seqEnd, seq);
  return wsHeaderBytes(message) + message;
}

/**
 * Writes the wire frame of `frame` [frameStart, frameEnd) with `seq` in it at `at`; returns the
 * end, which is `at` + `wireFrameBytes`. `target` must have room and must not overlap the frame.
 */
export function writeWireFrame(
  target: Buffer,
  at: number,
  frame: Buffer,
  frameStart: number,
  frameEnd: number,
  seqStart: number,
  seqEnd: number,
  seq: number,
): number {
  const message = resequencedBytes(frameEnd - frameStart, seqStart, seqEnd, seq);
  let next = writeWsHeader(target, at, message);
  next += frame.copy(target, next, frameStart, frameStart + seqStart);
  next = writeHead(target, next, MAJOR_UINT, seq);
  return next + frame.copy(target, next, frameStart + seqEnd, frameEnd);
}
