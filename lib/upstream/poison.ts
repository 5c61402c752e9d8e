/**
 * The poison guard (A42, H16, G12): a frame that made us close a connection comes again after the
 * reconnect, because the cursor stands before it. The same bytes at the same position on a later
 * connection are therefore stepped over, quarantined once and counted; anything else is judged
 * anew. Bounded; knows only positions and checksums. Pure.
 * @thread main
 */
import { crc32 } from 'node:zlib';

type Poison = {
  readonly crc: number;
  readonly bytes: number;
  readonly connectionNo: number;
  isReported: boolean;
};

/** Three strikes close a connection; more than these at one position are judged anew. */
const POISONS_MAX = 16;

export type PoisonVerdict = 'new' | 'known' | 'known_first';

export class PoisonGuard {
  /** Host seq routed last before these frames; they all stand at this one position. */
  #positionSeq = Number.NaN;
  readonly #poisons: Poison[] = [];
  /** Messages over the size limit seen at `#positionSeq`: those have no bytes to compare. */
  #oversized = 0;

  /**
   * Judges a bad frame. `known`: the same bytes at the same position on an earlier connection,
   * step over it; `known_first`: likewise, and it is to be reported. `new`: noted now.
   */
  judge(positionSeq: number, frame: Buffer, connectionNo: number): PoisonVerdict {
    this.#moveTo(positionSeq);
    const crc = crc32(frame);
    const isSame = (poison: Poison): boolean =>
      poison.crc === crc && poison.bytes === frame.length && poison.connectionNo < connectionNo;
    const known = this.#poisons.find(isSame);
    if (known !== undefined) {
      const isFirst = !known.isReported;
      known.isReported = true;
      return isFirst ? 'known_first' : 'known';
    }
    if (this.#poisons.length >= POISONS_MAX) this.#poisons.shift();
    this.#poisons.push({ crc, bytes: frame.length, connectionNo, isReported: false });
    return 'new';
  }

  /** A message over the size limit ended the connection; its bytes were never here. */
  noteOversized(positionSeq: number): void {
    this.#moveTo(positionSeq);
    this.#oversized++;
  }

  /**
   * How far to step over the position with the next cursor. Oversized messages cannot be skipped
   * when they arrive, so from the third in a row on the cursor moves by one seq per attempt: the
   * first step that helps skips exactly the message that cannot pass, as it is the next one.
   */
  stepOver(positionSeq: number): number {
    const isHere = Object.is(this.#positionSeq, positionSeq);
    return isHere ? Math.max(0, this.#oversized - 2) : 0;
  }

  #moveTo(positionSeq: number): void {
    if (Object.is(this.#positionSeq, positionSeq)) return;
    this.#positionSeq = positionSeq;
    this.#poisons.length = 0;
    this.#oversized = 0;
  }
}
