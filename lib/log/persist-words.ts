/**
 * The shared words that `persist` writes, and the counts it keeps per batch. Asserts I0: assigned ≥
 * written ≥ durable.
 * @thread persist
 */
import { assert } from '../base/assert.ts';
import { distance } from '../base/units.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { Bell } from '../shared/bell.ts';
import type { CommitView } from '../shared/commit-cell.ts';
import type { PositionReader, PositionWriter, WideWriter } from '../shared/position.ts';
import { BallastState, type Words } from '../shared/regions.ts';
import { KIND_ACCOUNT, KIND_COMMIT, KIND_IDENTITY, KIND_SYNC } from '../wire/kinds.ts';
import { BATCH_HEADER_BYTES, RECORD_BYTES } from './descriptor.ts';
import type { Load } from './intake.ts';

export class PersistWords {
  readonly state: PositionWriter;
  readonly pauseCause: PositionWriter;
  readonly assigned: WideWriter;
  readonly written: WideWriter;
  /** This thread sleeps on it. */
  readonly bell: Bell;
  readonly #durable: WideWriter;
  readonly #beat: PositionWriter;
  readonly #stop: PositionReader;
  readonly #hold: PositionReader;
  readonly #ballast: PositionReader;
  readonly #wakeTail: PositionReader;
  readonly #main: Bell;
  readonly #shards: readonly Bell[];

  constructor(words: Words, shardCount: number) {
    this.state = words.writer('persistState');
    this.pauseCause = words.writer('pauseCause');
    this.assigned = words.wideWriter('assigned');
    this.written = words.wideWriter('written');
    this.bell = words.bell('bellPersist');
    this.#durable = words.wideWriter('durable');
    this.#beat = words.writer('beatPersist');
    this.#stop = words.reader('stop');
    this.#hold = words.reader('logHold');
    this.#ballast = words.reader('ballast');
    this.#wakeTail = words.reader('wakeTail');
    this.#main = words.bell('bellMain');
    this.#shards = Array.from({ length: shardCount }, (_, shard) => words.shardBell(shard));
  }

  beat(): void {
    this.#beat.publish((this.#beat.last() + 1) | 0);
  }

  /** Whether main keeps the room that is left for others. */
  isHeld(): boolean {
    return this.#hold.observe() !== 0;
  }

  /** Whether a ballast file stands between a full disk and what retention may do about it. */
  hasBallast(): boolean {
    const state = this.#ballast.observe();
    return state === BallastState.whole || state === BallastState.building;
  }

  isStopping(): boolean {
    return this.#stop.observe() !== 0;
  }

  /** Once per batch, from counts kept per event. */
  countLoad(metrics: MetricWriter, { batch, kindCounts: counts }: Load): void {
    metrics.add('relay_sequence_events_total:commit', counts[KIND_COMMIT]);
    metrics.add('relay_sequence_events_total:sync', counts[KIND_SYNC]);
    metrics.add('relay_sequence_events_total:identity', counts[KIND_IDENTITY]);
    metrics.add('relay_sequence_events_total:account', counts[KIND_ACCOUNT]);
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

  /**
   * Main has frames to send, unless it is gathering and wants more of them or a moment later;
   * verify threads have seqs to read back and room to write.
   */
  wakeForCommit(tailEnd: number): void {
    if (distance(tailEnd, this.#wakeTail.observe()) >= 0) this.#main.ring();
    for (const bell of this.#shards) bell.ring();
  }

  wakeAll(): void {
    this.#main.ring();
    for (const bell of this.#shards) bell.ring();
  }
}
