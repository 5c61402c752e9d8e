/**
 * Every shared region of the process, allocated once by main and handed to each thread as it is.
 *
 *   words     control words                          shared/regions.ts
 *   commit    commit cell                            shared/commit-cell.ts
 *   tail      newest frames for consumers            shared/tail-ring.ts
 *   pages     one metrics page per thread            metrics/slots.ts
 *   per shard: ingest (main → verify), verified (verify → persist), held (verify), reports
 *   (verify → main)
 * @thread any
 */
import { MiB } from '../base/units.ts';
import { METRIC_PAGE_BYTES } from '../metrics/slots.ts';
import { COMMIT_BYTES } from '../shared/commit-cell.ts';
import { allocateShared, type SharedMemory } from '../shared/memory.ts';
import { allocateWords } from '../shared/regions.ts';
import { allocateTailRing } from '../shared/tail-ring.ts';
import { allocateRing } from './descriptor.ts';

export const PAGE_MAIN = 0;
export const PAGE_LIVENESS = 1;
export const PAGE_PERSIST = 2;
/** Page of shard s: PAGE_VERIFY + s. */
export const PAGE_VERIFY = 3;
const REPORT_RING_BYTES = MiB;

export type Regions = {
  readonly shardCount: number;
  readonly words: SharedMemory;
  readonly commit: SharedMemory;
  readonly tail: SharedMemory;
  readonly pages: readonly SharedMemory[];
  readonly ingest: readonly SharedMemory[];
  readonly verified: readonly SharedMemory[];
  readonly held: readonly SharedMemory[];
  readonly reports: readonly SharedMemory[];
};

export type RegionSizes = {
  readonly shardCount: number;
  readonly ingestRingBytes: number;
  readonly verifiedRingBytes: number;
  readonly heldBytes: number;
  readonly tailRingBytes: number;
};

export function allocateRegions(sizes: RegionSizes): Regions {
  const perShard = (bytes: number): SharedMemory[] =>
    Array.from({ length: sizes.shardCount }, () => allocateRing(bytes));
  const pageCount = PAGE_VERIFY + sizes.shardCount;
  return {
    shardCount: sizes.shardCount,
    words: allocateWords(),
    commit: allocateShared(COMMIT_BYTES),
    tail: allocateTailRing(sizes.tailRingBytes),
    pages: Array.from({ length: pageCount }, () => allocateShared(METRIC_PAGE_BYTES)),
    ingest: perShard(sizes.ingestRingBytes),
    verified: perShard(sizes.verifiedRingBytes),
    held: perShard(sizes.heldBytes),
    reports: perShard(REPORT_RING_BYTES),
  };
}

/** A thread's own metrics page. */
export function metricPage(regions: Regions, index: number): Float64Array {
  return new Float64Array(regions.pages[index] as SharedMemory);
}
