/**
 * What all subscriptions share: collaborators, budgets, options. Owns nothing itself.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import type { Prng } from '../base/prng.ts';
import type { HostStatus } from '../hosts/host.ts';
import type { Logger } from '../logging/logger.ts';
import type { LogSampler } from '../logging/sampler.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { RejectCode } from '../reject/codes.ts';
import type { ConnectionOptions } from './connection.ts';
import type { CursorMap } from './cursor-map.ts';
import type { Dialer } from './dial.ts';
import type { Ticker } from './idle.ts';
import type { ParkedTotals } from './parked.ts';
import type { ReplayFilter } from './replay-filter.ts';
import type { RetryOptions } from './retry.ts';
import type { FrameSink } from './sink.ts';
import type { UnfinishedBudget } from './unfinished.ts';

/** A frame that keeps ending connections, to be kept for the operator. */
export type PoisonFrame = {
  readonly hostId: number;
  readonly hostname: string;
  readonly code: RejectCode;
  /** Last routed host seq before it. NaN where there is none. */
  readonly hostSeqBefore: number;
  /** Valid during the call only. */
  readonly frame: Buffer;
};

export type SubscriptionOptions = {
  readonly connection: ConnectionOptions;
  readonly retry: RetryOptions;
  /** For how long a host with too many discontinuous commits is read slower. */
  readonly slowMs: number;
};

export type UpstreamContext = {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  readonly sampler: LogSampler;
  readonly metrics: MetricWriter;
  readonly ticker: Ticker;
  readonly dialer: Dialer;
  readonly sink: FrameSink;
  readonly cursors: CursorMap;
  readonly replay: ReplayFilter;
  readonly unfinished: UnfinishedBudget;
  readonly parked: ParkedTotals;
  readonly options: SubscriptionOptions;
  /** All intake is stopped by an operator (S50). */
  isPaused: boolean;
  /** Stores the cursor of a host that had none; rejects on a fault and is called again. */
  storeFirstCursor(hostId: number, hostSeq: number): Promise<void>;
  /** Keeps a poison frame; must not throw. */
  quarantine(poison: PoisonFrame): void;
  /** The status of a host changed; to be stored. */
  onStatus(hostId: number, status: HostStatus): void;
};
