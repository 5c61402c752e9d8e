/**
 * Length of a stored frame, websocket header included: what a walk over the tail needs.
 * @thread any
 */
import { readWsHeader, WS_SHORT, wsHeaderBytes } from '../wire/ws-frame.ts';

/** The header is not complete before `end`. */
export const FRAME_SHORT = WS_SHORT;

/** Bytes of the frame whose header is at `at`; negative as `readWsHeader` says. */
export function frameLengthAt(buf: Buffer, at: number, end: number): number {
  const messageBytes = readWsHeader(buf, at, end);
  return messageBytes < 0 ? messageBytes : wsHeaderBytes(messageBytes) + messageBytes;
}
