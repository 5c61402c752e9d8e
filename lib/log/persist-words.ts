/**
 * The shared words that `persist` writes, and the counts it keeps per batch. Asserts I0: assigned ≥
 * written ≥ durable.
 * @thread persist
 */
import { assert } from '../base/assert.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { Bell } from '../shared/bell.ts';
import type { CommitView } from '../shared/commit-cell.ts';
import type { PositionReader, PositionWriter, WideWriter } from '../shared/position.ts';
import type { Words } from '../shared/regions.ts';
import { KIND_ACCOUNT, KIND_COMMIT, KIND_IDENTITY, KIND_SYNC } from '../wire/kinds.ts';
import type { Batch } from './batch.ts';
import { BATCH_HEADER_BYTES, KIND_MAX, RECORD_BYTES } from './descriptor.ts';

export class PersistWords {
  readonly state: PositionWriter;
  readonly assigned: WideWriter;
  readonly written: WideWriter;
  /** This thread sleeps on it. */
  readonly bell: Bell;
  readonly #durable: WideWriter;
  readonly #beat: PositionWriter;
  readonly #stop: PositionReader;
  readonly #wake: readonly Bell[];
  readonly #kindCounts = new Array<number>(KIND_MAX + 1).fill(0);

  constructor(words: Words, shardCount: number) {
    this.state = words.writer('persistState');
    this.assigned = words.wideWriter('assigned');
    this.written = words.wideWriter('written');
    this.bell = words.bell('bellPersist');
    this.#durable = words.wideWriter('durable');
    this.#beat = words.writer('beatPersist');
    this.#stop = words.reader('stop');
    const shards = Array.from({ length: shardCount }, (_, shard) => words.shardBell(shard));
    this.#wake = [words.bell('bellMain'), ...shards];
  }

  beat(): void {
    this.#beat.publish((this.#beat.last() + 1) | 0);
  }

  isStopping(): boolean {
    return this.#stop.observe() !== 0;
  }

  countKind(kind: number): void {
    this.#kindCounts[kind] = (this.#kindCounts[kind] ?? 0) + 1;
  }

  /** Once per batch, from counts kept per event. */
  countBatch(metrics: MetricWriter, batch: Batch): void {
    const counts = this.#kindCounts;
    metrics.add('relay_sequence_events_total:commit', counts[KIND_COMMIT]);
    metrics.add('relay_sequence_events_total:sync', counts[KIND_SYNC]);
    metrics.add('relay_sequence_events_total:identity', counts[KIND_IDENTITY]);
    metrics.add('relay_sequence_events_total:account', counts[KIND_ACCOUNT]);
    counts.fill(0);
    metrics.add('relay_log_batches_total');
    metrics.add('relay_log_batch_events_total', batch.count);
    const tableBytes = BATCH_HEADER_BYTES + batch.count * RECORD_BYTES;
    metrics.add('relay_log_bytes_total', tableBytes + batch.framesBytes);
  }

  /** After the commit cell shows it. */
  publishDurable(metrics: MetricWriter, view: CommitView): void {
    this.#durable.publish(view.lastSeq);
    const assigned = this.assigned.last();
    const written = this.written.last();
    assert(assigned >= written && written >= view.lastSeq, 'I0: assigned ≥ written ≥ durable');
    metrics.set('relay_log_assigned_seq', assigned);
    metrics.set('relay_log_written_seq', written);
    metrics.set('relay_log_durable_seq', view.lastSeq);
    metrics.set('relay_log_active_bytes', view.byteEnd);
  }

  /** Main has frames to send, verify threads have seqs to read back and room to write. */
  wakeAll(): void {
    for (const bell of this.#wake) bell.ring();
  }
}
