/**
 * Where accepted frames go: the ingest rings, which upstream does not know. Owns only the shape.
 * @thread main
 */
import type { Kind } from '../wire/kinds.ts';

/** What is known of a frame without decoding it. The object is reused: copy what you keep. */
export type FrameMeta = {
  kind: Kind;
  /** What the verify thread must know of the host, FLAG_… of ring/ingest-record.ts. */
  flags: number;
  hostId: number;
  /** Normal form of identity/address.ts, ASCII. */
  hostname: string;
  /** 1 … 2^53-1. */
  hostSeq: number;
  /** Wall clock at arrival, in milliseconds. */
  arrivalMs: number;
  /** Where the DID's bytes are in the frame. */
  didStart: number;
  didEnd: number;
};

export interface FrameSink {
  /**
   * Takes the frame, or returns false when its ring is full: the frame then stays here and its
   * socket is paused. The buffer belongs to the caller again when the call returns.
   */
  offer(frame: Buffer, meta: FrameMeta): boolean;
  /** True when paused hosts may go on: every ring is at least half empty. */
  isHalfEmpty(): boolean;
}
