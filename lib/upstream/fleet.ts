/**
 * All subscriptions: who starts when, who is added, removed or banned, who goes on when rings have
 * room. Owns what they share (ticker, slots, budgets) and the gauges. Everything that outside code
 * asks of a host goes through here, by host id.
 *
 *   start-up   active hosts spread over the window by their id, always at the same place (D1);
 *              hosts that were offline come after them, over three more windows
 *   add        at once: a host that asked to be crawled does not wait (D2)
 * @thread main
 */
import type { Clock, Timer } from '../base/clock.ts';
import { Prng, seedOf } from '../base/prng.ts';
import { MINUTE_MS, MiB, SECOND_MS } from '../base/units.ts';
import {
  HOST_STATUSES,
  type HostRecord,
  type HostSettings,
  type HostStatus,
  isDialable,
} from '../hosts/host.ts';
import type { Logger } from '../logging/logger.ts';
import { LogSampler } from '../logging/sampler.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { RejectCode } from '../reject/codes.ts';
import { CONNECTION_DEFAULTS, type ConnectionOptions } from './connection.ts';
import type { PoisonFrame, UpstreamContext } from './context.ts';
import { CursorMap } from './cursor-map.ts';
import type { Dialer } from './dial.ts';
import { Ticker } from './idle.ts';
import { ParkedTotals } from './parked.ts';
import type { ReplayFilter } from './replay-filter.ts';
import { RETRY_DEFAULTS, type RetryOptions } from './retry.ts';
import { RingWaiters } from './ring-waiters.ts';
import type { FrameSink } from './sink.ts';
import type { HostStats, HostUsage } from './stats.ts';
import { Subscription } from './subscription.ts';
import { UnfinishedBudget } from './unfinished.ts';

export type FleetOptions = {
  /** Start-up window in milliseconds. */
  readonly startupMs: number;
  readonly hostsMax: number;
  /** Bytes of unfinished messages over all hosts. */
  readonly unfinishedBytesMax: number;
  readonly tickMs: number;
  readonly ringPollMs: number;
  /** For how long a host with too many discontinuous commits is read slower (CH-4). */
  readonly slowMs: number;
  readonly connection: ConnectionOptions;
  readonly retry: RetryOptions;
};

export const FLEET_DEFAULTS: FleetOptions = {
  startupMs: 30 * SECOND_MS,
  hostsMax: 65_536,
  unfinishedBytesMax: 256 * MiB,
  tickMs: 100,
  ringPollMs: 10,
  slowMs: 10 * MINUTE_MS,
  connection: CONNECTION_DEFAULTS,
  retry: RETRY_DEFAULTS,
};

export type FleetDeps = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  readonly dialer: Dialer;
  readonly sink: FrameSink;
  readonly replay: ReplayFilter;
  /** Seed of all jitter after the start. */
  readonly seed: number;
  storeFirstCursor(hostId: number, hostSeq: number): Promise<void>;
  quarantine(poison: PoisonFrame): void;
  onStatus(hostId: number, status: HostStatus): void;
};

/** Hosts that may run in one tick or go on in one poll: bounds on one turn of the loop. */
const DUE_PER_TICK_MAX = 256;
const RESUMES_PER_POLL_MAX = 64;
const OFFLINE_WINDOWS = 3;
const GAUGES_MS = SECOND_MS;

/** Where in the start-up window a host dials: the same at every start, even over the window. */
export function startupDelayMs(hostId: number, windowMs: number): number {
  return new Prng(seedOf(`host ${hostId}`)).nextFloat() * windowMs;
}

export class Fleet {
  readonly cursors: CursorMap;
  readonly #options: FleetOptions;
  readonly #deps: FleetDeps;
  readonly #context: UpstreamContext;
  readonly #waiters: RingWaiters;
  readonly #subscriptions = new Map<number, Subscription>();
  /** Banned in this process: a row read just before the ban must not bring a host back (C7). */
  readonly #banned = new Set<number>();
  readonly #gaugeTimer: Timer;

  constructor(options: FleetOptions, deps: FleetDeps) {
    this.#options = options;
    this.#deps = deps;
    this.cursors = new CursorMap({ slotsMax: options.hostsMax });
    this.#waiters = new RingWaiters(deps.clock, deps.sink, {
      pollMs: options.ringPollMs,
      perPollMax: RESUMES_PER_POLL_MAX,
    });
    this.#context = {
      ...deps,
      prng: new Prng(deps.seed),
      sampler: new LogSampler(deps.clock),
      ticker: new Ticker(deps.clock, {
        periodMs: options.tickMs,
        duePerTickMax: DUE_PER_TICK_MAX,
      }),
      cursors: this.cursors,
      unfinished: new UnfinishedBudget(options.unfinishedBytesMax),
      parked: new ParkedTotals(),
      options: { connection: options.connection, retry: options.retry, slowMs: options.slowMs },
      isPaused: false,
      storeFirstCursor: (hostId, hostSeq) => deps.storeFirstCursor(hostId, hostSeq),
      quarantine: (poison) => deps.quarantine(poison),
      onStatus: (hostId, status) => deps.onStatus(hostId, status),
    };
    this.#gaugeTimer = deps.clock.every(GAUGES_MS, () => this.#writeGauges());
  }

  get hostCount(): number {
    return this.#subscriptions.size;
  }

  /** Subscribes to all hosts of the store, spread over the start-up window. */
  start(hosts: Iterable<HostRecord>): void {
    for (const host of hosts) this.addLater(host);
  }

  /** Subscribes at once, or dials now where the host is known and waits. False without a slot. */
  add(host: HostRecord): boolean {
    const known = this.#subscriptions.get(host.hostId);
    if (known === undefined) return this.#create(host, 0);
    known.wake();
    return known.state !== 'stopped';
  }

  /** As start(), for one host: found by the reconciliation pass. */
  addLater(host: HostRecord): boolean {
    if (this.#subscriptions.has(host.hostId)) return true;
    const { startupMs } = this.#options;
    const isOffline = host.status === 'offline';
    const windowMs = isOffline ? startupMs * OFFLINE_WINDOWS : startupMs;
    const delayMs = startupDelayMs(host.hostId, windowMs);
    return this.#create(host, isOffline ? startupMs + delayMs : delayMs);
  }

  has(hostId: number): boolean {
    return this.#subscriptions.has(hostId);
  }

  /** Forgets the host; its cursor still goes to the next checkpoint. */
  remove(hostId: number): void {
    this.#subscriptions.get(hostId)?.stop();
    this.#subscriptions.delete(hostId);
    this.#deps.replay.forget(hostId);
  }

  /**
   * Ends the connection; no attempt under way or queued dials any more (C7). The ban is in the row
   * already, so no status is reported: a report on its way could undo a later unban.
   */
  ban(hostId: number): void {
    this.#banned.add(hostId);
    this.remove(hostId);
  }

  /** Takes the ban back and dials at once; the row says so already. False without a slot. */
  unban(host: HostRecord): boolean {
    this.#banned.delete(host.hostId);
    // The relay-loop check bans by itself and leaves its subscription for the operator to see.
    if (this.#subscriptions.get(host.hostId)?.state === 'stopped') this.remove(host.hostId);
    return this.add(host);
  }

  /** Ends the connection; the host is dialled again after its back-off. False when unknown. */
  disconnect(hostId: number): boolean {
    const subscription = this.#subscriptions.get(hostId);
    subscription?.disconnect();
    return subscription !== undefined;
  }

  /** Changes what holds for a host at run time: its limits at once, the rest for later frames. */
  setSettings(hostId: number, settings: HostSettings): void {
    this.#subscriptions.get(hostId)?.setSettings(settings);
  }

  /** Stops or allows the intake of one host, or of all (S50). Sockets stay open, unread. */
  setPaused(isPaused: boolean, hostId?: number): void {
    if (hostId !== undefined) {
      this.#subscriptions.get(hostId)?.setPaused(isPaused);
      return;
    }
    this.#context.isPaused = isPaused;
    if (isPaused) return;
    for (const subscription of this.#subscriptions.values()) subscription.onIntakeAllowed();
  }

  /** A verify thread rejected a frame of this host. */
  penalize(hostId: number, code: RejectCode, hostSeq: number): void {
    this.#subscriptions.get(hostId)?.penalize(code, hostSeq);
  }

  /** What frames of this host cost a verify thread, and what they brought. */
  charge(hostId: number, usage: HostUsage): void {
    this.#deps.metrics.add('relay_hosts_verify_seconds_total', usage.verifyMs / SECOND_MS);
    this.#subscriptions.get(hostId)?.charge(usage);
  }

  /** The rings may have room: lets paused hosts go on. A timer does the same every 10 ms. */
  onRingSpace(): void {
    this.#waiters.poll();
  }

  stats(hostId: number): HostStats | undefined {
    return this.#subscriptions.get(hostId)?.stats();
  }

  hostIds(): IterableIterator<number> {
    return this.#subscriptions.keys();
  }

  statusOf(hostId: number): HostStatus | undefined {
    return this.#subscriptions.get(hostId)?.status;
  }

  /** Stops reading all hosts, for good. What was not routed comes again at the next start. */
  stop(): void {
    for (const subscription of this.#subscriptions.values()) subscription.stop();
    this.#subscriptions.clear();
    this.#context.ticker.stop();
    this.#gaugeTimer.cancel();
    this.#writeGauges();
  }

  #create(host: HostRecord, delayMs: number): boolean {
    if (!isDialable(host.status) || this.#banned.has(host.hostId)) return false;
    const slot = this.cursors.claim(host.hostId, host.cursor);
    if (slot === undefined) {
      this.#deps.metrics.add('relay_upstream_slots_exhausted_total');
      if (this.#context.sampler.admit('slots exhausted') >= 0) {
        this.#deps.logger.error({ host: host.hostname }, 'no slot left for this host');
      }
      return false;
    }
    const onBudgetOver = (): void => this.#dropOldestUnfinished();
    const subscription = new Subscription(host, slot, this.#context, this.#waiters, onBudgetOver);
    this.#subscriptions.set(host.hostId, subscription);
    subscription.start(delayMs);
    return true;
  }

  /** Runs only when the budget is over, hence may look at all hosts. */
  #dropOldestUnfinished(): void {
    let oldest: Subscription | undefined;
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.unfinishedAgeMs > (oldest?.unfinishedAgeMs ?? -1)) oldest = subscription;
    }
    oldest?.dropUnfinished();
  }

  #writeGauges(): void {
    const { metrics, replay } = this.#deps;
    const states = { dialing: 0, open: 0, paused: 0 };
    const statuses = new Map<HostStatus, number>();
    for (const { state, status } of this.#subscriptions.values()) {
      if (state === 'dialing' || state === 'open' || state === 'paused') states[state]++;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    metrics.set('relay_upstream_dialing_count', states.dialing);
    metrics.set('relay_upstream_connections_count', states.open + states.paused);
    metrics.set('relay_upstream_paused_count', states.paused);
    metrics.set('relay_upstream_parked_bytes', this.#context.parked.bytes);
    metrics.set('relay_upstream_unfinished_bytes', this.#context.unfinished.bytes);
    metrics.set('relay_upstream_replay_entries_count', replay.entryCount);
    for (const status of HOST_STATUSES) {
      if (status === 'banned') continue;
      metrics.set(`relay_hosts_state_count:${status}`, statuses.get(status) ?? 0);
    }
  }
}
