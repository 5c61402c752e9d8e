/**
 * What the hosts have sent against what the consumer got, in memory that only grows with what is
 * under way. An event is known by its bytes without the value of `seq`: the relay puts its own.
 */
import { createHash } from 'node:crypto';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { Latencies } from './latencies.ts';

/** Forgeries that are remembered, the newest. */
const FORGED_MAX = 10_000;

type Waiting = { count: number; readonly sentMs: number };

const peeked = new Peek();
const view = new EventView();

export class Ledger {
  readonly latencies = new Latencies();
  sentCount = 0;
  receivedCount = 0;
  forgedCount = 0;
  /** Forgeries that reached the consumer. */
  passedCount = 0;
  /** Events that came once more, or that nobody has sent. */
  doubledCount = 0;
  /** Times `seq` was not one more than before. */
  gapCount = 0;
  lastSeq = 0;
  readonly #waiting = new Map<string, Waiting>();
  readonly #forged = new Set<string>();

  /** Events that the consumer has not got yet. */
  get waitingCount(): number {
    return this.sentCount - (this.receivedCount - this.passedCount - this.doubledCount);
  }

  /** For how long the oldest of them has been under way. */
  waitedMs(nowMs: number): number {
    for (const { sentMs } of this.#waiting.values()) return nowMs - sentMs;
    return 0;
  }

  onSent(frame: Buffer, nowMs: number): void {
    this.sentCount += 1;
    const { digest } = read(frame);
    const same = this.#waiting.get(digest);
    if (same === undefined) this.#waiting.set(digest, { count: 1, sentMs: nowMs });
    else same.count += 1;
  }

  onForged(frame: Buffer): void {
    this.forgedCount += 1;
    this.#forged.add(read(frame).digest);
    if (this.#forged.size <= FORGED_MAX) return;
    for (const oldest of this.#forged.values()) {
      this.#forged.delete(oldest);
      return;
    }
  }

  /** An event of the relay's stream. */
  onReceived(frame: Buffer, nowMs: number): void {
    this.receivedCount += 1;
    const { seq, digest } = read(frame);
    if (this.lastSeq > 0 && seq !== this.lastSeq + 1) this.gapCount += 1;
    this.lastSeq = seq;
    const waiting = this.#waiting.get(digest);
    if (waiting === undefined) {
      if (this.#forged.has(digest)) this.passedCount += 1;
      else this.doubledCount += 1;
      return;
    }
    this.latencies.add(nowMs - waiting.sentMs);
    waiting.count -= 1;
    if (waiting.count === 0) this.#waiting.delete(digest);
  }
}

/** The frame without its `seq`, as a digest; what does not decode has none and is taken whole. */
function read(frame: Buffer): { readonly seq: number; readonly digest: string } {
  const hash = createHash('sha1');
  const isEvent = peek(frame, peeked) === 'event';
  if (!isEvent || decodeEvent(frame, peeked.kind, view) !== undefined) {
    return { seq: 0, digest: hash.update(frame).digest('base64') };
  }
  hash.update(frame.subarray(0, view.seqStart)).update(frame.subarray(view.seqEnd));
  return { seq: view.hostSeq, digest: hash.digest('base64') };
}
