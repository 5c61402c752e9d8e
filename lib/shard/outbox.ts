/**
 * The way out of a verify thread: accepted events into the verified ring, and, once `persist` has
 * made them durable, their seq back out of it, so that account state may be written.
 *
 *   written by this thread:   tail (published events), head (read back: `persist` and we are done)
 *   written by persist:       heads[shard] in the commit cell (durable), seq in each record
 *
 * Every record has one effect, in the same order: the account's state after that event. An input
 * may have several events (one of our own, then its own); all of them leave with one store, so that
 * a successor finds all or none.
 * @thread verify
 */
import { assert } from '../base/assert.ts';
import { distance } from '../base/units.ts';
import { RingConsumer } from '../ring/consumer.ts';
import { recordBytes } from '../ring/descriptor.ts';
import { RingProducer } from '../ring/producer.ts';
import {
  SEQ_REFUSED,
  VERIFIED_HEADER_BYTES,
  type VerifiedMeta,
  VerifiedRecord,
  writeVerifiedHeader,
} from '../ring/verified-record.ts';
import type { Bell } from '../shared/bell.ts';
import type { SharedMemory } from '../shared/memory.ts';
import { DID_BYTES_MAX } from '../wire/fields.ts';
import { type Account, copyState, emptyState, type RepoState } from './account.ts';

/** What normalising may add to a frame at most (missing required fields), with room to spare. */
const GROWTH_BYTES = 256;
/** An event of our own beside it: its DID, which the input has too, and all the rest. */
const OWN_BYTES_MAX = 512;

type Effect = { account: Account | null; readonly state: RepoState };

export class Outbox {
  readonly #producer: RingProducer;
  readonly #reader: RingConsumer;
  readonly #record = new VerifiedRecord();
  readonly #persistBell: Bell;
  readonly #effects: Effect[] = [];
  readonly #free: Effect[] = [];
  #effectHead = 0;

  constructor(memory: SharedMemory, persistBell: Bell) {
    this.#producer = new RingProducer(memory);
    this.#reader = new RingConsumer(memory);
    this.#persistBell = persistBell;
  }

  /** Position after the last event that was published. */
  get position(): number {
    return this.#producer.position;
  }

  /** Position below which every event was read back. */
  get readBackPosition(): number {
    return this.#reader.position;
  }

  get pendingCount(): number {
    return this.#effects.length - this.#effectHead;
  }

  usedBytes(): number {
    return this.#producer.capacityBytes - this.#producer.freeBytes();
  }

  /**
   * Whether the events of an input of `frameBytes` are sure to find room: one made of its frame,
   * and one #account of our own. Twice the larger, as a record is never split at the ring's end.
   */
  hasRoom(frameBytes: number): boolean {
    const own = Math.min(frameBytes, DID_BYTES_MAX) + OWN_BYTES_MAX;
    const need =
      2 * recordBytes(frameBytes + GROWTH_BYTES + VERIFIED_HEADER_BYTES) +
      recordBytes(own + VERIFIED_HEADER_BYTES);
    return this.#producer.freeBytes() >= need;
  }

  /**
   * Adds one event of an input; `state` is the account's after it. Nobody sees it before
   * `publishAdded`. The caller has asked `hasRoom`.
   */
  add(meta: VerifiedMeta, frame: Buffer, account: Account, state: Readonly<RepoState>): void {
    const at = this.#producer.claim(VERIFIED_HEADER_BYTES + frame.length);
    assert(at >= 0, 'verified ring full after hasRoom');
    const to = writeVerifiedHeader(this.#producer.bytes, at, meta);
    frame.copy(this.#producer.bytes, to);
    this.#push(account, state);
  }

  /** Publishes all that was added, with one store. */
  publishAdded(): void {
    this.#producer.commit();
    this.#persistBell.ring();
  }

  #push(account: Account, state: Readonly<RepoState>): void {
    const effect = this.#free.pop() ?? { account: null, state: emptyState() };
    effect.account = account;
    copyState(state, effect.state);
    this.#effects.push(effect);
    account.pendingCount += 1;
  }

  /**
   * Takes back everything durable; `durableHead` comes from the commit cell. Calls `onDurable` with
   * each account whose durable state is newer now. Returns how many events it was.
   */
  readBack(durableHead: number, onDurable: (account: Account) => void): number {
    let count = 0;
    while (distance(durableHead, this.#reader.position) > 0) {
      const at = this.#reader.poll();
      assert(at >= 0, 'commit beyond what was published');
      this.#record.read(this.#reader.bytes, at, this.#reader.payloadBytes);
      this.#apply(this.#record.seq, onDurable);
      count += 1;
    }
    if (count > 0) this.#reader.release();
    return count;
  }

  #apply(seq: number, onDurable: (account: Account) => void): void {
    const effect = this.#effects[this.#effectHead];
    assert(effect !== undefined && effect.account !== null, 'durable event without an effect');
    const account = effect.account;
    this.#effectHead += 1;
    account.pendingCount -= 1;
    // Refused: `persist` has counted it, and nothing became durable.
    if (seq !== SEQ_REFUSED) {
      assert(seq > 0, 'durable event without a seq');
      copyState(effect.state, account.durable);
      account.seq = Math.max(account.seq, seq);
      account.isDirty = true;
      onDurable(account);
    }
    effect.account = null;
    this.#free.push(effect);
    // Amortised: the array is cut when half of it is behind us.
    if (this.#effectHead > 1024 && this.#effectHead * 2 > this.#effects.length) {
      this.#effects.splice(0, this.#effectHead);
      this.#effectHead = 0;
    }
  }

  /** For a successor: visits every event published and not read back; changes nothing. */
  forEachUnread(
    durableHead: number,
    visit: (record: VerifiedRecord, bytes: Buffer, isDurable: boolean) => void,
  ): void {
    const start = this.#reader.position;
    while (distance(this.#producer.position, this.#reader.position) > 0) {
      const isDurable = this.#pollUnread(durableHead);
      visit(this.#record, this.#reader.bytes, isDurable);
    }
    this.#reader.seek(start);
  }

  /**
   * For a successor: gives back what is durable at `durableHead` (the log has it), and restores
   * the effects of the other events; `visit` applies each to its account and returns that.
   */
  restore(durableHead: number, visit: (record: VerifiedRecord, bytes: Buffer) => Account): void {
    while (distance(this.#producer.position, this.#reader.position) > 0) {
      const isDurable = this.#pollUnread(durableHead);
      if (isDurable) this.#reader.release();
      else {
        const account = visit(this.#record, this.#reader.bytes);
        this.#push(account, account.live);
      }
    }
    this.#reader.seek(this.#reader.releasedPosition());
  }

  /** Reads the next event; whether the commit cell covers it. */
  #pollUnread(durableHead: number): boolean {
    const at = this.#reader.poll();
    assert(at >= 0, 'verified ring ends early');
    this.#record.read(this.#reader.bytes, at, this.#reader.payloadBytes);
    return distance(durableHead, this.#reader.position) >= 0;
  }
}
