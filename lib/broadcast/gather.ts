/**
 * When frames are sent: they are gathered, because a write to a socket costs about as much for one
 * frame as for ten. A round begins when enough bytes are new, or T (`gatherMs`) after the one
 * before, so that what comes after a silence goes at once.
 * Knows the head of the tail and how many take part; sends nothing.
 * @thread main
 */
import type { HubOptions } from './hub-options.ts';

/** A round that is fuller than this may take two writes: more came than was waited for. */
const FULL_SHARE = 0.75;

export type GatherOptions = Pick<
  HubOptions,
  'gatherBytes' | 'gatherRoundBytes' | 'gatherMs' | 'chunkBytesMax'
>;

export class Gather {
  /** How many are sent to; with none, and once nothing more is to come, nothing is gathered. */
  consumerCount = 0;
  isClosing = false;
  readonly #options: GatherOptions;
  #end: number;
  #beganMs = Number.NEGATIVE_INFINITY;

  /** `end`: absolute tail position where the first round begins. */
  constructor(options: GatherOptions, end: number) {
    this.#options = options;
    this.#end = end;
  }

  /** Head of the tail when the last round began: consumers below it need not wait for the next. */
  get end(): number {
    return this.#end;
  }

  /** Milliseconds until the next round begins even with little to send; ≤ 0: now. */
  waitMs(nowMs: number): number {
    // Nobody to send to, or nothing more to come: durable is published.
    if (this.consumerCount === 0 || this.isClosing) return 0;
    return this.#beganMs + this.#options.gatherMs - nowMs;
  }

  /** Absolute tail position from which on a commit is worth being woken for, until `waitMs`. */
  wakeEnd(nowMs: number): number {
    return this.#end + (this.waitMs(nowMs) > 0 ? this.#enoughBytes() : 0);
  }

  isDue(headEnd: number, nowMs: number): boolean {
    const newBytes = headEnd - this.#end;
    if (newBytes === 0) return false;
    return newBytes >= this.#enoughBytes() || this.waitMs(nowMs) <= 0;
  }

  begin(headEnd: number, nowMs: number): void {
    this.#end = headEnd;
    this.#beganMs = nowMs;
  }

  #enoughBytes(): number {
    const { gatherBytes, gatherRoundBytes, chunkBytesMax } = this.#options;
    const bytes = Math.min(chunkBytesMax * FULL_SHARE, gatherRoundBytes / this.consumerCount);
    return Math.max(gatherBytes, Math.ceil(bytes));
  }
}
