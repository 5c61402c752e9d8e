/**
 * Main's end of the ingest rings: a frame goes to the shard of its DID, so that one account is
 * always handled by one thread, in order, whichever host sends it.
 * @thread main
 */

import type { MetricWriter } from '../metrics/slots.ts';
import { RingConsumer } from '../ring/consumer.ts';
import { type Control, encodeControl, KIND_CONTROL } from '../ring/control-record.ts';
import { type IngestMeta, ingestRecordBytes, writeIngestHeader } from '../ring/ingest-record.ts';
import { RingProducer } from '../ring/producer.ts';
import { type Report, readReport } from '../ring/report-record.ts';
import type { Bell } from '../shared/bell.ts';
import type { SharedMemory } from '../shared/memory.ts';
import { type DidHash, didHash, shardOf } from '../wire/did-hash.ts';

type Lane = { ring: RingProducer; bell: Bell; lastNo: number };

/** The same fields as upstream's FrameMeta. */
export type RoutedMeta = {
  kind: number;
  flags: number;
  hostId: number;
  hostname: string;
  hostSeq: number;
  arrivalMs: number;
  didStart: number;
  didEnd: number;
};

export class Router {
  readonly #lanes: readonly Lane[];
  readonly #metrics: MetricWriter;
  readonly #hash: DidHash = { lo: 0, hi: 0 };
  readonly #meta: IngestMeta = {
    kind: 0,
    flags: 0,
    hostId: 0,
    hostname: '',
    ingestNo: 0,
    didHashLo: 0,
    didHashHi: 0,
    hostSeq: 0,
    arrivalMs: 0,
  };

  constructor(rings: readonly SharedMemory[], bells: readonly Bell[], metrics: MetricWriter) {
    this.#metrics = metrics;
    this.#lanes = rings.map((memory, shard) => ({
      ring: new RingProducer(memory),
      bell: bells[shard] as Bell,
      lastNo: 0,
    }));
  }

  /** Copies the frame into its ring; false when that is full. */
  offer(frame: Buffer, from: RoutedMeta): boolean {
    didHash(frame, from.didStart, from.didEnd, this.#hash);
    const lane = this.#lanes[shardOf(this.#hash.lo, this.#lanes.length)] as Lane;
    const at = lane.ring.claim(ingestRecordBytes(from.hostname, frame.length));
    if (at < 0) {
      this.#metrics.add('relay_ring_ingest_full_total');
      return false;
    }
    const meta = this.#meta;
    meta.kind = from.kind;
    meta.flags = from.flags;
    meta.hostId = from.hostId;
    meta.hostname = from.hostname;
    // 0 means `no frame` in the words of a shard.
    meta.ingestNo = (lane.lastNo + 1) | 0 || 1;
    meta.didHashLo = this.#hash.lo;
    meta.didHashHi = this.#hash.hi;
    meta.hostSeq = from.hostSeq;
    meta.arrivalMs = from.arrivalMs;
    frame.copy(lane.ring.bytes, writeIngestHeader(lane.ring.bytes, at, meta));
    lane.ring.commit();
    lane.lastNo = meta.ingestNo;
    lane.bell.ring();
    this.#metrics.add('relay_ring_routed_frames_total');
    this.#metrics.add('relay_ring_routed_bytes_total', frame.length);
    return true;
  }

  /** An operator's decision, ordered with the account's frames; false when the ring is full. */
  offerControl(control: Control, arrivalMs: number): boolean {
    const { bytes, didStart } = encodeControl(control);
    return this.offer(bytes, controlMeta(didStart, bytes.length, arrivalMs));
  }

  /** Whether every ring is at least half empty: paused sockets may go on. */
  isHalfEmpty(): boolean {
    return this.#lanes.every((lane) => lane.ring.freeBytes() * 2 >= lane.ring.capacityBytes);
  }

  usedBytes(): number {
    let used = 0;
    for (const { ring } of this.#lanes) used += ring.capacityBytes - ring.freeBytes();
    return used;
  }

  /** ingestNo of the last frame that went to this shard. */
  lastNo(shard: number): number {
    return this.#lanes[shard]?.lastNo ?? 0;
  }
}

/** The record of a decision: no host stands behind it. */
function controlMeta(didStart: number, didEnd: number, arrivalMs: number): RoutedMeta {
  const nobody = { flags: 0, hostId: 0, hostname: '', hostSeq: 0 };
  return { kind: KIND_CONTROL, ...nobody, arrivalMs, didStart, didEnd };
}

/** Main's end of the report rings. */
export class ReportReader {
  readonly #rings: readonly RingConsumer[];

  constructor(rings: readonly SharedMemory[]) {
    this.#rings = rings.map((memory) => new RingConsumer(memory));
  }

  hasPending(): boolean {
    return this.#rings.some((ring) => ring.pendingBytes() > 0);
  }

  /** Hands up to `countMax` reports of each shard to `visit`; returns how many. */
  poll(countMax: number, visit: (report: Report) => void): number {
    let count = 0;
    for (const ring of this.#rings) {
      for (let i = 0; i < countMax; i++) {
        const at = ring.poll();
        if (at < 0) break;
        visit(readReport(ring.bytes, at));
        count += 1;
      }
      ring.release();
    }
    return count;
  }
}
