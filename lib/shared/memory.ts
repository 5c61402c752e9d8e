/**
 * Shared memory by another name, so that folders which lay out records in it need not say
 * SharedArrayBuffer (and cannot reach for Atomics).
 * @thread any
 */
export type SharedMemory = SharedArrayBuffer;

export function allocateShared(bytes: number): SharedMemory {
  return new SharedArrayBuffer(bytes);
}
