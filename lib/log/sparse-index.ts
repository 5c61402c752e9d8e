/**
 * Where in one segment a seq is, roughly: one entry per 64 KiB or more, learned from the batch
 * headers that writer and readers pass anyway. Bounded: 4,096 entries for a segment of 256 MiB.
 * @thread any
 */
import { KiB } from '../base/units.ts';
import { type BatchHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from './descriptor.ts';
import type { Place } from './scan.ts';

const ENTRY_STRIDE_BYTES = 64 * KiB;

/** An index as plain data: entries in order, and the end of what it knows. */
export type IndexContent = {
  readonly seqs: readonly number[];
  readonly byteOffsets: readonly number[];
  readonly end: { readonly byteOffset: number; readonly nextSeq: number; readonly crc: number };
};

export class SparseIndex {
  readonly #seqs: number[];
  readonly #byteOffsets: number[];
  #end: Place & { readonly crc: number };

  /** Knows nothing yet, or what `content` says, which must be of this very segment. */
  constructor(segment: SegmentHeader, content?: IndexContent) {
    const { firstSeq: nextSeq, crc } = segment;
    this.#seqs = [...(content?.seqs ?? [nextSeq])];
    this.#byteOffsets = [...(content?.byteOffsets ?? [SEGMENT_HEADER_BYTES])];
    this.#end = content?.end ?? { byteOffset: SEGMENT_HEADER_BYTES, nextSeq, crc };
  }

  get entryCount(): number {
    return this.#seqs.length;
  }

  get content(): IndexContent {
    return { seqs: this.#seqs, byteOffsets: this.#byteOffsets, end: this.#end };
  }

  /** The nearest known place at or before the record `seq`. */
  placeOf(seq: number): Place {
    if (seq >= this.#end.nextSeq) return this.#end;
    let low = 0;
    let high = this.#seqs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#seqs[middle] ?? 0) <= seq) low = middle + 1;
      else high = middle;
    }
    const at = Math.max(low - 1, 0);
    return {
      byteOffset: this.#byteOffsets[at] ?? SEGMENT_HEADER_BYTES,
      nextSeq: this.#seqs[at] ?? 0,
      crc: undefined,
    };
  }

  /** Learns a valid batch. Only what lies behind the known end is new. */
  note(header: BatchHeader): void {
    if (header.byteOffset < this.#end.byteOffset) return;
    // What is skipped was not looked at or is damaged; a look-up passes it from header to header.
    const isGap = header.byteOffset > this.#end.byteOffset;
    if (isGap && header.firstSeq !== this.#end.nextSeq) return;
    const last = this.#byteOffsets.at(-1) ?? 0;
    if (header.count > 0 && header.byteOffset - last >= ENTRY_STRIDE_BYTES) {
      this.#seqs.push(header.firstSeq);
      this.#byteOffsets.push(header.byteOffset);
    }
    const { byteEnd: byteOffset, nextSeq, crc } = header;
    this.#end = { byteOffset, nextSeq, crc };
  }
}
