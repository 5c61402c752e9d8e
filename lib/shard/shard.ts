/**
 * One verify thread's share of the accounts: takes frames from its ingest ring, judges them, sends
 * accepted events to `persist`, holds what cannot be judged yet, and follows what became durable.
 *
 *   ingest ring ─▶ judge ─┬▶ outbox (verified ring) ─▶ persist ─▶ commit cell ─▶ read back ─▶ rows
 *                         ├▶ rejected: counted, reported to main
 *                         └▶ held arena ─ row or identity arrives ─▶ judge
 *
 * Order of the steps in one pass matters to a successor: publish, then release the ring, and only
 * then read back. So an input whose event may have left the verified ring has left the ingest ring.
 * @thread verify
 */
import { crc32 } from 'node:zlib';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { errorText } from '../base/fault.ts';
import { MiB } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { REJECTS, type RejectCode, rejectIndex } from '../reject/codes.ts';
import type { RingConsumer } from '../ring/consumer.ts';
import { KIND_CONTROL } from '../ring/control-record.ts';
import type { HeldArena } from '../ring/held-arena.ts';
import { IngestRecord } from '../ring/ingest-record.ts';
import type { VerifiedMeta } from '../ring/verified-record.ts';
import type { CommitReader } from '../shared/commit-cell.ts';
import { CommitView } from '../shared/commit-cell.ts';
import type { PositionWriter } from '../shared/position.ts';
import { KIND_ACCOUNT, KIND_COMMIT, KIND_IDENTITY, KIND_SYNC, type Kind } from '../wire/kinds.ts';
import type { NormalFrame } from '../wire/normalize.ts';
import type { Account } from './account.ts';
import type { HoldCause, HoldQueue, Holds } from './holds.ts';
import type { HostCosts } from './host-costs.ts';
import type { Judge, Outcome } from './judge.ts';
import type { Outbox } from './outbox.ts';
import type { OwnEvent } from './own-event.ts';
import type { Quarantine } from './quarantine.ts';
import type { Reports } from './reports.ts';

const FRAMES_PER_PASS_MAX = 256;
const BYTES_PER_PASS_MAX = 4 * MiB;

const EVENT_METRICS = {
  [KIND_COMMIT]: 'relay_verify_events_total:commit',
  [KIND_SYNC]: 'relay_verify_events_total:sync',
  [KIND_IDENTITY]: 'relay_verify_events_total:identity',
  [KIND_ACCOUNT]: 'relay_verify_events_total:account',
} as const;

/** What differs between the events of one input. */
type EventMeta = Pick<VerifiedMeta, 'kind' | 'statusCode' | 'hostId' | 'hostSeq' | 'upstreamCrc'>;

export type ShardParts = {
  shard: number;
  clock: Clock;
  logger: Logger;
  metrics: MetricWriter;
  ingest: RingConsumer;
  arena: HeldArena;
  holds: Holds;
  outbox: Outbox;
  judge: Judge;
  reports: Reports;
  costs: HostCosts;
  quarantine: Quarantine;
  commit: CommitReader;
  /** ingestNo in hand, or 0. */
  processing: PositionWriter;
  /** Last ingestNo that was answered or held. */
  taken: PositionWriter;
  identityHoldMs: number;
  identityHoldBytesMax: number;
  dirtyCountMax: number;
  dirtyCount: () => number;
  cachedCount: () => number;
  isTrusted: (hostname: string) => boolean;
  /** Fetch the row of this DID; `rowArrived` follows. */
  wantAccount: (did: string) => void;
  onDirty: (account: Account) => void;
  /** The input that ended predecessors twice; quarantined when it comes by. */
  poisonNo: number;
  /** Test seam: called with each frame before it is judged. */
  onFrame?: ((frame: Buffer) => void) | undefined;
};

export class Shard {
  readonly #parts: ShardParts;
  readonly #record = new IngestRecord();
  readonly #commitView = new CommitView();
  #isArenaFull = false;
  #isBlocked = false;

  constructor(parts: ShardParts) {
    this.#parts = parts;
  }

  /** ingestNo of the oldest input that waits, or undefined. */
  oldestHeldNo(): number | undefined {
    const { arena } = this.#parts;
    const entry = arena.oldestHeld();
    if (entry < 0) return undefined;
    this.#record.read(arena.bytes, arena.recordStart(entry), arena.recordBytes(entry));
    return this.#record.ingestNo;
  }

  /** One pass of bounded work. Returns how many things were done; 0 means that it may sleep. */
  poll(): number {
    let work = this.#pollReady();
    work += this.#pollRing();
    work += this.readBack();
    this.#parts.costs.poll(this.#parts.clock.monoMs());
    this.#showGauges();
    return work;
  }

  /** Whether a pass would find something to do. Looked at between arming the bell and sleeping. */
  hasWork(): boolean {
    const { holds, ingest, commit } = this.#parts;
    if (commit.hasNew()) return true;
    if (this.#isBlocked) return false;
    if (holds.hasReady()) return true;
    const isReading = !this.#isArenaFull && !this.#isDirtyFull();
    return isReading && ingest.pendingBytes() > 0;
  }

  /** Too much state that PostgreSQL does not have yet: the ring waits, and so do the sockets. */
  #isDirtyFull(): boolean {
    return this.#parts.dirtyCount() > this.#parts.dirtyCountMax;
  }

  readBack(): number {
    const { commit, outbox, shard, onDirty } = this.#parts;
    if (!commit.read(this.#commitView)) return 0;
    const count = outbox.readBack(this.#commitView.heads[shard] as number, onDirty);
    if (count > 0) this.#isBlocked = false;
    return count;
  }

  /** Identity holds that have waited long enough are judged by what is known. */
  expireHolds(): void {
    const { holds, clock, identityHoldMs } = this.#parts;
    const nowMs = clock.monoMs();
    holds.forEachQueue((queue) => {
      if (queue.cause !== 'identity') return;
      if (nowMs - queue.identitySinceMs >= identityHoldMs) holds.markReady(queue);
    });
  }

  #pollReady(): number {
    const { holds } = this.#parts;
    let count = 0;
    for (;;) {
      const queue = holds.takeReady();
      if (queue === undefined) break;
      count += this.#drain(queue, FRAMES_PER_PASS_MAX - count);
      // It goes on in a later pass.
      if (queue.isReady) break;
    }
    return count;
  }

  /** Judges the frames of one queue, in order, until one has to wait again or it is enough. */
  #drain(queue: HoldQueue, countMax: number): number {
    const { arena, holds, clock, identityHoldMs } = this.#parts;
    let count = 0;
    let bytesLeft = BYTES_PER_PASS_MAX;
    let sinceMs: number = clock.monoMs();
    while (queue.count > 0) {
      if (count >= countMax || bytesLeft <= 0) {
        holds.markReady(queue);
        return count;
      }
      const entry = queue.entries[queue.next] as number;
      const start = arena.recordStart(entry);
      const bytes = arena.recordBytes(entry);
      this.#record.read(arena.bytes, start, bytes);
      const waitedMs = sinceMs - queue.identitySinceMs;
      const isLastChance = queue.identitySinceMs > 0 && waitedMs >= identityHoldMs;
      const cause = this.#answer(arena.bytes, isLastChance);
      sinceMs = this.#charge(sinceMs);
      if (cause === 'blocked') {
        holds.markReady(queue);
        return count;
      }
      if (cause !== undefined) {
        this.#waitFor(queue, cause);
        return count;
      }
      holds.finishFirst(queue);
      this.#isArenaFull = false;
      bytesLeft -= bytes;
      count += 1;
    }
    if (queue.account !== null) queue.account.isHeld = false;
    return count;
  }

  #waitFor(queue: HoldQueue, cause: HoldCause): void {
    const { judge, clock, metrics, wantAccount, holds } = this.#parts;
    metrics.add(`relay_verify_holds_total:${cause}`);
    holds.setCause(queue, cause);
    queue.account = judge.account ?? null;
    if (queue.account !== null) queue.account.isHeld = true;
    if (cause === 'state') {
      queue.identitySinceMs = 0;
      wantAccount(queue.did);
    } else if (queue.identitySinceMs === 0) queue.identitySinceMs = clock.monoMs();
  }

  #pollRing(): number {
    const { ingest } = this.#parts;
    if (this.#isBlocked || this.#isDirtyFull()) return 0;
    let count = 0;
    let bytes = 0;
    let takenNo = 0;
    let sinceMs: number = this.#parts.clock.monoMs();
    while (count < FRAMES_PER_PASS_MAX && bytes < BYTES_PER_PASS_MAX) {
      const before = ingest.position;
      const at = ingest.poll();
      if (at < 0) break;
      this.#record.read(ingest.bytes, at, ingest.payloadBytes);
      const isTaken = this.#take(ingest.bytes, at, ingest.payloadBytes);
      sinceMs = this.#charge(sinceMs);
      if (!isTaken) {
        // Full somewhere behind us: the frame stays in the ring, and the ring stops the sockets.
        ingest.seek(before);
        break;
      }
      takenNo = this.#record.ingestNo;
      bytes += ingest.payloadBytes;
      count += 1;
    }
    if (count > 0) {
      // Before the release: a successor that reads these again skips them by their answers.
      this.#parts.taken.publish(takenNo);
      ingest.release();
    }
    return count;
  }

  /** The host of the input in `#record` pays for the time since `sinceMs`; returns the time now. */
  #charge(sinceMs: number): number {
    const { clock, costs } = this.#parts;
    const nowMs = clock.monoMs();
    costs.addTime(this.#record.hostId, nowMs - sinceMs);
    return nowMs;
  }

  /** Answers or holds the input in `#record`; false when there is no room for it. */
  #take(source: Buffer, start: number, bytes: number): boolean {
    const cause = this.#answer(source, false);
    if (cause === 'blocked') return false;
    return cause === undefined || this.#hold(cause, source, start, start + bytes);
  }

  #hold(cause: HoldCause, source: Buffer, start: number, end: number): boolean {
    const { holds, judge, metrics, identityHoldBytesMax } = this.#parts;
    const did = judge.view.did;
    const waiting = holds.find(did);
    // Frames that wait for keys must not take the room of those that wait for rows.
    const isForKey = (waiting?.cause ?? cause) === 'identity';
    if (isForKey && holds.identityBytes + (end - start) > identityHoldBytesMax) {
      this.#reject(source, 'identity_hold_full');
      return true;
    }
    const queue = holds.hold(did, waiting?.cause ?? cause, source, start, end);
    if (queue === undefined) {
      if (!this.#isArenaFull) metrics.add('relay_verify_arena_full_total');
      this.#isArenaFull = true;
      return false;
    }
    if (waiting === undefined) this.#waitFor(queue, cause);
    else metrics.add('relay_verify_holds_total:behind');
    return true;
  }

  /**
   * Judges the input in `#record` and publishes or counts the answer. Returns what it must wait
   * for instead, or `blocked` when the verified ring has no room for its event.
   */
  #answer(source: Buffer, isLastChance: boolean): HoldCause | 'blocked' | undefined {
    const { outbox, judge, holds, metrics, processing } = this.#parts;
    const record = this.#record;
    const frameBytes = record.frameEnd - record.frameStart;
    if (!outbox.hasRoom(frameBytes)) {
      if (!this.#isBlocked) metrics.add('relay_ring_verified_full_total');
      this.#isBlocked = true;
      return 'blocked';
    }
    if (record.ingestNo === this.#parts.poisonNo) {
      this.#quarantine(source, 'verify_quarantined');
      return undefined;
    }
    const frame = source.subarray(record.frameStart, record.frameEnd);
    processing.publish(record.ingestNo);
    const outcome = this.#judge(frame, isLastChance, holds, judge);
    // Before an event of our own leaves: a successor that finds it asks no more about the input.
    if (outcome === 'rejected') this.#reject(source, judge.code);
    const isFinal = outcome !== 'hold_state' && outcome !== 'hold_identity';
    if (isFinal) this.#publish(frame, outcome);
    processing.publish(0);
    if (outcome === 'hold_state') return 'state';
    return outcome === 'hold_identity' ? 'identity' : undefined;
  }

  #judge(frame: Buffer, isLastChance: boolean, holds: Holds, judge: Judge): Outcome {
    const record = this.#record;
    this.#parts.onFrame?.(frame);
    if (record.kind === KIND_CONTROL) return this.#decide(frame, holds, judge);
    try {
      const bad = judge.decode(frame, record.kind as Kind);
      if (bad !== undefined) {
        judge.code = bad;
        return 'rejected';
      }
      // Behind earlier frames of the same DID that wait: order first.
      const waiting = holds.find(judge.view.did);
      const isBehind = waiting !== undefined && !this.#isFirstOf(waiting);
      if (isBehind) return waiting.cause === 'state' ? 'hold_state' : 'hold_identity';
      return judge.judge(frame, record, isLastChance);
    } catch (error) {
      // Our own bug, met on this frame: keep it, say so, go on with the next one (G12).
      const fields = { host: record.hostname, hostSeq: record.hostSeq, error: errorText(error) };
      this.#parts.logger.error(fields, 'the verifier failed on a frame');
      judge.code = 'verify_failed';
      judge.own.clear();
      this.#keep(frame, 'verify_failed');
      return 'rejected';
    }
  }

  /**
   * A decision waits for the account's row only: what waits for a key may wait long, and is judged
   * by it when its turn comes.
   */
  #decide(payload: Buffer, holds: Holds, judge: Judge): Outcome {
    judge.decodeControl(payload);
    const waiting = holds.find(judge.view.did);
    const isBehind = waiting?.cause === 'state' && !this.#isFirstOf(waiting);
    return isBehind ? 'hold_state' : judge.decide();
  }

  /** Whether the input in `#record` is the oldest that waits in the queue. */
  #isFirstOf(queue: HoldQueue): boolean {
    const { arena } = this.#parts;
    const entry = queue.entries[queue.next];
    return entry !== undefined && arena.readIngestNo(entry) === this.#record.ingestNo;
  }

  /** All events of the input leave with one store. */
  #publish(frame: Buffer, outcome: Outcome): void {
    const { judge, outbox } = this.#parts;
    if (judge.own.isSet) this.#addOwn(judge.own);
    if (outcome === 'accepted') this.#addEvent(frame);
    if (judge.own.isSet || outcome === 'accepted') outbox.publishAdded();
  }

  #addEvent(frame: Buffer): void {
    const { judge, outbox, metrics, costs } = this.#parts;
    const record = this.#record;
    const account = judge.account;
    assert(account !== undefined, 'accepted without an account');
    const { normal, statusCode } = judge;
    const upstreamCrc = crc32(frame);
    const { hostId, hostSeq } = record;
    const meta = this.#metaOf(normal, {
      kind: record.kind,
      statusCode,
      hostId,
      hostSeq,
      upstreamCrc,
    });
    outbox.add(meta, normal.bytes, account, account.live);
    metrics.add(EVENT_METRICS[record.kind as Kind]);
    metrics.add('relay_verify_bytes_total', frame.length);
    costs.addMarks(record.hostId, judge.marks);
  }

  #addOwn(own: OwnEvent): void {
    const { judge, outbox, metrics } = this.#parts;
    const account = judge.account;
    assert(account !== undefined, 'an event of our own without an account');
    const { statusCode, state, frame } = own;
    // No host sent it, and none will send it again.
    const fromUs = { hostSeq: 0, upstreamCrc: 0, hostId: state.hostId };
    const meta = this.#metaOf(frame, { kind: KIND_ACCOUNT, statusCode, ...fromUs });
    outbox.add(meta, frame.bytes, account, state);
    metrics.add(`relay_verify_own_events_total:${own.cause}`);
  }

  #metaOf(frame: NormalFrame, about: EventMeta): VerifiedMeta {
    const { ingestNo, didHashLo, didHashHi, arrivalMs } = this.#record;
    const { seqStart, seqEnd } = frame;
    return { ...about, ingestNo, didHashLo, didHashHi, arrivalMs, seqStart, seqEnd };
  }

  #reject(source: Buffer, code: RejectCode, did = this.#parts.judge.view.did): void {
    const { metrics, reports, isTrusted } = this.#parts;
    const record = this.#record;
    metrics.addReject(code, isTrusted(record.hostname) ? 'trusted' : 'normal');
    const frame = source.subarray(record.frameStart, record.frameEnd);
    reports.reject({
      kind: 'reject',
      hostId: record.hostId,
      codeIndex: rejectIndex(code),
      hostSeq: record.hostSeq,
      crc: REJECTS[code].action === 'drop' ? 0 : crc32(frame),
      did,
    });
  }

  #quarantine(source: Buffer, code: RejectCode): void {
    const frame = source.subarray(this.#record.frameStart, this.#record.frameEnd);
    this.#keep(frame, code);
    // Its DID is not known: decoding it may be what ended the threads.
    this.#reject(source, code, '');
  }

  #keep(frame: Buffer, reason: string): void {
    const { quarantine, clock, metrics } = this.#parts;
    const { hostname, hostSeq } = this.#record;
    const about = { hostname, hostSeq, reason, epochMs: clock.epochMs() };
    if (quarantine.keep(about, frame)) metrics.add('relay_verify_quarantined_frames_total');
  }

  #showGauges(): void {
    const { metrics, holds, outbox, dirtyCount, cachedCount } = this.#parts;
    metrics.set('relay_accounts_cached_count', cachedCount());
    metrics.set('relay_verify_held_frames', holds.count);
    metrics.set('relay_verify_held_bytes', holds.usedBytes());
    metrics.set('relay_ring_verified_used_bytes', outbox.usedBytes());
    metrics.set('relay_accounts_dirty_count', dirtyCount());
  }
}
