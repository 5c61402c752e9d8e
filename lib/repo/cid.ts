/**
 * Content ids as the relay handles them: the 36 binary bytes as a latin1 string, so that they
 * compare with `===` and need no object. Only the two blessed forms exist (CD-1): CIDv1, sha-256,
 * codec DRISL (0x71) or raw (0x55). Owns their byte layout and text form.
 * @thread any
 */
import { base32Decode, base32Encode } from './base32.ts';

/** 36 latin1 characters, or '' where there is none. */
export type Cid = string;

/** Version 1, codec, sha-256, 32 bytes: the first four bytes, big-endian. */
export const CID_HEAD_DRISL = 0x01_71_12_20;
export const CID_HEAD_RAW = 0x01_55_12_20;
/** The same four bytes as text: what stands before a digest to make a CID. */
export const CID_PREFIX_DRISL = '\x01\x71\x12\x20';
const CID_PREFIX_RAW = '\x01\x55\x12\x20';
const CID_TEXT_CHARS = 59;

/** `bafy…` or `bafk…` of a CID (CD-3). */
export function cidText(cid: Cid): string {
  return `b${base32Encode(cid)}`;
}

/** The CID of a text, or undefined where it is not one of the two blessed forms. */
export function cidFromText(text: string): Cid | undefined {
  if (text.length !== CID_TEXT_CHARS || !text.startsWith('b')) return undefined;
  const cid = base32Decode(text.slice(1));
  if (cid === undefined) return undefined;
  const isBlessed = cid.startsWith(CID_PREFIX_DRISL) || cid.startsWith(CID_PREFIX_RAW);
  return isBlessed ? cid : undefined;
}

/** Root of the tree without keys, `bafyreie5737g…` (MS-6). */
export const EMPTY_TREE_CID: Cid =
  CID_PREFIX_DRISL +
  '\x9d\xfe\xfe\x61\xdd\x76\xea\x3d\xca\xe5\x02\x38\x80\xb0\x83\x79' +
  '\xd5\x7a\xdf\x20\x48\x2d\x6f\xdb\xe2\x75\x92\x89\xf6\x47\x67\x7b';
