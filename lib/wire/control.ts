/**
 * Frames that are no events: `#info` and errors, read from hosts and written to consumers. They
 * have no seq and are never stored or forwarded (SQ-2).
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';
import { encodeHead, encodeText, headBytes, MAJOR_MAP, MAJOR_TEXT } from './cbor.ts';
import { EntryTable, scanEntries } from './entries.ts';
import { startsWith } from './fields.ts';
import { ERROR_HEADER, FRAME_ERROR, FRAME_INFO, HEADERS, Header, readHeader } from './header.ts';
import { byteAt, textOf } from './utf8.ts';

const KEY_ERROR = encodeText('error');
const KEY_NAME = encodeText('name');
const KEY_MESSAGE = encodeText('message');
/** A host's words end up in a log line: more of them than this is cut off. */
const TEXT_BYTES_MAX = 512;

/** What an info or error frame says; reused. */
export class Control {
  isError = false;
  /** `name` of an info frame (`OutdatedCursor`), `error` of an error frame (`FutureCursor`). */
  name = '';
  /** '' when absent; cut at 512 bytes. */
  message = '';
  readonly header = new Header();
  readonly entries = new EntryTable();
}

/**
 * Decodes a frame that `peek` called `info` or `error`. For an error frame every outcome ends the
 * connection (H11, H12, H13); the reject only says that the host did not even do that right.
 */
export function decodeControl(buf: Buffer, out: Control): RejectCode | undefined {
  out.name = '';
  out.message = '';
  const reject = readHeader(buf, 0, buf.length, out.header);
  if (reject !== undefined) return reject;
  const { type, payloadStart } = out.header;
  if (type !== FRAME_INFO && type !== FRAME_ERROR) return 'frame_header_bad';
  out.isError = type === FRAME_ERROR;
  if (payloadStart >= buf.length || byteAt(buf, payloadStart) >> 5 !== MAJOR_MAP) {
    return 'wire_payload_not_map';
  }
  const next = scanEntries(buf, payloadStart, buf.length, out.entries, undefined);
  if (next < 0) return 'wire_cbor_bad';
  return next === buf.length ? takeTexts(buf, out) : 'frame_trailing_bytes';
}

function takeTexts(buf: Buffer, out: Control): RejectCode | undefined {
  const nameKey = out.isError ? KEY_ERROR : KEY_NAME;
  let reject: RejectCode | undefined = 'wire_field_missing';
  for (let index = 0; index < out.entries.count; index++) {
    const keyAt = out.entries.keyAt[index] as number;
    const valueAt = out.entries.valueAt[index] as number;
    const isName = startsWith(buf, keyAt, nameKey);
    if (!isName && !startsWith(buf, keyAt, KEY_MESSAGE)) continue;
    const first = byteAt(buf, valueAt);
    if (first >> 5 !== MAJOR_TEXT) return 'wire_field_bad';
    const text = cutText(buf, valueAt + headBytes(first), out.entries.valueEnd[index] as number);
    if (isName) {
      out.name = text;
      reject = undefined;
    } else {
      out.message = text;
    }
  }
  return reject;
}

function cutText(buf: Buffer, start: number, end: number): string {
  return textOf(buf, start, Math.min(end, start + TEXT_BYTES_MAX));
}

/** An error frame: `error` without `#`, `message` when it is not ''. Canonical (FR-9, FR-14). */
export function encodeErrorFrame(error: string, message: string): Buffer {
  return Buffer.concat([ERROR_HEADER, ...payload(KEY_ERROR, error, message)]);
}

/** An info frame: `name`, `message` when it is not ''. Canonical (SQ-8, FR-14). */
export function encodeInfoFrame(name: string, message: string): Buffer {
  return Buffer.concat([HEADERS[FRAME_INFO] as Buffer, ...payload(KEY_NAME, name, message)]);
}

/** Both name keys are shorter than `message`, hence first. */
function payload(nameKey: Buffer, name: string, message: string): Buffer[] {
  const hasMessage = message !== '';
  const parts = [encodeHead(MAJOR_MAP, hasMessage ? 2 : 1), nameKey, encodeText(name)];
  if (hasMessage) parts.push(KEY_MESSAGE, encodeText(message));
  return parts;
}
