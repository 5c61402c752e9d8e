/**
 * The websocket frame around each of our messages: FIN, binary, not masked (server to client),
 * length in its shortest form. In the log every frame is stored with it.
 * @thread any
 */
import { FRAME_BYTES_MAX } from '../base/units.ts';

const FIN_BINARY = 0x82;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** Longest header we write or read. */
export const WS_HEADER_BYTES_MAX = 10;
/** Longest wire frame: header and the largest message. */
export const WIRE_FRAME_BYTES_MAX = WS_HEADER_BYTES_MAX + FRAME_BYTES_MAX;

/** Bytes of the header of a message of so many bytes. */
export function wsHeaderBytes(bytes: number): number {
  if (bytes < LENGTH_16) return 2;
  return bytes <= 0xffff ? 4 : WS_HEADER_BYTES_MAX;
}

/** Writes the header of a message of `bytes` bytes at `at`; returns its end. */
export function writeWsHeader(target: Buffer, at: number, bytes: number): number {
  const lengthAt = target.writeUInt8(FIN_BINARY, at);
  if (bytes < LENGTH_16) return target.writeUInt8(bytes, lengthAt);
  if (bytes <= 0xffff) {
    return target.writeUInt16BE(bytes, target.writeUInt8(LENGTH_16, lengthAt));
  }
  const highAt = target.writeUInt8(LENGTH_64, lengthAt);
  return target.writeUInt32BE(bytes, target.writeUInt32BE(0, highAt));
}

/** `message` as one websocket frame in a buffer of its own. */
export function wrapMessage(message: Buffer): Buffer {
  const header = wsHeaderBytes(message.length);
  const frame = Buffer.allocUnsafe(header + message.length);
  message.copy(frame, writeWsHeader(frame, 0, message.length));
  return frame;
}

/** The header is not complete before the end. */
export const WS_SHORT = -1;
/** Not a header that we would write. */
export const WS_BAD = -2;

/**
 * Bytes of the message whose header is at `at`; its header has `wsHeaderBytes` of that number, and
 * the message may go on behind `end`. WS_SHORT or WS_BAD, both negative, where there is none.
 */
export function readWsHeader(buf: Buffer, at: number, end: number): number {
  if (end - at < 2) return WS_SHORT;
  if (buf.readUInt8(at) !== FIN_BINARY) return WS_BAD;
  const short = buf.readUInt8(at + 1);
  if (short < LENGTH_16) return short;
  if (short === LENGTH_16) {
    if (end - at < 4) return WS_SHORT;
    const bytes = buf.readUInt16BE(at + 2);
    return bytes < LENGTH_16 ? WS_BAD : bytes;
  }
  // A set top bit is the mask bit, which only clients set.
  if (short !== LENGTH_64) return WS_BAD;
  if (end - at < WS_HEADER_BYTES_MAX) return WS_SHORT;
  const bytes = buf.readUInt32BE(at + 6);
  const isOurs = buf.readUInt32BE(at + 2) === 0 && bytes > 0xffff && bytes <= FRAME_BYTES_MAX;
  return isOurs ? bytes : WS_BAD;
}
