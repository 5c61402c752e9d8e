/**
 * From the verified rings to the next batch: takes what the verify threads have accepted, one
 * record of each ring in turn, gives each its seq and writes it out as its wire frame.
 * Knows nothing of files: what it fills may still be in memory when the batch before it is synced.
 * @thread persist
 */
import type { MetricWriter } from '../metrics/slots.ts';
import type { RingConsumer } from '../ring/consumer.ts';
import { SEQ_REFUSED, VERIFIED_SEQ, VerifiedRecord } from '../ring/verified-record.ts';
import type { Sequencer } from '../sequence/sequencer.ts';
import { SHARDS_MAX } from '../shared/commit-cell.ts';
import { Batch } from './batch.ts';
import { KIND_MAX, RecordRow } from './descriptor.ts';

/** A batch, and how far the rings are done with once it is durable. */
export class Load {
  readonly batch = new Batch();
  /** Per shard: position behind the last record in, or refused before, this batch. */
  readonly heads = new Int32Array(SHARDS_MAX);
  readonly kindCounts = new Array<number>(KIND_MAX + 1).fill(0);
  /** Seq of the first record. */
  firstSeq = 0;
  /** Records were refused: their place in the ring is to be given back also without a batch. */
  hasRefused = false;

  clear(): void {
    this.batch.clear();
    this.kindCounts.fill(0);
    this.hasRefused = false;
  }
}

export type IntakeParts = {
  /** Verified ring of each shard. */
  readonly rings: readonly RingConsumer[];
  readonly sequencer: Sequencer;
  readonly metrics: MetricWriter;
};

type Take = 'taken' | 'empty' | 'full';

export class Intake {
  readonly #parts: IntakeParts;
  readonly #row = new RecordRow();
  readonly #record = new VerifiedRecord();
  #nextRing = 0;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  /** Last seq that was given. */
  get assignedSeq(): number {
    return this.#parts.sequencer.nextSeq - 1;
  }

  /** Bytes that wait in the rings. */
  backlogBytes(): number {
    let bytes = 0;
    for (const ring of this.#parts.rings) bytes += ring.pendingBytes();
    return bytes;
  }

  /** Fills an empty load with what is there. */
  fill(load: Load): void {
    const { rings, sequencer } = this.#parts;
    load.firstSeq = sequencer.nextSeq;
    let emptyCount = 0;
    let at = this.#nextRing;
    while (emptyCount < rings.length) {
      const ring = rings[at];
      const take = ring === undefined ? 'empty' : this.#take(ring, load);
      if (take === 'full') break;
      emptyCount = take === 'empty' ? emptyCount + 1 : 0;
      at = (at + 1) % rings.length;
    }
    this.#nextRing = at;
    this.noteHeads(load);
  }

  /** Nothing before the present positions is wanted any more, once `load` is durable. */
  noteHeads(load: Load): void {
    const { rings } = this.#parts;
    for (let i = 0; i < rings.length; i++) load.heads[i] = rings[i]?.position ?? 0;
  }

  #take(ring: RingConsumer, load: Load): Take {
    const { sequencer, metrics } = this.#parts;
    const { batch } = load;
    const before = ring.position;
    const at = ring.poll();
    if (at < 0) return 'empty';
    const record = this.#record;
    record.read(ring.bytes, at, ring.payloadBytes);
    const frameBytes = sequencer.wireBytes(record);
    if (frameBytes === 0) {
      ring.bytes.writeDoubleLE(SEQ_REFUSED, at + VERIFIED_SEQ);
      metrics.addReject('wire_output_too_large');
      load.hasRefused = true;
      return 'taken';
    }
    if (!batch.hasRoom(frameBytes)) {
      ring.seek(before);
      return 'full';
    }
    const seq = sequencer.write(ring.bytes, record, batch.frames, batch.framesBytes);
    // A plain store: the verify thread reads it after it has seen the commit.
    ring.bytes.writeDoubleLE(seq, at + VERIFIED_SEQ);
    const row = this.#row;
    row.frameBytes = frameBytes;
    row.kind = record.kind;
    row.statusCode = record.statusCode;
    row.hostId = record.hostId;
    row.upstreamCrc = record.upstreamCrc;
    row.didHashLo = record.didHashLo;
    row.didHashHi = record.didHashHi;
    row.hostSeq = record.hostSeq;
    row.arrivalMs = record.arrivalMs;
    batch.add(row);
    load.kindCounts[record.kind] = (load.kindCounts[record.kind] ?? 0) + 1;
    return 'taken';
  }
}
