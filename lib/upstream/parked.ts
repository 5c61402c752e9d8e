/**
 * Frames of one host that arrived while its socket was already paused: `ws` still delivers the
 * rest of the chunk it holds, hundreds of frames at times. First in, first out; counted over all
 * hosts. Bounded by what a paused socket holds: its read buffer and one message.
 * @thread main
 */
export type ParkedFrame = {
  readonly frame: Buffer;
  readonly isBinary: boolean;
  /** Wall clock at arrival, in milliseconds. */
  readonly arrivalMs: number;
};

/** Sums over all hosts, for the gauge. */
export class ParkedTotals {
  bytes = 0;
  frames = 0;
}

export class ParkedFrames {
  readonly #totals: ParkedTotals;
  readonly #frames: ParkedFrame[] = [];
  #head = 0;
  #bytes = 0;

  constructor(totals: ParkedTotals) {
    this.#totals = totals;
  }

  get count(): number {
    return this.#frames.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(parked: ParkedFrame): void {
    this.#frames.push(parked);
    this.#count(parked.frame.length, 1);
  }

  /** The oldest frame, which stays. */
  first(): ParkedFrame | undefined {
    return this.#frames[this.#head];
  }

  /** Removes the oldest frame. */
  shift(): void {
    const first = this.#frames[this.#head];
    if (first === undefined) return;
    this.#count(-first.frame.length, -1);
    this.#head++;
    if (this.#head === this.#frames.length) this.#reset();
  }

  /** Drops everything: the host will send it again from its cursor. */
  clear(): void {
    this.#count(-this.#bytes, -this.count);
    this.#reset();
  }

  #count(bytes: number, frames: number): void {
    this.#bytes += bytes;
    this.#totals.bytes += bytes;
    this.#totals.frames += frames;
  }

  #reset(): void {
    this.#frames.length = 0;
    this.#head = 0;
  }
}
