/**
 * Walks the frames of the log, which are stored as websocket frames one after the other: where the
 * next one ends, and with a peek which event it is. Knows no segments and no batches.
 * @thread any
 */
import { Peek, peekAt } from '../../lib/wire/peek.ts';
import { readWsHeader, WS_BAD, WS_SHORT, wsHeaderBytes } from '../../lib/wire/ws-frame.ts';

/** The frame goes on behind `end`. */
export const WIRE_SHORT = WS_SHORT;
/** What stands there is no frame of ours. */
export const WIRE_BAD = WS_BAD;

/** One frame of the log; reused. Offsets count from the start of the buffer. */
export class WireFrame {
  /** The message, behind its websocket header. */
  messageStart = 0;
  messageEnd = 0;
  /** Kind, place of the DID and seq (`hostSeq`: here it is ours). */
  readonly peek = new Peek();

  get seq(): number {
    return this.peek.hostSeq;
  }
}

/** End of the wire frame at `at`, or WIRE_SHORT, or WIRE_BAD. Looks at the header only. */
export function wireFrameEnd(buf: Buffer, at: number, end: number): number {
  const messageBytes = readWsHeader(buf, at, end);
  if (messageBytes < 0) return messageBytes;
  const next = at + wsHeaderBytes(messageBytes) + messageBytes;
  return next > end ? WIRE_SHORT : next;
}

/**
 * Reads the wire frame at `at` into `out`; returns its end, which is where the next one starts.
 * WIRE_SHORT when it is not complete before `end`, WIRE_BAD when it is no event in a frame of ours.
 */
export function readWireFrame(buf: Buffer, at: number, end: number, out: WireFrame): number {
  const next = wireFrameEnd(buf, at, end);
  if (next < 0) return next;
  out.messageStart = at + wsHeaderBytes(readWsHeader(buf, at, end));
  out.messageEnd = next;
  return peekAt(buf, out.messageStart, next, out.peek) === 'event' ? next : WIRE_BAD;
}
