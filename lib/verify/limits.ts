/**
 * Limits and syntax of what a commit brings, beyond those of the envelope (`wire/event.ts` owns
 * the sizes of `blocks` and the number of operations): paths, record sizes, record encoding.
 * Lexicons are not validated: that is not a relay's business (spec §1.16, H120).
 * @thread any
 */
import type { RejectCode } from '../reject/codes.ts';
import type { CarIndex } from '../repo/car.ts';
import { isRepoPath } from '../repo/nsid.ts';
import { isRecordCbor } from '../repo/record.ts';
import { CID_BYTES, CODEC_DRISL } from '../wire/cbor.ts';
import type { OpView } from '../wire/ops.ts';

/** Largest record block (LM-4: one million, no mebibyte). */
export const RECORD_BYTES_MAX = 1_000_000;

/** Every path is `<NSID>/<record key>` (H57, H58). */
export function pathsVerdict(ops: readonly OpView[], opCount: number): RejectCode | undefined {
  for (let index = 0; index < opCount; index++) {
    if (!isRepoPath((ops[index] as OpView).path)) return 'commit_path_bad';
  }
  return undefined;
}

/**
 * The record under the CID at `source[cidAt]`: present, not too large, and CBOR where its codec
 * says so. Floats and foreign links in it are its reader's business (H101, H56, H121, H122).
 */
export function recordVerdict(
  car: CarIndex,
  buf: Buffer,
  source: Buffer,
  cidAt: number,
): RejectCode | undefined {
  const block = car.find(source, cidAt);
  if (block < 0) return 'commit_record_missing';
  const start = car.blockStart(block);
  const end = car.blockEnd(block);
  if (end - start > RECORD_BYTES_MAX) return 'commit_record_too_large';
  // A raw block has no encoding that could be wrong.
  if (buf[start - CID_BYTES + 1] !== CODEC_DRISL) return undefined;
  return isRecordCbor(buf, start, end) ? undefined : 'commit_record_bad';
}
