/**
 * Events of these tests: when each was made stands at both ends of it, so that a reader can tell a
 * delay, and a frame that is cut or mixed up.
 */
const HEAD = Buffer.from('event of a test ');
const STAMP_BYTES = 8;
/** Place of `seq` before it has got one. */
export const SEQ_START = HEAD.length;
export const SEQ_END = HEAD.length + 1;
const EVENT_BYTES_MIN = HEAD.length + 9 + 2 * STAMP_BYTES;

/** The clock that all processes of this machine share. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Bytes of an event before it has its seq; never less than it takes to tell what it is. */
export function eventBytes(bytes: number): number {
  return Math.max(bytes, EVENT_BYTES_MIN);
}

export function writeEvent(target: Buffer, at: number, bytes: number): void {
  const nowMs = machineMs();
  HEAD.copy(target, at);
  target.writeUInt8(1, at + SEQ_START);
  target.writeDoubleBE(nowMs, at + SEQ_END);
  target.writeDoubleBE(nowMs, at + bytes - STAMP_BYTES);
}

export type EventSeen = { readonly seq: number; readonly madeMs: number };

/** Undefined where this is no whole event. */
export function readEvent(message: Buffer): EventSeen | undefined {
  if (message.length < EVENT_BYTES_MIN || !message.subarray(0, HEAD.length).equals(HEAD)) {
    return undefined;
  }
  const [seq, after] = readCborInt(message, HEAD.length);
  const madeMs = message.readDoubleBE(after);
  if (madeMs !== message.readDoubleBE(message.length - STAMP_BYTES)) return undefined;
  return { seq, madeMs };
}

function readCborInt(bytes: Buffer, at: number): readonly [value: number, after: number] {
  const first = bytes.readUInt8(at);
  if (first < 24) return [first, at + 1];
  if (first === 24) return [bytes.readUInt8(at + 1), at + 2];
  if (first === 25) return [bytes.readUInt16BE(at + 1), at + 3];
  if (first === 26) return [bytes.readUInt32BE(at + 1), at + 5];
  return [Number(bytes.readBigUInt64BE(at + 1)), at + 9];
}
