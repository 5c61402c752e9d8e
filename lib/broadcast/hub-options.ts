/**
 * What the hub is given: its limits, and the few things it reads from and reports to.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { KiB, MINUTE_MS, MiB, SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { CommitReader } from '../shared/commit-cell.ts';
import type { TailReader } from '../shared/tail-ring.ts';
import type { ArrivalSource } from './delivery.ts';
import type { LogSource } from './replays.ts';
import type { WatchOptions } from './watch.ts';

export type HubOptions = WatchOptions & {
  /** Most bytes of one write, unless one frame is larger. */
  readonly chunkBytesMax: number;
  /** A round begins once so much is new … */
  readonly gatherBytes: number;
  /** … or more where consumers are few, so that a round sends so much; what fits in one write. */
  readonly gatherRoundBytes: number;
  /** Rounds are so far apart at least, unless that much is new: no frame waits longer. */
  readonly gatherMs: number;
  /** A poll returns after this much work. */
  readonly pollMsMax: number;
  readonly pollBytesMax: number;
  /** Pieces of the log read at a time. */
  readonly readsMax: number;
};

export const HUB_DEFAULTS: HubOptions = {
  chunkBytesMax: 256 * KiB,
  gatherBytes: 64 * KiB,
  gatherRoundBytes: 16 * MiB,
  gatherMs: 20,
  pollMsMax: 2,
  pollBytesMax: 4 * MiB,
  stallMsMax: 10 * MINUTE_MS,
  pingMs: 30 * SECOND_MS,
  pingsMissedMax: 2,
  closeMsMax: 4 * SECOND_MS,
  sweepMs: 500,
  readsMax: 16,
};

export type HubDeps = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  /** For the hub alone: it tells news by what this one has read. */
  readonly commits: CommitReader;
  readonly tail: TailReader;
  readonly log: LogSource;
  /** Where the time of delivery is measured from; without it, it is not. */
  readonly arrivals?: ArrivalSource;
  /** First retained seq. */
  readonly oldestSeq: () => number;
  /** Everything up to this seq has been handed to every consumer that could take it. */
  readonly onPublished: (seq: number) => void;
  /** There is work for `poll` that did not come from the commit cell. */
  readonly wake: () => void;
};
