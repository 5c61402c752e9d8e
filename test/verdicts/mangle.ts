/**
 * Takes a good frame and makes it wrong in its bytes: what no writer of DRISL would do. The good
 * frame is the next commit of an account, which the account does not make unless told so.
 */
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_COMMIT } from '../../lib/wire/kinds.ts';
import { commitFrame, type Stamp } from '../../scripts/fleet/event-frames.ts';
import { bytesOf, cbor, type Value } from '../wire/frames.ts';
import type { Scene } from './scene.ts';

export const COMMIT_HEADER = cbor({ op: 1, t: '#commit' });
const UNKNOWN_KEY = 'unknown';

/** The subject's next commit; the relay will see it go on from another one. */
export function draftFrame(scene: Scene, stamp: Stamp): Buffer {
  const repo = scene.subject.repo.fork();
  return commitFrame(repo.commit([scene.post()], { epochMs: Date.now() }), stamp);
}

/** The subject's next commit, made: for inputs that pass. */
export function madeFrame(scene: Scene, stamp: Stamp): Buffer {
  const { repo } = scene.subject;
  return commitFrame(repo.commit([scene.post()], { epochMs: Date.now() }), stamp);
}

/** The payload of a commit frame with a canonical header. */
export function payloadOf(frame: Buffer): Buffer {
  return frame.subarray(COMMIT_HEADER.length);
}

/** The payload under any header. */
export function under(header: Buffer, frame: Buffer): Buffer {
  return Buffer.concat([header, payloadOf(frame)]);
}

/** One more field in its place in the payload, with any bytes for a value. */
export function withEntry(good: Buffer, value: Buffer | string, key = UNKNOWN_KEY): Buffer {
  const keyBytes = cbor(key);
  const { keyAt, count } = viewOf(good).entries;
  const later = keyAt.subarray(0, count).find((at) => {
    return Buffer.compare(good.subarray(at, at + keyBytes.length), keyBytes) > 0;
  });
  const at = later ?? good.length;
  const frame = Buffer.concat([
    good.subarray(0, at),
    keyBytes,
    typeof value === 'string' ? bytesOf(value) : value,
    good.subarray(at),
  ]);
  frame.writeUInt8(frame.readUInt8(COMMIT_HEADER.length) + 1, COMMIT_HEADER.length);
  return frame;
}

/** The path of its only operation. */
export function pathOf(good: Buffer): string {
  return viewOf(good).ops[0]?.path ?? '';
}

/** The frame with other bytes for a value of the envelope. */
export function withValue(good: Buffer, key: string, value: Value, hex: string): Buffer {
  const old = cbor(value);
  // The commit object, which has keys of the same name, comes later.
  const at = good.indexOf(Buffer.concat([cbor(key), old]));
  if (at < 0) throw new Error(`no ${key} of this value`);
  const valueAt = at + cbor(key).length;
  return Buffer.concat([
    good.subarray(0, valueAt),
    bytesOf(hex),
    good.subarray(valueAt + old.length),
  ]);
}

/** The link behind `key`, the last one of that name, replaced by any bytes. */
export function withLink(frame: Buffer, key: string, hex: string): Buffer {
  const at = frame.lastIndexOf(Buffer.concat([cbor(key), bytesOf('d82a582500')]));
  if (at < 0) throw new Error(`no link ${key}`);
  const valueAt = at + cbor(key).length;
  return Buffer.concat([frame.subarray(0, valueAt), bytesOf(hex), frame.subarray(valueAt + 41)]);
}

/** The payload's fields in reverse order. */
export function reversed(good: Buffer): Buffer {
  const { keyAt, valueEnd, count } = viewOf(good).entries;
  const fields = Array.from({ length: count }, (_, index) => {
    return good.subarray(keyAt[index], valueEnd[index]);
  });
  return Buffer.concat([good.subarray(0, COMMIT_HEADER.length + 1), ...fields.toReversed()]);
}

export function viewOf(good: Buffer): EventView {
  const view = new EventView();
  const reject = decodeEvent(good, KIND_COMMIT, view);
  if (reject !== undefined) throw new Error(reject);
  return view;
}

/** `t` twice, and `op`. */
export const HEADER_TWICE = bytesOf(
  'a3 61 74 67 23636f6d6d6974 61 74 67 23636f6d6d6974 62 6f70 01',
);
/** `op` before `t`. */
export const HEADER_UNSORTED = bytesOf('a2 62 6f70 01 61 74 67 23636f6d6d6974');

/** One websocket frame of a server: opcode with its flags, and the payload. */
export function wireFrame(first: number, payload: Buffer): Buffer {
  const head =
    payload.length < 126
      ? Buffer.from([first, payload.length])
      : Buffer.from([first, 126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([head, payload]);
}
