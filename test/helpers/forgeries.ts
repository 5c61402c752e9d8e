/**
 * What a hostile host could make of a commit: copies with one bit flipped where the bit is
 * protected, and a copy whose hashes were made right again so that only the signature is wrong.
 */
import { createHash } from 'node:crypto';
import type { RejectCode } from '../../lib/reject/codes.ts';
import type { EventView } from '../../lib/wire/event.ts';

export type Forgery = {
  readonly name: string;
  readonly code: RejectCode;
  readonly make: (frame: Buffer, view: EventView) => Buffer;
};

/** `sig` in a commit object: key, head of 64 bytes. */
const SIG_KEY = Buffer.from('\x63sig\x58\x40', 'latin1');
/** The key, and the head of a link. */
const COMMIT_KEY = Buffer.from('\x66commit\xd8\x2a\x58\x25\x00', 'latin1');
const PREV_DATA_KEY = Buffer.from('\x68prevData\xd8\x2a\x58\x25\x00', 'latin1');
const OP_CID_KEY = Buffer.from('\x63cid\xd8\x2a\x58\x25\x00', 'latin1');
/** Version 1, dag-cbor, sha-256 of 32 bytes: what a CID is before its hash. */
const CID_HEAD = Buffer.from([1, 0x71, 0x12, 0x20]);

function find(frame: Buffer, wanted: Buffer | string, from: number): number {
  const at = frame.indexOf(wanted, from, 'latin1');
  if (at < 0) throw new Error('a frame of the PDS is not as expected');
  return at;
}

function flipped(frame: Buffer, at: number, mask = 1): Buffer {
  const copy = Buffer.from(frame);
  copy.writeUInt8(copy.readUInt8(at) ^ mask, at);
  return copy;
}

/** The same for the last character that is still one of the alphabet with its low bit flipped. */
function flippedText(frame: Buffer, start: number, chars: number): Buffer {
  for (let at = start + chars - 1; at >= start; at--) {
    if (/[2-7b-y]/.test(String.fromCharCode(frame.readUInt8(at)))) return flipped(frame, at);
  }
  throw new Error('no character to flip');
}

/** Where the commit object's signature starts. */
function signatureAt(frame: Buffer, view: EventView): number {
  return find(frame, SIG_KEY, view.blocksStart) + SIG_KEY.length;
}

/** The signature's bit flipped and every hash above it recomputed. */
function resealed(frame: Buffer, view: EventView): Buffer {
  const cid = Buffer.from(view.commitCid, 'latin1');
  // The root in the CAR's header comes first, then the block with its CID before it.
  const root = find(frame, cid, view.blocksStart);
  const start = find(frame, cid, root + cid.length) + cid.length;
  const forged = flipped(frame, signatureAt(frame, view));
  const end = signatureAt(frame, view) + 64 + trailingBytes(frame, view);
  const hash = createHash('sha256').update(forged.subarray(start, end)).digest();
  const newCid = Buffer.concat([CID_HEAD, hash]);
  for (let at = forged.indexOf(cid); at >= 0; at = forged.indexOf(cid, at)) newCid.copy(forged, at);
  return forged;
}

/** Bytes of the commit object behind its signature: `data` … `version` come in canonical order. */
function trailingBytes(frame: Buffer, view: EventView): number {
  const from = signatureAt(frame, view) + 64;
  return find(frame, '\x67version\x03', from) + '\x67version\x03'.length - from;
}

export const FORGERIES: readonly Forgery[] = [
  {
    name: 'a bit of the signature',
    code: 'commit_block_hash_bad',
    make: (frame, view) => flipped(frame, signatureAt(frame, view)),
  },
  {
    name: 'a bit of the signature, with hashes made right',
    code: 'commit_signature_bad',
    make: resealed,
  },
  {
    name: 'a bit of the record',
    code: 'commit_block_hash_bad',
    make: (frame, view) => flipped(frame, find(frame, 'app.bsky.feed.post', view.blocksStart)),
  },
  {
    name: 'the last bit of the blocks',
    code: 'commit_block_hash_bad',
    make: (frame, view) => flipped(frame, view.blocksEnd - 1),
  },
  {
    name: 'a bit of `commit`',
    code: 'commit_cid_mismatch',
    make: (frame, view) => flipped(frame, find(frame, COMMIT_KEY, view.blocksEnd) + 25),
  },
  {
    name: 'a bit of `rev`',
    code: 'commit_rev_mismatch',
    make: (frame, view) => flippedText(frame, find(frame, `rev\x6d${view.rev}`, 0) + 4, 13),
  },
  {
    name: 'a bit of `prevData`',
    code: 'commit_inversion_failed',
    make: (frame, view) => flipped(frame, find(frame, PREV_DATA_KEY, view.blocksEnd) + 30),
  },
  {
    name: 'a bit of the CID of an operation',
    code: 'commit_op_mismatch',
    make: (frame) => flipped(frame, find(frame, OP_CID_KEY, 0) + 25),
  },
  {
    name: 'a bit of the path of an operation',
    code: 'commit_op_mismatch',
    make: (frame, view) => {
      const path = view.ops[0]?.path ?? '';
      return flippedText(frame, find(frame, path, 0), path.length);
    },
  },
  {
    name: 'a bit of `repo`',
    code: 'identity_not_found',
    make: (frame, view) => flippedText(frame, find(frame, view.did, 0) + 8, 24),
  },
];
