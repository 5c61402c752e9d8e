/**
 * An `#account` frame written by the relay itself: canonical, as the lexicon has it. Its seq is a
 * placeholder, which stands where normalizeFrame says for other frames, until a seq of ours is
 * given; it decodes like any other frame before that, too.
 * @thread any
 */
import { encodeHead, encodeText, encodeUint, FALSE_BYTE, MAJOR_MAP, TRUE_BYTE } from './cbor.ts';
import {
  FIELD_ACTIVE,
  FIELD_DID,
  FIELD_KEYS,
  FIELD_SEQ,
  FIELD_STATUS,
  FIELD_TIME,
} from './fields.ts';
import { HEADERS } from './header.ts';
import { KIND_ACCOUNT } from './kinds.ts';
import type { NormalFrame } from './normalize.ts';

export type AccountFrame = {
  readonly did: string;
  readonly isActive: boolean;
  /** null leaves the field out (AC-13). */
  readonly status: string | null;
  /** A datetime. */
  readonly time: string;
};

/** 1 … 23: the least that is a seq, in one byte. */
const SEQ_PLACEHOLDER = encodeUint(1);
const FALSE_VALUE = Buffer.of(FALSE_BYTE);
const TRUE_VALUE = Buffer.of(TRUE_BYTE);

function keyOf(field: number): Buffer {
  return FIELD_KEYS[field] as Buffer;
}

/** Writes the frame into `out`. Keys in canonical order: did, seq, time, active, status (FR-14). */
export function encodeAccountFrame(event: AccountFrame, out: NormalFrame): void {
  const { did, isActive, status, time } = event;
  const untilSeq = [
    HEADERS[KIND_ACCOUNT] as Buffer,
    encodeHead(MAJOR_MAP, status === null ? 4 : 5),
    keyOf(FIELD_DID),
    encodeText(did),
    keyOf(FIELD_SEQ),
  ];
  const behind = [
    keyOf(FIELD_TIME),
    encodeText(time),
    keyOf(FIELD_ACTIVE),
    isActive ? TRUE_VALUE : FALSE_VALUE,
  ];
  if (status !== null) behind.push(keyOf(FIELD_STATUS), encodeText(status));
  out.seqStart = untilSeq.reduce((sum, part) => sum + part.length, 0);
  out.seqEnd = out.seqStart + SEQ_PLACEHOLDER.length;
  out.bytes = Buffer.concat([...untilSeq, SEQ_PLACEHOLDER, ...behind]);
  out.isChanged = true;
}
