/**
 * Which files of the log directory are segments. Pure.
 * @thread any
 */
import { parseSegmentName } from './descriptor.ts';

/** First seqs of the segments among `names`, oldest first. */
export function listSegments(names: readonly string[]): number[] {
  const firstSeqs: number[] = [];
  for (const name of names) {
    const firstSeq = parseSegmentName(name);
    if (firstSeq !== undefined) firstSeqs.push(firstSeq);
  }
  return firstSeqs.sort((a, b) => a - b);
}

/** Index of the last segment that starts at or before `seq`; -1 when all start later. */
export function segmentIndexOf(firstSeqs: readonly number[], seq: number): number {
  let low = 0;
  let high = firstSeqs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((firstSeqs[middle] ?? 0) <= seq) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
