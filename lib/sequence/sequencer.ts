/**
 * Our order: gives each event the next seq and writes it out as the wire frame that the log stores
 * and consumers get. Contiguous, never reused: a seq is taken only by a frame that was written.
 * The seam for a second kind of sequence later; does not know the log or where frames come from.
 * @thread any
 */
import { FRAME_BYTES_MAX, type Seq, toSeq } from '../base/units.ts';
import { resequencedBytes, wireFrameBytes, writeWireFrame } from '../wire/resequence.ts';

/** A frame without its seq; offsets of the seq count from `frameStart`. */
export type Unsequenced = {
  readonly frameStart: number;
  readonly frameEnd: number;
  readonly seqStart: number;
  readonly seqEnd: number;
};

export class Sequencer {
  #nextSeq: Seq;

  constructor(nextSeq: Seq) {
    this.#nextSeq = nextSeq;
  }

  /** Seq of the next frame. */
  get nextSeq(): Seq {
    return this.#nextSeq;
  }

  /** Bytes of the wire frame under the next seq; 0 when it may not be emitted (LM-1). */
  wireBytes(event: Unsequenced): number {
    const { frameStart, frameEnd, seqStart, seqEnd } = event;
    const frameBytes = frameEnd - frameStart;
    const messageBytes = resequencedBytes(frameBytes, seqStart, seqEnd, this.#nextSeq);
    if (messageBytes > FRAME_BYTES_MAX) return 0;
    return wireFrameBytes(frameBytes, seqStart, seqEnd, this.#nextSeq);
  }

  /** Writes the wire frame at `at` and takes the seq, which it returns. */
  write(source: Buffer, event: Unsequenced, target: Buffer, at: number): Seq {
    const { frameStart, frameEnd, seqStart, seqEnd } = event;
    const seq = this.#nextSeq;
    writeWireFrame(target, at, source, frameStart, frameEnd, seqStart, seqEnd, seq);
    this.#nextSeq = toSeq(seq + 1);
    return seq;
  }
}
