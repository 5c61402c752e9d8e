/**
 * How we end a consumer: what it is told, with which close code, and for which cause it is counted.
 * @thread main
 */
import { SECOND_MS } from '../base/units.ts';
import { encodeErrorFrame } from '../wire/control.ts';
import type { Consumer } from './consumer.ts';

/** RFC 6455: what the client did, or how slow it is, is against our rules. */
export const CLOSE_POLICY = 1008;
/** RFC 6455: we cannot go on. */
export const CLOSE_INTERNAL = 1011;

const SPREAD_MS_MAX = 15 * SECOND_MS;
const SPREAD_MS_PER_CONSUMER = 10;

/** Over how long a stop of at most `msMax` closes consumers: not all shall come back at once. */
export function closeSpreadMs(consumerCount: number, msMax: number): number {
  return Math.min(SPREAD_MS_MAX, SPREAD_MS_PER_CONSUMER * consumerCount, msMax / 2);
}

/** It takes no byte (`too_slow`), or what it needs next is being removed (`retention`). */
export function endTooSlow(
  consumer: Consumer,
  cause: 'too_slow' | 'retention',
  deadlineMs: number,
): void {
  const message = cause === 'retention' ? 'retention has passed you' : 'no byte taken for too long';
  const frame = encodeErrorFrame('ConsumerTooSlow', message);
  consumer.end(cause, { code: CLOSE_POLICY, reason: 'ConsumerTooSlow', frame }, deadlineMs);
}

/** The log cannot be read on: said, never skipped in silence (G24). */
export function endUnreadable(consumer: Consumer, deadlineMs: number): void {
  const frame = encodeErrorFrame('ReplayFailed', 'the log cannot be read after this event');
  consumer.end('corrupt', { code: CLOSE_INTERNAL, reason: 'ReplayFailed', frame }, deadlineMs);
}

/** Its cursor is above all we ever sent (SQ-6). */
export function endFuture(consumer: Consumer, deadlineMs: number): void {
  const frame = encodeErrorFrame('FutureCursor', 'the cursor is in the future');
  const error = { code: CLOSE_POLICY, reason: 'FutureCursor', frame };
  consumer.end('future_cursor', error, deadlineMs);
}

/** How long one that floods us may take to close: we no longer read what it sends. */
const FLOOD_CLOSE_MS = 300;

/** It sends us more than a client has reason to (S29). */
export function endFlood(consumer: Consumer, nowMs: number): void {
  const deadlineMs = nowMs + FLOOD_CLOSE_MS;
  consumer.end('protocol', { code: CLOSE_POLICY, reason: 'too many frames' }, deadlineMs);
  consumer.stopReading();
}
