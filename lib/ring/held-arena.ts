/**
 * Where frames wait that cannot be judged yet (an account row is loading, a key is being resolved),
 * so that the ingest ring can go on. In shared memory: when the thread dies, its successor finds
 * them. One per shard, used by that shard's verify thread alone.
 *
 * A ring of ingest records with a state word in front; entries are finished in any order, and the
 * head moves over finished ones, so an old entry pins the space behind it: holds are bounded in
 * time, and a full arena stops the ingest ring (counted by the caller).
 *
 *   entry: i32 state (HELD | DONE) | i32 payloadBytes | ingest record as in ingest-record.ts
 * @thread verify
 */
import { distance } from '../base/units.ts';
import type { SharedMemory } from '../shared/memory.ts';
import { WordArray } from '../shared/word-array.ts';
import { RingConsumer } from './consumer.ts';
import { INGEST_NO } from './ingest-record.ts';
import { RingProducer } from './producer.ts';

const HELD = 1;
const DONE = 2;
const ENTRY_HEADER_BYTES = 8;

export class HeldArena {
  readonly bytes: Buffer;
  readonly capacityBytes: number;
  readonly #producer: RingProducer;
  readonly #head: RingConsumer;
  readonly #walker: RingConsumer;
  readonly #states: WordArray;
  #heldCount = 0;

  constructor(memory: SharedMemory) {
    this.#producer = new RingProducer(memory);
    this.#head = new RingConsumer(memory);
    this.#walker = new RingConsumer(memory);
    this.bytes = this.#producer.bytes;
    this.capacityBytes = this.#producer.capacityBytes;
    this.#states = new WordArray(memory, memory.byteLength - this.capacityBytes);
    this.forEachHeld(() => {
      this.#heldCount += 1;
    });
  }

  /** Frames waiting now. */
  get heldCount(): number {
    return this.#heldCount;
  }

  /** Bytes in use: waiting frames, and finished ones behind the oldest waiting one. */
  usedBytes(): number {
    return this.capacityBytes - this.#producer.freeBytes();
  }

  /** Copies an ingest record in. Returns its entry (an offset into `bytes`), or -1 when full. */
  hold(source: Buffer, start: number, end: number): number {
    const at = this.#producer.claim(ENTRY_HEADER_BYTES + end - start);
    if (at < 0) return -1;
    this.bytes.writeInt32LE(end - start, at + 4);
    source.copy(this.bytes, at + ENTRY_HEADER_BYTES, start, end);
    this.#states.store(at, HELD);
    this.#producer.commit();
    this.#heldCount += 1;
    return at;
  }

  /** Where the ingest record of an entry starts. */
  recordStart(entry: number): number {
    return entry + ENTRY_HEADER_BYTES;
  }

  recordBytes(entry: number): number {
    return this.bytes.readInt32LE(entry + 4);
  }

  /** Marks an entry as answered, and frees the space of all finished entries at the head. */
  finish(entry: number): void {
    this.#states.store(entry, DONE);
    this.#heldCount -= 1;
    this.trim();
  }

  /**
   * Frees the space of all finished entries at the head. For a successor whose predecessor ended
   * between the two, once nothing asks for finished entries any more.
   */
  trim(): void {
    for (;;) {
      const before = this.#head.position;
      const at = this.#head.poll();
      if (at < 0 || this.#states.load(at) !== DONE) {
        this.#head.seek(before);
        return;
      }
      this.#head.release();
    }
  }

  readIngestNo(entry: number): number {
    return this.bytes.readInt32LE(entry + ENTRY_HEADER_BYTES + INGEST_NO);
  }

  /** The oldest waiting entry, or -1: the head never stands on a finished one. */
  oldestHeld(): number {
    if (this.#heldCount === 0) return -1;
    this.#walker.seek(this.#head.position);
    return this.#walker.poll();
  }

  /** Calls with every waiting entry, oldest first. */
  forEachHeld(visit: (entry: number) => void): void {
    this.#forEach((entry) => {
      if (this.#states.load(entry) === HELD) visit(entry);
    });
  }

  /** Calls with every entry still in the arena, answered or not: a successor must know both. */
  forEachEntry(visit: (entry: number) => void): void {
    this.#forEach(visit);
  }

  #forEach(visit: (entry: number) => void): void {
    this.#walker.seek(this.#head.position);
    const end = this.#producer.position;
    while (distance(end, this.#walker.position) > 0) {
      const at = this.#walker.poll();
      if (at < 0) return;
      visit(at);
    }
  }
}
