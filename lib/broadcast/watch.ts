/**
 * What time does to consumers: pings, stalls, retention that passes them, closing that does not
 * end. One pass over all of them now and then, no timer per connection.
 *
 * While bytes wait in the socket the stall limit alone judges: a ping would stand behind them, and
 * that the kernel takes bytes shows that the client's host is there. While nothing waits, pings
 * judge: a dead client would not be noticed otherwise (S31). Where so much was sent since the last
 * answer that a ping may stand behind it in the kernel, they are given the stall limit too.
 * @thread main
 */
import { KiB } from '../base/units.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { Consumer } from './consumer.ts';
import { endTooSlow } from './endings.ts';
import type { LagMeter } from './lag.ts';
import { NOT_IN_TAIL, type TailIndex } from './tail-index.ts';

export type WatchOptions = {
  /** A consumer that takes no byte for this long is ended (G20). */
  readonly stallMsMax: number;
  readonly pingMs: number;
  /** Pings without an answer after which a consumer is ended. */
  readonly pingsMissedMax: number;
  /** From the close frame to the reset, where the client does not close. */
  readonly closeMsMax: number;
  readonly sweepMs: number;
};

export type WatchDeps = {
  readonly metrics: MetricWriter;
  readonly index: TailIndex;
  readonly lag: LagMeter;
  readonly oldestSeq: () => number;
  /** The consumer is behind and could be sent something. */
  readonly onBehind: (consumer: Consumer) => void;
};

/** `reset`: end it now; `stalled`: it takes no byte; `close`: its turn in `closeAll`. */
export type WatchVerdict = 'keep' | 'ping' | 'close' | 'stalled' | 'reset';

/** Less than this in front of a ping is no excuse: 1 KiB a second reads it between two of them. */
const IN_KERNEL_BYTES_MIN = 32 * KiB;
const NEVER_MS = Number.POSITIVE_INFINITY;

/** Looks at one consumer and notes on it what was seen. */
export function decideWatch(consumer: Consumer, nowMs: number, limits: WatchOptions): WatchVerdict {
  if (consumer.isClosing) {
    // The client began to close and may never finish; where we began, end() set the deadline.
    if (consumer.deadlineMs === NEVER_MS) consumer.deadlineMs = nowMs + limits.closeMsMax;
    return nowMs >= consumer.deadlineMs ? 'reset' : 'keep';
  }
  if (nowMs >= consumer.closeDueMs) return 'close';
  const takenBytes = consumer.takenBytesNow;
  const isTaking = takenBytes !== consumer.takenBytes;
  consumer.takenBytes = takenBytes;
  if (consumer.waitingBytes > 0) {
    if (isTaking) {
      consumer.takenMs = nowMs;
      consumer.pingsUnanswered = 0;
    }
    consumer.pingDueMs = nowMs + limits.pingMs;
    return nowMs - consumer.takenMs >= limits.stallMsMax ? 'stalled' : 'keep';
  }
  consumer.takenMs = nowMs;
  if (consumer.pingsUnanswered === 0) consumer.heardMs = nowMs;
  if (nowMs < consumer.pingDueMs) return 'keep';
  if (consumer.pingsUnanswered < limits.pingsMissedMax) {
    consumer.pingDueMs = nowMs + limits.pingMs;
    return 'ping';
  }
  const unheardBytes = consumer.bytesSent - consumer.heardBytes;
  const isHidden = unheardBytes >= IN_KERNEL_BYTES_MIN;
  return isHidden && nowMs - consumer.heardMs < limits.stallMsMax ? 'keep' : 'reset';
}

export class Watch {
  readonly #options: WatchOptions;
  readonly #deps: WatchDeps;

  constructor(options: WatchOptions, deps: WatchDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** One pass; returns when the next one is due. */
  sweep(consumers: Iterable<Consumer>, nowMs: number): number {
    const { metrics, index, lag, oldestSeq } = this.#deps;
    const oldest = oldestSeq();
    let waitingBytes = 0;
    let slowestSeq = index.headSeq;
    let nextMs = nowMs + this.#options.sweepMs;
    for (const consumer of consumers) {
      waitingBytes += consumer.waitingBytes;
      slowestSeq = Math.min(slowestSeq, consumer.seq);
      this.#look(consumer, nowMs, oldest);
      if (consumer.isClosing) nextMs = Math.min(nextMs, consumer.deadlineMs);
      else nextMs = Math.min(nextMs, consumer.closeDueMs);
    }
    metrics.set('relay_broadcast_buffered_bytes', waitingBytes);
    metrics.set('relay_broadcast_lag_seq_max', index.headSeq - slowestSeq);
    lag.note(slowestSeq, index.headSeq);
    return Math.max(nextMs, nowMs + 1);
  }

  #look(consumer: Consumer, nowMs: number, oldestSeq: number): void {
    const deadlineMs = nowMs + this.#options.closeMsMax;
    switch (decideWatch(consumer, nowMs, this.#options)) {
      case 'reset':
        consumer.reset(consumer.isClosing ? consumer.endCause : 'ping');
        return;
      case 'stalled':
        endTooSlow(consumer, 'too_slow', deadlineMs);
        return;
      case 'close':
        // One that keeps up gets what is left; there will be no more.
        if (this.#isServed(consumer)) break;
        consumer.end(
          'stopped',
          { code: consumer.closeDueCode, reason: 'shutting down' },
          deadlineMs,
        );
        return;
      case 'ping':
        consumer.ping();
        break;
      case 'keep':
        break;
    }
    if (!consumer.isOpen) return;
    const isInLog = consumer.tailPosition === NOT_IN_TAIL;
    if (isInLog && consumer.seq + 1 < oldestSeq) endTooSlow(consumer, 'retention', deadlineMs);
    else if (consumer.tailPosition !== this.#deps.index.headEnd) this.#deps.onBehind(consumer);
  }

  /** It is in the tail, not at its end, and takes what it is sent. */
  #isServed(consumer: Consumer): boolean {
    const { tailPosition } = consumer;
    const isBehind = tailPosition !== NOT_IN_TAIL && tailPosition !== this.#deps.index.headEnd;
    return isBehind && consumer.isWritable;
  }
}
