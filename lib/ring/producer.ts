/**
 * The writing end of a byte ring: claims room for a record, the caller fills it in place, `commit`
 * publishes everything claimed with one store. One thread only.
 * Where the head comes from is given: from the ring's own word, or (verified rings) from elsewhere.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import { distance } from '../base/units.ts';
import type { SharedMemory } from '../shared/memory.ts';
import { PositionReader, PositionWriter } from '../shared/position.ts';
import {
  capacityOf,
  DATA_AT,
  HEAD_AT,
  payloadBytesMax,
  RECORD_HEADER_BYTES,
  recordBytes,
  SKIP,
  TAIL_AT,
} from './descriptor.ts';

export class RingProducer {
  /** The data area; `claim` returns an offset into it. */
  readonly bytes: Buffer;
  readonly capacityBytes: number;
  readonly #lengths: Int32Array;
  readonly #tail: PositionWriter;
  readonly #observeHead: () => number;
  #head: number;
  #claimed: number;

  /** `observeHead`: position below which space may be reused; default: the ring's own head. */
  constructor(memory: SharedMemory, observeHead?: () => number) {
    this.capacityBytes = capacityOf(memory);
    this.bytes = Buffer.from(memory, DATA_AT);
    this.#lengths = new Int32Array(memory, DATA_AT);
    this.#tail = new PositionWriter(memory, TAIL_AT);
    const ownHead = new PositionReader(memory, HEAD_AT);
    this.#observeHead = observeHead ?? (() => ownHead.observe());
    this.#head = this.#observeHead();
    // A successor goes on where its predecessor's last commit ended.
    this.#claimed = this.#tail.last();
  }

  /** Position after the last claim (published by the next commit). */
  get position(): number {
    return this.#claimed;
  }

  /** Bytes not in use, by the newest known head. */
  freeBytes(): number {
    this.#head = this.#observeHead();
    return this.capacityBytes - distance(this.#claimed, this.#head);
  }

  /**
   * Room for `payloadBytes` in one piece: its offset in `bytes`, or -1 when the ring is full.
   * The offset is a multiple of 8.
   */
  claim(payloadBytes: number): number {
    assert(payloadBytes >= 0 && payloadBytes <= payloadBytesMax(this.capacityBytes), 'claim size');
    const need = recordBytes(payloadBytes);
    const at = this.#claimed & (this.capacityBytes - 1);
    const untilEnd = this.capacityBytes - at;
    const total = need <= untilEnd ? need : untilEnd + need;
    if (distance(this.#claimed, this.#head) + total > this.capacityBytes) {
      if (this.freeBytes() < total) return -1;
    }
    let start = at;
    if (need > untilEnd) {
      this.#lengths[at >> 2] = SKIP;
      start = 0;
    }
    this.#lengths[start >> 2] = payloadBytes;
    this.#claimed = (this.#claimed + total) | 0;
    return start + RECORD_HEADER_BYTES;
  }

  /** Publishes all claims since the last commit with one store. The caller rings the bell. */
  commit(): void {
    this.#tail.publish(this.#claimed);
  }

  /** Forgets all claims since the last commit. */
  abandon(): void {
    this.#claimed = this.#tail.last();
  }
}
