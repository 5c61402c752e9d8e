/**
 * Last routed host seq of every host, in slots that are reused. A slot has a generation: whoever
 * held it before a host was removed writes into the void, not into the next host's cursor (D20).
 * Owns which hosts changed since the last checkpoint. Main is its one reader and writer.
 *
 *   index        0     1     2    …
 *   hostId      17     4     –         who has the slot
 *   generation   1     3     2         +1 at every release
 *   lastSeq    900    12    NaN        NaN: no cursor yet
 * @thread main
 */
import { assert } from '../base/assert.ts';

export type CursorSlot = { readonly index: number; readonly generation: number };

/** A cursor to be stored. */
export type HostCursor = { readonly hostId: number; readonly hostSeq: number };

const CAPACITY_MIN = 64;

export class CursorMap {
  readonly #slotsMax: number;
  #hostIds = new Float64Array(CAPACITY_MIN);
  #generations = new Uint32Array(CAPACITY_MIN);
  #lastSeqs = new Float64Array(CAPACITY_MIN);
  #isChanged = new Uint8Array(CAPACITY_MIN);
  #slotCount = 0;
  readonly #free: number[] = [];
  readonly #changed: number[] = [];
  /** Cursors of slots released before they were stored. */
  readonly #leftover = new Map<number, number>();

  constructor(options: { readonly slotsMax: number }) {
    this.#slotsMax = options.slotsMax;
  }

  get usedCount(): number {
    return this.#slotCount - this.#free.length;
  }

  /** A slot for a host with its stored cursor; undefined when all are taken (D19). */
  claim(hostId: number, cursor: number | null): CursorSlot | undefined {
    const index = this.#free.pop() ?? this.#nextIndex();
    if (index < 0) return undefined;
    this.#hostIds[index] = hostId;
    this.#lastSeqs[index] = cursor ?? Number.NaN;
    return { index, generation: this.#generations[index] ?? 0 };
  }

  /** Frees the slot. A cursor that was not stored yet is still handed to the next checkpoint. */
  release(slot: CursorSlot): void {
    if (!this.#isCurrent(slot)) return;
    if (this.#isChanged[slot.index] === 1) {
      this.#leftover.set(this.#hostIds[slot.index] ?? 0, this.#lastSeqs[slot.index] ?? 0);
      this.#isChanged[slot.index] = 0;
    }
    this.#generations[slot.index] = slot.generation + 1;
    this.#free.push(slot.index);
  }

  /** The last routed seq, or the stored cursor while nothing was routed; null without either. */
  last(slot: CursorSlot): number | null {
    const seq = this.#isCurrent(slot) ? (this.#lastSeqs[slot.index] ?? Number.NaN) : Number.NaN;
    return Number.isNaN(seq) ? null : seq;
  }

  /** A cursor that is in the store already. */
  setStored(slot: CursorSlot, hostSeq: number): void {
    if (this.#isCurrent(slot)) this.#lastSeqs[slot.index] = hostSeq;
  }

  /**
   * Notes a frame that was routed or finally answered on this thread. Lower than before is right
   * after a host renumbered. False for a stale slot, which changes nothing.
   */
  setRouted(slot: CursorSlot, hostSeq: number): boolean {
    if (!this.#isCurrent(slot)) return false;
    this.#lastSeqs[slot.index] = hostSeq;
    if (this.#isChanged[slot.index] === 1) return true;
    this.#isChanged[slot.index] = 1;
    this.#changed.push(slot.index);
    return true;
  }

  /** The cursors that changed since the last call, once each. O(changes). */
  takeChanged(): HostCursor[] {
    const cursors = new Map(this.#leftover);
    for (const index of this.#changed) {
      // A released slot left its cursor in `#leftover`; its flag is down.
      if (this.#isChanged[index] !== 1) continue;
      this.#isChanged[index] = 0;
      cursors.set(this.#hostIds[index] ?? 0, this.#lastSeqs[index] ?? 0);
    }
    this.#changed.length = 0;
    this.#leftover.clear();
    return [...cursors].map(([hostId, hostSeq]) => ({ hostId, hostSeq }));
  }

  #isCurrent(slot: CursorSlot): boolean {
    return this.#generations[slot.index] === slot.generation;
  }

  #nextIndex(): number {
    if (this.#slotCount >= this.#slotsMax) return -1;
    if (this.#slotCount === this.#hostIds.length) this.#grow();
    return this.#slotCount++;
  }

  #grow(): void {
    const capacity = Math.min(this.#slotsMax, this.#hostIds.length * 2);
    assert(capacity > this.#hostIds.length, 'cursor map cannot grow');
    this.#hostIds = copyInto(new Float64Array(capacity), this.#hostIds);
    this.#generations = copyInto(new Uint32Array(capacity), this.#generations);
    this.#lastSeqs = copyInto(new Float64Array(capacity), this.#lastSeqs);
    this.#isChanged = copyInto(new Uint8Array(capacity), this.#isChanged);
  }
}

function copyInto<Target extends Float64Array | Uint32Array | Uint8Array>(
  target: Target,
  source: Target,
): Target {
  target.set(source);
  return target;
}
