/**
 * SHA-256 of a range of bytes, as 32 characters of one byte each. `node:crypto` wants a view that
 * is the message; a new one per block is most of what a commit leaves to the garbage collector. So
 * a short message is copied to where a view of its length stands already.
 * @thread any
 */
import { hash } from 'node:crypto';

/** Nodes and records are mostly shorter; there are this many views at most. */
const KEPT_BYTES_MAX = 4096;

const scratch = Buffer.allocUnsafeSlow(KEPT_BYTES_MAX);
/** Views of the scratch by length, made when one is asked for. */
const views: (Buffer | undefined)[] = new Array(KEPT_BYTES_MAX + 1).fill(undefined);

/** SHA-256 of `source[start, end)`. */
export function digestOf(source: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length > KEPT_BYTES_MAX) return hash('sha256', source.subarray(start, end), 'latin1');
  const view = views[length] ?? viewOf(length);
  source.copy(scratch, 0, start, end);
  return hash('sha256', view, 'latin1');
}

function viewOf(length: number): Buffer {
  const view = scratch.subarray(0, length);
  views[length] = view;
  return view;
}
