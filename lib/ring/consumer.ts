/**
 * The reading end of a byte ring: polls records in place, releases them when they are done with.
 * One thread only. Bytes of a record may be used until it is released, never after (D6).
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
  RECORD_HEADER_BYTES,
  recordBytes,
  SKIP,
  TAIL_AT,
} from './descriptor.ts';

export class RingConsumer {
  /** The data area; `poll` returns an offset into it. */
  readonly bytes: Buffer;
  readonly capacityBytes: number;
  /** Payload length of the record that `poll` returned last. */
  payloadBytes = 0;
  readonly #lengths: Int32Array;
  readonly #tail: PositionReader;
  readonly #head: PositionWriter;
  #tailSeen: number;
  #position: number;

  constructor(memory: SharedMemory) {
    this.capacityBytes = capacityOf(memory);
    this.bytes = Buffer.from(memory, DATA_AT);
    this.#lengths = new Int32Array(memory, DATA_AT);
    this.#tail = new PositionReader(memory, TAIL_AT);
    this.#head = new PositionWriter(memory, HEAD_AT);
    // A successor reads again whatever its predecessor had not released.
    this.#position = this.#head.last();
    this.#tailSeen = this.#position;
  }

  /** Position after the record that `poll` returned last. */
  get position(): number {
    return this.#position;
  }

  /** Position below which everything was given back (by this consumer or a predecessor). */
  releasedPosition(): number {
    return this.#head.last();
  }

  /** Moves the reading position, e.g. back to a record that must be read again. */
  seek(position: number): void {
    this.#position = position;
    this.#tailSeen = position;
  }

  /** Bytes published and not yet read. */
  pendingBytes(): number {
    return distance(this.#tail.observe(), this.#position);
  }

  /** Offset of the next record's payload in `bytes`, or -1 when there is none. */
  poll(): number {
    if (this.#position === this.#tailSeen) {
      this.#tailSeen = this.#tail.observe();
      if (this.#position === this.#tailSeen) return -1;
    }
    let at = this.#position & (this.capacityBytes - 1);
    // DataView-style reads would be slower here; the index is in range by construction.
    let length = this.#lengths[at >> 2] as number;
    if (length === SKIP) {
      this.#position = (this.#position + this.capacityBytes - at) | 0;
      at = 0;
      length = this.#lengths[0] as number;
    }
    assert(length >= 0 && at + recordBytes(length) <= this.capacityBytes, 'ring record corrupt');
    this.payloadBytes = length;
    this.#position = (this.#position + recordBytes(length)) | 0;
    return at + RECORD_HEADER_BYTES;
  }

  /** Gives everything polled so far back to the producer. The caller rings its bell. */
  release(): void {
    this.#head.publish(this.#position);
  }

  /** Gives everything below `position` back. */
  releaseUpTo(position: number): void {
    this.#head.publish(position);
  }
}
