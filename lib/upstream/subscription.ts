/**
 * One host's subscription, for as long as the host is ours: when to dial, from which cursor, what
 * to do with what comes, when to stop reading, when to come back. A dormant host is this object
 * and a due time: no socket, no timer, no buffer (D3).
 *
 *               due, wake                opened            frame must wait
 *   waiting ───────────────► dialing ─────────────► open ──────────────────► paused
 *   backoff ───────────────►    │                    ▲ │                      │ │
 *      ▲                        │ failed             │ └──────────────────────┘ │
 *      │                        │                    └─ parked frames dealt with │
 *      └────────────────────────┴──────── ended ────────────────────────────────┘
 *   any ── stop, ban ──► stopped (for good)
 *
 * Resumes after the last routed host seq. While paused, frames of the chunk in hand are parked and
 * dealt with in order before the socket is read again. Gives up never (D4).
 * @thread main
 */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { SECOND_MS } from '../base/units.ts';
import {
  type HostEvent,
  type HostRecord,
  type HostSettings,
  type HostStatus,
  nextStatus,
  QUIET_MS,
} from '../hosts/host.ts';
import { HostQuota } from '../hosts/quota.ts';
import type { RejectCode } from '../reject/codes.ts';
import { Connection, type ConnectionEnd, type ConnectionOwner } from './connection.ts';
import type { UpstreamContext } from './context.ts';
import type { CursorSlot } from './cursor-map.ts';
import type { DialFailure, Dialing } from './dial.ts';
import { FirstCursor, type FirstCursorOwner } from './first-cursor.ts';
import type { Ticked } from './idle.ts';
import { Intake, type IntakeVerdict } from './intake.ts';
import { ParkedFrames } from './parked.ts';
import { Retry } from './retry.ts';
import type { RingWaiter, RingWaiters } from './ring-waiters.ts';
import type { HostStats, HostUsage } from './stats.ts';

export type SubscriptionState = 'waiting' | 'dialing' | 'open' | 'paused' | 'backoff' | 'stopped';
export type PauseReason = 'ring_full' | 'rate' | 'first_cursor' | 'operator';

/** A wish to connect now counts only this long after the last attempt. */
const WAKE_MS_MIN = 10 * SECOND_MS;
/** A pause for its rate of this length shows in the host's status. */
const LIMITED_MS_MIN = 10 * SECOND_MS;

const PAUSE_REASONS: Readonly<Record<Exclude<IntakeVerdict, 'done' | 'close'>, PauseReason>> = {
  pause_operator: 'operator',
  pause_rate: 'rate',
  pause_cursor: 'first_cursor',
  pause_ring: 'ring_full',
};

export class Subscription implements Ticked, ConnectionOwner, RingWaiter, FirstCursorOwner {
  readonly hostId: number;
  readonly hostname: string;
  readonly quota: HostQuota;
  readonly #context: UpstreamContext;
  readonly #waiters: RingWaiters;
  readonly #slot: CursorSlot;
  readonly #intake: Intake;
  readonly #parked: ParkedFrames;
  readonly #retry: Retry;
  readonly #firstCursor: FirstCursor;
  readonly #onBudgetOver: () => void;
  #state: SubscriptionState = 'waiting';
  #status: HostStatus;
  /** Ticker time of the next dial, of the end of a rate pause, of the next try to store. */
  #dueMs = Number.POSITIVE_INFINITY;
  #dialing: Dialing | undefined;
  #connection: Connection | undefined;
  #pauseReason: PauseReason = 'ring_full';
  /** The host called our cursor its future: ask from 0 until it sends something. */
  #isProbing = false;
  #connectCount = 0;
  #attemptedMs = Number.NEGATIVE_INFINITY;
  /** The host asked not to be dialled before; nobody else's wish goes over that (B10). */
  #notBeforeMs = 0;
  #openedMs = 0;
  #receivedMs = 0;
  #routedSeen = 0;
  #frames = 0;
  #bytes = 0;
  #connectedSinceMs: number | null = null;
  #lastFrameMs: number | null = null;
  #lastError: HostStats['lastError'] = null;
  #settings: HostSettings;
  readonly #usage = { verifyMs: 0, discontinuousCount: 0, waivedCount: 0 };

  constructor(
    host: HostRecord,
    slot: CursorSlot,
    context: UpstreamContext,
    waiters: RingWaiters,
    onBudgetOver: () => void,
  ) {
    this.hostId = host.hostId;
    this.hostname = host.hostname;
    this.#settings = host.settings;
    this.quota = new HostQuota(host.settings.limits, context.options.slowMs);
    this.#status = host.status;
    this.#slot = slot;
    this.#context = context;
    this.#waiters = waiters;
    this.#onBudgetOver = onBudgetOver;
    this.#parked = new ParkedFrames(context.parked);
    this.#retry = new Retry(context.options.retry, context.prng);
    this.#firstCursor = new FirstCursor(context, this);
    const { hostId, hostname, quota } = this;
    this.#intake = new Intake(context, {
      hostId,
      hostname,
      slot,
      quota,
      isTrusted: host.isTrusted,
    });
    this.#intake.setSettings(host.settings);
  }

  get state(): SubscriptionState {
    return this.#state;
  }

  get status(): HostStatus {
    return this.#status;
  }

  get dueMs(): number {
    return this.#state === 'open' ? (this.#connection?.dueMs ?? 0) : this.#dueMs;
  }

  /** See Connection; -1 without an unfinished message. */
  get unfinishedAgeMs(): number {
    return this.#connection?.unfinishedAgeMs ?? -1;
  }

  /** Dials after `delayMs`; 0 at once (D2). */
  start(delayMs: number): void {
    this.#context.ticker.add(this);
    this.#dueMs = this.#context.ticker.nowMs + delayMs;
    if (delayMs <= 0) this.#dial();
  }

  /** Somebody says that the host is there: dials now, unless it was tried just before. */
  wake(): void {
    const { nowMs } = this.#context.ticker;
    const isDormant = this.#state === 'waiting' || this.#state === 'backoff';
    const isAllowed = nowMs >= this.#notBeforeMs && nowMs - this.#attemptedMs >= WAKE_MS_MIN;
    if (isDormant && isAllowed) this.#dial();
  }

  /** Ends the connection; the host is dialled again after its back-off (admin killUpstream). */
  disconnect(): void {
    this.#connection?.end({ cause: 'stopped', detail: 'disconnected by the operator' });
  }

  /** Ends everything for good: the host is removed, banned, or the relay stops. */
  stop(): void {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#dialing?.cancel();
    this.#dialing = undefined;
    this.#connection?.end({ cause: 'stopped', detail: 'stopped' });
    this.#context.ticker.remove(this);
    this.#context.cursors.release(this.#slot);
  }

  setSettings(settings: HostSettings): void {
    this.#settings = settings;
    this.quota.setLimits(settings.limits);
    this.#intake.setSettings(settings);
    if (this.#state === 'paused' && this.#pauseReason === 'rate') this.#drain();
  }

  /** What was in the ring already counts as well: the host waits for it with its next frame. */
  charge(usage: HostUsage): void {
    const nowMs = this.#context.clock.monoMs();
    this.#usage.verifyMs += usage.verifyMs;
    this.#usage.discontinuousCount += usage.discontinuousCount;
    this.#usage.waivedCount += usage.waivedCount;
    this.quota.chargeVerify(nowMs, usage.verifyMs);
    if (!this.quota.chargeDiscontinuous(nowMs, usage.discontinuousCount)) return;
    this.#context.metrics.add('relay_hosts_limits_reached_total:discontinuousPerHour');
    this.#showLimits();
  }

  /** An operator stops or allows the intake of this host. */
  setPaused(isPaused: boolean): void {
    this.#intake.setPaused(isPaused);
    if (!isPaused) this.onIntakeAllowed();
  }

  /** The operator's switch may have moved: goes on where it was the reason to wait. */
  onIntakeAllowed(): void {
    if (this.#state === 'paused' && this.#pauseReason === 'operator') this.#drain();
  }

  /** A verify thread rejected a frame of this host. Strikes there count as strikes here. */
  penalize(code: RejectCode, hostSeq: number): void {
    if (this.#intake.penalize(code, hostSeq)) this.#close();
  }

  /** Frees what an unfinished message holds. */
  dropUnfinished(): void {
    this.#connection?.end({ cause: 'unfinished', detail: 'too many unfinished bytes' });
  }

  onDue(nowMs: number): void {
    if (this.#state === 'open') {
      if (nowMs - this.#receivedMs >= QUIET_MS) this.#apply('quiet');
      this.#showLimits();
      this.#connection?.poll(nowMs);
    } else if (this.#state === 'paused') {
      this.#dueMs = Number.POSITIVE_INFINITY;
      if (this.#pauseReason === 'first_cursor') this.#firstCursor.store(this.#intake.firstSeq);
      else this.#drain();
    } else if (this.#state === 'waiting' || this.#state === 'backoff') {
      this.#dial();
    }
  }

  onRingSpace(): void {
    if (this.#state === 'paused') this.#drain();
  }

  onBudgetOver(): void {
    this.#onBudgetOver();
  }

  onFirstCursorStored(hostSeq: number): void {
    this.#context.cursors.setStored(this.#slot, hostSeq);
    if (this.#state === 'paused' && this.#pauseReason === 'first_cursor') this.#drain();
  }

  onFirstCursorFault(delayMs: number): void {
    if (this.#state !== 'paused' || this.#pauseReason !== 'first_cursor') return;
    this.#dueMs = this.#context.ticker.nowMs + delayMs;
  }

  onMessage(frame: Buffer, isBinary: boolean): void {
    const { clock, metrics, ticker } = this.#context;
    const arrivalMs = clock.epochMs();
    metrics.add('relay_upstream_frames_total');
    metrics.add('relay_upstream_bytes_total', frame.length);
    this.#frames++;
    this.#bytes += frame.length;
    this.#receivedMs = ticker.nowMs;
    this.#lastFrameMs = arrivalMs;
    if (this.#state === 'paused') {
      this.#parked.push({ frame, isBinary, arrivalMs });
      return;
    }
    const verdict = this.#intake.accept(frame, isBinary, arrivalMs);
    if (verdict === 'done') this.#onTaken();
    else if (verdict === 'close') this.#close();
    else {
      this.#parked.push({ frame, isBinary, arrivalMs });
      this.#pause(PAUSE_REASONS[verdict]);
    }
  }

  onEnded(end: ConnectionEnd): void {
    const { metrics, ticker, logger } = this.#context;
    metrics.add(`relay_upstream_disconnects_total:${end.cause}`);
    logger.info({ host: this.hostname, cause: end.cause, detail: end.detail }, 'disconnected');
    this.#noteError(end.cause, end.detail);
    if (end.isUnreadable === true) this.#intake.onUnreadable();
    this.#connection = undefined;
    this.#connectedSinceMs = null;
    // What waits here comes again: the cursor stands before it.
    this.#parked.clear();
    this.#waiters.delete(this);
    if (this.#state === 'stopped') return;
    const isFuture = end.cause === 'error_frame' && this.#intake.errorName === 'FutureCursor';
    const isLongest = isFuture && this.#onFutureCursor();
    this.#backOff(this.#retry.afterEndMs(ticker.nowMs - this.#openedMs, isLongest));
  }

  stats(): HostStats {
    const { clock, cursors, ticker } = this.#context;
    const isDormant = this.#state === 'waiting' || this.#state === 'backoff';
    return {
      hostId: this.hostId,
      hostname: this.hostname,
      state: this.#state,
      status: this.#status,
      pauseReason: this.#state === 'paused' ? this.#pauseReason : null,
      lastSeq: cursors.last(this.#slot),
      framesReceived: this.#frames,
      bytesReceived: this.#bytes,
      framesRouted: this.#intake.routedCount,
      framesParked: this.#parked.count,
      bytesParked: this.#parked.bytes,
      bytesUnfinished: this.#connection?.unfinishedBytes ?? 0,
      strikes: this.#intake.strikeCount(),
      failures: this.#retry.failures,
      connects: this.#connectCount,
      connectedSinceMs: this.#connectedSinceMs,
      lastFrameMs: this.#lastFrameMs,
      nextRetryInMs: isDormant ? Math.max(0, this.#dueMs - ticker.nowMs) : null,
      lastError: this.#lastError,
      lastRejects: [...this.#intake.rejects],
      limits: this.quota.usage(clock.monoMs()),
      isSlowed: this.quota.isSlowed(clock.monoMs()),
      isLenient: this.#settings.isLenient,
      isFull: this.#settings.isFull,
      usage: { ...this.#usage },
    };
  }

  #dial(): void {
    const { dialer, ticker } = this.#context;
    this.#state = 'dialing';
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#attemptedMs = ticker.nowMs;
    const target = { hostname: this.hostname, cursor: this.#resumeCursor() };
    this.#dialing = dialer.dial(target, {
      onOpen: (ws, socket) => this.#onOpen(ws, socket),
      onFailed: (failure) => this.#onDialFailed(failure),
    });
  }

  /** After the last routed seq; past a message that cannot be read; from 0 for a probe. */
  #resumeCursor(): number | null {
    if (this.#isProbing) return 0;
    const last = this.#context.cursors.last(this.#slot);
    if (last === null) return this.#firstCursor.hostSeq;
    const skipped = this.#intake.stepOver();
    if (skipped === 0) return last;
    this.#context.metrics.add('relay_upstream_poison_frames_total');
    const fields = { host: this.hostname, cursor: last, skipped };
    this.#context.logger.warn(fields, 'stepping over a message that cannot be read');
    return last + skipped;
  }

  #onOpen(ws: WebSocket, socket: Socket): void {
    const { clock, ticker, unfinished, options, metrics, logger } = this.#context;
    this.#dialing = undefined;
    this.#state = 'open';
    this.#openedMs = ticker.nowMs;
    this.#receivedMs = ticker.nowMs;
    this.#connectedSinceMs = clock.epochMs();
    metrics.add('relay_upstream_connects_total');
    if (this.#connectCount++ > 0) metrics.add('relay_upstream_reconnects_total');
    this.#intake.onConnected(this.#isProbing);
    const deps = { clock, ticker, unfinished };
    this.#connection = new Connection(ws, socket, this, deps, options.connection);
    this.#apply('connected');
    logger.info({ host: this.hostname, failures: this.#retry.failures }, 'connected');
  }

  #onDialFailed(failure: DialFailure): void {
    const { metrics } = this.#context;
    this.#dialing = undefined;
    metrics.add(`relay_upstream_connect_failures_total:${failure.cause}`);
    this.#noteError(failure.cause, failure.detail);
    if (failure.cause === 'relay') {
      this.#apply('banned');
      this.stop();
      return;
    }
    this.#notBeforeMs = this.#context.ticker.nowMs + (failure.retryAfterMs ?? 0);
    this.#backOff(this.#retry.afterFailureMs(failure));
  }

  #backOff(delayMs: number): void {
    this.#state = 'backoff';
    this.#dueMs = this.#context.ticker.nowMs + delayMs;
    if (this.#retry.isOffline) this.#apply('unreachable');
  }

  /** Idle; the next attempt asks from 0. True if that was the future too: nothing is urgent. */
  #onFutureCursor(): boolean {
    this.#apply('future_cursor');
    this.#context.replay.forget(this.hostId);
    const wasProbing = this.#isProbing;
    this.#isProbing = true;
    return wasProbing;
  }

  /** After each frame that was dealt with. */
  #onTaken(): void {
    if (this.#intake.routedCount === this.#routedSeen) return;
    this.#routedSeen = this.#intake.routedCount;
    this.#isProbing = false;
    if (this.#status === 'active') return;
    if (this.#status === 'throttled') this.#showLimits();
    else this.#apply('received');
  }

  #pause(reason: PauseReason): void {
    const { metrics, ticker, clock } = this.#context;
    const isNew = this.#state !== 'paused' || this.#pauseReason !== reason;
    if (this.#state !== 'paused') metrics.add(`relay_upstream_pauses_total:${reason}`);
    this.#state = 'paused';
    this.#pauseReason = reason;
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#connection?.pause();
    if (reason === 'ring_full') this.#waiters.add(this);
    else if (reason === 'first_cursor') this.#firstCursor.store(this.#intake.firstSeq);
    else if (reason === 'rate') {
      const reached = isNew ? this.quota.reached(clock.monoMs()) : undefined;
      if (reached !== undefined) metrics.add(`relay_hosts_limits_reached_total:${reached}`);
      this.#dueMs = ticker.nowMs + this.quota.waitMs(clock.monoMs());
      this.#showLimits();
    }
  }

  /** Throttled shows for as long as a limit that is not one of seconds keeps it back. */
  #showLimits(): void {
    const nowMs = this.#context.clock.monoMs();
    const { quota } = this;
    const isStill = this.#status === 'throttled' && quota.isStrained(nowMs);
    const isOver = isStill || quota.isSlowed(nowMs) || quota.waitMs(nowMs) >= LIMITED_MS_MIN;
    this.#apply(isOver ? 'limited' : 'unlimited');
  }

  /** Deals with parked frames in order; reads on when none is left. */
  #drain(): void {
    for (let first = this.#parked.first(); first !== undefined; first = this.#parked.first()) {
      const verdict = this.#intake.accept(first.frame, first.isBinary, first.arrivalMs);
      if (verdict === 'close') {
        this.#close();
        return;
      }
      if (verdict !== 'done') {
        this.#pause(PAUSE_REASONS[verdict]);
        return;
      }
      this.#parked.shift();
      this.#onTaken();
    }
    this.#state = 'open';
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#showLimits();
    this.#connection?.resume();
  }

  #close(): void {
    const { closeCause, closeDetail } = this.#intake;
    this.#connection?.end({ cause: closeCause, detail: closeDetail });
  }

  #apply(event: HostEvent): void {
    const status = nextStatus(this.#status, event);
    if (status === this.#status) return;
    const { logger, onStatus } = this.#context;
    logger.info({ host: this.hostname, from: this.#status, to: status, event }, 'host status');
    this.#status = status;
    onStatus(this.hostId, status);
  }

  #noteError(cause: string, detail: string): void {
    this.#lastError = { cause, detail, atMs: this.#context.clock.epochMs() };
  }
}
