/** A fleet on a clock that a test moves, with real sockets to hosts on loopback. */
import type { Test } from 'tap';
import { type Clock, SystemClock } from '../../lib/base/clock.ts';
import type { HostRecord, HostStatus } from '../../lib/hosts/host.ts';
import { DnsCache } from '../../lib/identity/dns.ts';
import { createSharedSecureContext, guardedDialOptions } from '../../lib/identity/guard.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import type { PoisonFrame } from '../../lib/upstream/context.ts';
import { DIALER_DEFAULTS, Dialer } from '../../lib/upstream/dial.ts';
import { FLEET_DEFAULTS, Fleet, type FleetOptions } from '../../lib/upstream/fleet.ts';
import { Gate } from '../../lib/upstream/gate.ts';
import { ReplayFilter } from '../../lib/upstream/replay-filter.ts';
import type { FrameMeta, FrameSink } from '../../lib/upstream/sink.ts';
import type { HostStats } from '../../lib/upstream/stats.ts';
import { hostRecord } from '../helpers/host-record.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { Pds, type PdsOptions, until } from './pds.ts';

const secureContext = createSharedSecureContext();

/** Takes frames until it is full; keeps what it took. */
export class MemorySink implements FrameSink {
  readonly taken: {
    hostId: number;
    hostSeq: number;
    did: string;
    arrivalMs: number;
    flags: number;
  }[] = [];
  roomLeft = Number.POSITIVE_INFINITY;
  refusals = 0;

  offer(frame: Buffer, meta: FrameMeta): boolean {
    if (this.roomLeft <= 0) {
      this.refusals++;
      return false;
    }
    this.roomLeft--;
    const did = frame.toString('latin1', meta.didStart, meta.didEnd);
    const { hostId, hostSeq, arrivalMs, flags } = meta;
    this.taken.push({ hostId, hostSeq, did, arrivalMs, flags });
    return true;
  }

  isHalfEmpty(): boolean {
    return this.roomLeft > 0;
  }

  seqs(hostId = 1): number[] {
    return this.taken.filter((frame) => frame.hostId === hostId).map(({ hostSeq }) => hostSeq);
  }
}

export class Harness {
  readonly clock = new ManualClock();
  readonly metrics = new MetricWriter();
  readonly sink = new MemorySink();
  readonly replay = new ReplayFilter({ entriesMax: 10_000 });
  readonly firstCursors: [hostId: number, hostSeq: number][] = [];
  readonly statuses: [hostId: number, status: HostStatus][] = [];
  readonly poisons: (Omit<PoisonFrame, 'frame'> & { bytes: number })[] = [];
  readonly dialed: string[] = [];
  firstCursorGate: () => Promise<void> = () => Promise.resolve();
  readonly fleet: Fleet;
  readonly #tickMs: number;

  constructor(t: Test, options: Partial<FleetOptions> = {}, fleetClock?: Clock) {
    this.#tickMs = options.tickMs ?? FLEET_DEFAULTS.tickMs;
    const clock = new SystemClock();
    const dns = new DnsCache({ clock, metrics: this.metrics, isInsecureAllowed: true });
    const dialer = new Dialer(
      { ...DIALER_DEFAULTS, userAgent: 'test' },
      {
        clock,
        network: guardedDialOptions(dns, secureContext),
        wideGate: new Gate({ slotCount: 512, waitersMax: 100_000 }),
        narrowGate: new Gate({ slotCount: 32, waitersMax: 100_000 }),
      },
    );
    const dial = dialer.dial.bind(dialer);
    dialer.dial = (target, handlers) => {
      this.dialed.push(target.hostname);
      return dial(target, handlers);
    };
    this.fleet = new Fleet(
      { ...FLEET_DEFAULTS, ...options },
      {
        clock: fleetClock ?? this.clock,
        logger: silentLogger,
        metrics: this.metrics,
        dialer,
        sink: this.sink,
        replay: this.replay,
        seed: 7,
        storeFirstCursor: async (hostId, hostSeq) => {
          await this.firstCursorGate();
          this.firstCursors.push([hostId, hostSeq]);
        },
        quarantine: ({ frame, ...poison }) => this.poisons.push({ ...poison, bytes: frame.length }),
        onStatus: (hostId, status) => this.statuses.push([hostId, status]),
      },
    );
    t.teardown(() => {
      this.fleet.stop();
      dns.close();
    });
  }

  stats(hostId = 1): HostStats {
    const stats = this.fleet.stats(hostId);
    if (stats === undefined) throw new Error('no such host');
    return stats;
  }

  /** Waits until both sides have their `count`-th connection. */
  async connected(pds: Pds, count = 1, hostId = 1): Promise<void> {
    const isOpen = (): boolean => this.stats(hostId).connects === count;
    await until(() => pds.connections.length >= count && isOpen(), `connection ${count}`);
  }

  /** Moves the clock to just after the next attempt to connect. */
  async retry(hostId = 1): Promise<number> {
    const waitMs = this.stats(hostId).nextRetryInMs;
    if (waitMs === null) throw new Error(`host is ${this.stats(hostId).state}`);
    await this.pass(waitMs + 2 * this.#tickMs);
    return waitMs;
  }

  /** Moves the clock in steps that the ticker counts in full. */
  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }
}

export async function startPds(t: Test, options: PdsOptions = {}): Promise<Pds> {
  const pds = await Pds.start(options);
  t.teardown(() => pds.close());
  return pds;
}

export function hostOf(pds: { hostname: string }, host: Partial<HostRecord> = {}): HostRecord {
  return hostRecord(pds.hostname, { cursor: 100, ...host });
}
