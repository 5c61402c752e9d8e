/**
 * Ages of heartbeats, by the watcher's own clock: a heartbeat is a counter, its age is the time
 * since it was last seen to move. When the watcher itself stood still (a suspended machine, a
 * stopped process), nobody had a chance to beat, so that time is not held against anyone.
 * @thread liveness
 */

/** A pause of the watcher itself that is longer than this is a suspension, not a busy moment. */
const SUSPENDED_MS_MIN = 2000;

type Beat = { value: number; movedMs: number };

export class BeatWatch {
  readonly #beats: Beat[] = [];
  #seenMs = Number.NaN;

  /** Takes all heartbeats at once; gives their ages in milliseconds, in the same order. */
  observe(values: readonly number[], nowMs: number): number[] {
    const gapMs = nowMs - this.#seenMs;
    const suspendedMs = gapMs > SUSPENDED_MS_MIN ? gapMs : 0;
    this.#seenMs = nowMs;
    return values.map((value, index) => {
      const beat = this.#beats[index];
      if (beat === undefined || beat.value !== value) {
        this.#beats[index] = { value, movedMs: nowMs };
        return 0;
      }
      beat.movedMs = Math.min(nowMs, beat.movedMs + suspendedMs);
      return nowMs - beat.movedMs;
    });
  }
}

export type StallReport = {
  readonly kind: 'begun' | 'continues' | 'ended';
  /** So far, or altogether where it has ended. */
  readonly seconds: number;
};

/** Says when to log a stall: after 1 s, then each time it has doubled, and at its end. */
export class StallWatch {
  /** Length at which the next line is due; 1 while there is no stall. */
  #nextSeconds = 1;
  #longestMs = 0;

  observe(ageMs: number): StallReport | undefined {
    const isStalled = this.#nextSeconds > 1;
    if (isStalled && ageMs < this.#longestMs) return this.#end();
    this.#longestMs = ageMs;
    const seconds = Math.floor(ageMs / 1000);
    if (seconds < this.#nextSeconds) return undefined;
    while (this.#nextSeconds <= seconds) this.#nextSeconds *= 2;
    return { kind: isStalled ? 'continues' : 'begun', seconds };
  }

  #end(): StallReport {
    const seconds = Math.round(this.#longestMs / 100) / 10;
    this.#nextSeconds = 1;
    this.#longestMs = 0;
    return { kind: 'ended', seconds };
  }
}
