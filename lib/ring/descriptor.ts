/**
 * Layout of a byte ring in shared memory, and its lap arithmetic. Pure.
 *
 *   byte 0     tail: position after the last published record    (writer: the producer)
 *   byte 128   head: position below which records are released   (writer: the consumer)
 *   byte 256   data: a power of two
 *
 *   record: i32 length of the payload | i32 unused | payload | padding to 8
 *
 * A record is never split: where it does not fit before the end of the data, a length of SKIP sends
 * the reader to the start. Positions are modular 32-bit and grow for ever.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import { GiB, MiB } from '../base/units.ts';
import { allocateShared, type SharedMemory } from '../shared/memory.ts';

export const TAIL_AT = 0;
export const HEAD_AT = 128;
export const DATA_AT = 256;
export const RECORD_HEADER_BYTES = 8;
export const SKIP = -1;

export const RING_BYTES_MIN = 16 * MiB;
export const RING_BYTES_MAX = GiB;

/** Bytes a payload takes in the ring: header and padding included. */
export function recordBytes(payloadBytes: number): number {
  return (RECORD_HEADER_BYTES + payloadBytes + 7) & ~7;
}

/** Largest payload that can always be placed: half the ring, or an empty ring could stall. */
export function payloadBytesMax(capacityBytes: number): number {
  return capacityBytes / 2 - RECORD_HEADER_BYTES;
}

export function allocateRing(capacityBytes: number): SharedMemory {
  const isPowerOfTwo = (capacityBytes & (capacityBytes - 1)) === 0;
  assert(isPowerOfTwo && capacityBytes > 0 && capacityBytes <= RING_BYTES_MAX, 'ring capacity');
  return allocateShared(DATA_AT + capacityBytes);
}

export function capacityOf(memory: SharedMemory): number {
  return memory.byteLength - DATA_AT;
}
