/**
 * What main and the liveness thread say to each other: one object at the start, two messages back.
 * @thread any
 */
import type { LogLevel } from '../logging/logger.ts';
import type { MetricThread } from '../metrics/row.ts';
import type { SharedMemory } from '../shared/memory.ts';

/** A thread and the memory of its metric page (METRIC_PAGE_BYTES). */
export type PageMemory = { readonly thread: MetricThread; readonly memory: SharedMemory };

export type LivenessData = {
  /** Both sides are of one build; a difference is a mixed installation. */
  readonly version: 1;
  readonly words: SharedMemory;
  readonly shardCount: number;
  /** Pages of all threads; the one of `liveness` is written by this thread. */
  readonly pages: readonly PageMemory[];
  readonly listen: { readonly host: string; readonly port: number };
  readonly logLevel: LogLevel;
};

export type LivenessMessage =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'failed'; readonly problem: string };
