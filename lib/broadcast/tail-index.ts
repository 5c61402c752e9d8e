/**
 * Where in the tail ring a seq is. Main notes (last seq, tail end) at commits; any other seq is
 * found by walking websocket frame headers from the nearest note below it.
 *
 *   notes      o--------o----------o-------------o      (seq, end of its last frame)
 *   frames     [17][18] [19][20][21] [22][23][24]
 *
 * Positions here are absolute (bytes since this process began), so that a consumer which stood
 * still for gigabytes is told from a fresh one; only the ring sees them modulo 2^32. That holds
 * while main looks at the commit cell at least once per 2^31 bytes: nothing can be sequenced
 * without main, so it does. Seqs in the ring are contiguous: a jump of seq happens only between
 * two processes, and then the first note is moved up to it.
 * @thread main
 */
import { assert } from '../base/assert.ts';
import { distance, KiB } from '../base/units.ts';
import type { CommitView } from '../shared/commit-cell.ts';
import type { TailReader } from '../shared/tail-ring.ts';
import { WS_HEADER_BYTES_MAX } from '../wire/ws-frame.ts';
import { frameLengthAt } from './frame-length.ts';

/** Notes closer than this are left out: a walk is this long at most, or one batch. */
const NOTE_SPACING_BYTES = 32 * KiB;

/** Not in the tail ring: read the log. */
export const NOT_IN_TAIL = -1;

export class TailIndex {
  readonly #reader: TailReader;
  readonly #header = Buffer.alloc(WS_HEADER_BYTES_MAX);
  readonly #noteMax: number;
  readonly #seqs: Float64Array;
  readonly #ends: Float64Array;
  #first = 0;
  #count = 0;
  #headSeq: number;
  #headEnd: number;

  constructor(reader: TailReader, view: CommitView) {
    this.#reader = reader;
    this.#noteMax = Math.ceil(reader.capacityBytes / NOTE_SPACING_BYTES) + 2;
    this.#seqs = new Float64Array(this.#noteMax);
    this.#ends = new Float64Array(this.#noteMax);
    this.#headSeq = view.lastSeq;
    this.#headEnd = view.tailEnd;
    this.#note();
  }

  /** Last durable seq noted. */
  get headSeq(): number {
    return this.#headSeq;
  }

  /** Position after the frame of `headSeq`. */
  get headEnd(): number {
    return this.#headEnd;
  }

  /** Consumers that stand below this seq must read the log. */
  get firstSeq(): number {
    return this.#seqOf(0);
  }

  /**
   * Notes the newest commit; call before anything else in a duty cycle. True: `firstSeq` moved up
   * and consumers below it, if any, have to leave the tail.
   */
  observe(view: CommitView): boolean {
    const bytes = distance(view.tailEnd, this.#headEnd | 0);
    assert(bytes >= 0 && view.lastSeq >= this.#headSeq, 'the commit cell went back');
    if (bytes === 0) {
      if (view.lastSeq === this.#headSeq) return false;
      // Seqs that never were in this ring (the log was opened): what we knew is of no use.
      this.#headSeq = view.lastSeq;
      this.forget();
      return true;
    }
    const isFirst = this.#count === 1 && this.#endOf(0) === this.#headEnd;
    const seqBefore = this.#headSeq;
    this.#headSeq = view.lastSeq;
    this.#headEnd += bytes;
    const isMoved = isFirst && this.#checkFirst(seqBefore);
    if (this.#headEnd - this.#endOf(this.#count - 1) >= NOTE_SPACING_BYTES) this.#note();
    this.#prune();
    return isMoved;
  }

  /** Drops all but the present end: earlier frames are to be read from the log (takedowns, G28). */
  forget(): void {
    this.#first = 0;
    this.#count = 0;
    this.#note();
  }

  /** Position of the frame after `seq`, or `NOT_IN_TAIL`. */
  place(seq: number): number {
    if (seq === this.#headSeq) return this.#headEnd;
    const nearest = this.#nearestBelow(seq);
    if (nearest < 0 || seq > this.#headSeq) return NOT_IN_TAIL;
    const start = this.#endOf(nearest);
    return this.#walk(start, seq - this.#seqOf(nearest));
  }

  /** Whether the bytes from `position` on are still in the ring, at this moment. */
  has(position: number): boolean {
    if (this.#headEnd - position > this.#reader.capacityBytes) return false;
    return this.#reader.has(position | 0);
  }

  /**
   * The furthest noted frame border in (position, position + bytesMax], as [end, seq]; undefined
   * where there is none and the caller must walk.
   */
  borderWithin(position: number, bytesMax: number): readonly [number, number] | undefined {
    if (this.#headEnd - position <= bytesMax) return [this.#headEnd, this.#headSeq];
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#endOf(middle) <= position + bytesMax) low = middle + 1;
      else high = middle;
    }
    if (low === 0 || this.#endOf(low - 1) <= position) return undefined;
    return [this.#endOf(low - 1), this.#seqOf(low - 1)];
  }

  /** Copies [from, to) to the start of `target`; false when it has been overwritten. */
  copy(from: number, to: number, target: Buffer): boolean {
    if (!this.has(from)) return false;
    return this.#reader.copy(from | 0, to | 0, target);
  }

  /** Notes held, for tests. */
  get noteCount(): number {
    return this.#count;
  }

  #seqOf(note: number): number {
    return this.#seqs[(this.#first + note) % this.#noteMax] ?? 0;
  }

  #endOf(note: number): number {
    return this.#ends[(this.#first + note) % this.#noteMax] ?? 0;
  }

  #note(): void {
    if (this.#count === this.#noteMax) this.#dropFirst();
    const at = (this.#first + this.#count) % this.#noteMax;
    this.#seqs[at] = this.#headSeq;
    this.#ends[at] = this.#headEnd;
    this.#count++;
  }

  #dropFirst(): void {
    this.#first = (this.#first + 1) % this.#noteMax;
    this.#count--;
  }

  #prune(): void {
    const oldest = this.#headEnd - this.#reader.capacityBytes;
    while (this.#count > 1 && this.#endOf(0) < oldest) this.#dropFirst();
  }

  /**
   * The first frames of this process: is the seq before them the one the log ended with? After an
   * unclean stop the numbering jumps (G14), and the note before the jump moves up to it.
   */
  #checkFirst(seqBefore: number): boolean {
    const frames = this.#countFrames(this.#endOf(0));
    if (frames === NOT_IN_TAIL) this.forget();
    else this.#seqs[this.#first] = this.#headSeq - frames;
    return this.firstSeq !== seqBefore;
  }

  /** Index of the last note whose seq is ≤ `seq`; -1 where there is none. */
  #nearestBelow(seq: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#seqOf(middle) <= seq) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #walk(start: number, frameCount: number): number {
    let position = start;
    for (let i = 0; i < frameCount; i++) {
      const bytes = this.#frameBytesAt(position);
      if (bytes === NOT_IN_TAIL) return NOT_IN_TAIL;
      position += bytes;
      assert(position <= this.#headEnd, 'the walk left the committed frames');
    }
    return this.has(position) ? position : NOT_IN_TAIL;
  }

  #countFrames(start: number): number {
    let position = start;
    let frames = 0;
    while (position < this.#headEnd) {
      const bytes = this.#frameBytesAt(position);
      if (bytes === NOT_IN_TAIL) return NOT_IN_TAIL;
      position += bytes;
      frames++;
    }
    assert(position === this.#headEnd, 'the tail does not end at a frame border');
    return frames;
  }

  #frameBytesAt(position: number): number {
    const end = Math.min(this.#headEnd, position + WS_HEADER_BYTES_MAX);
    if (end <= position || !this.copy(position, end, this.#header)) return NOT_IN_TAIL;
    const bytes = frameLengthAt(this.#header, 0, end - position);
    assert(bytes > 0, 'no frame header at a frame border of the tail');
    return bytes;
  }
}
