/**
 * Which frames of the shard wait, and for what. Frames of one DID wait in one queue, in order; the
 * bytes lie in the shared arena, this only knows the entries.
 * @thread verify
 */
import type { HeldArena } from '../ring/held-arena.ts';
import type { Account } from './account.ts';

export type HoldCause = 'state' | 'identity';

export class HoldQueue {
  readonly did: string;
  cause: HoldCause;
  /** The account, once it is loaded. */
  account: Account | null = null;
  /** Monotonic time of the first identity hold; judged by the old document after the limit. */
  identitySinceMs = 0;
  readonly entries: number[] = [];
  next = 0;
  /** Of all frames that wait in it. */
  bytes = 0;
  isReady = false;

  constructor(did: string, cause: HoldCause) {
    this.did = did;
    this.cause = cause;
  }

  get count(): number {
    return this.entries.length - this.next;
  }
}

export class Holds {
  readonly #arena: HeldArena;
  readonly #byDid = new Map<string, HoldQueue>();
  readonly #ready: HoldQueue[] = [];
  #identityBytes = 0;

  constructor(arena: HeldArena) {
    this.#arena = arena;
  }

  get count(): number {
    return this.#arena.heldCount;
  }

  get queueCount(): number {
    return this.#byDid.size;
  }

  /** Bytes in use: waiting frames, and the room that they pin. */
  usedBytes(): number {
    return this.#arena.usedBytes();
  }

  /** Bytes of frames that wait for a key. */
  get identityBytes(): number {
    return this.#identityBytes;
  }

  /** The queue waits for something else from now on. */
  setCause(queue: HoldQueue, cause: HoldCause): void {
    if (queue.cause === 'identity') this.#identityBytes -= queue.bytes;
    queue.cause = cause;
    if (queue.cause === 'identity') this.#identityBytes += queue.bytes;
  }

  find(did: string): HoldQueue | undefined {
    return this.#byDid.size === 0 ? undefined : this.#byDid.get(did);
  }

  /** Copies the record behind what already waits for this DID; undefined when the arena is full. */
  hold(did: string, cause: HoldCause, source: Buffer, start: number, end: number) {
    const entry = this.#arena.hold(source, start, end);
    if (entry < 0) return undefined;
    return this.adopt(did, cause, entry);
  }

  /** Queues an entry that is in the arena already (a predecessor's). */
  adopt(did: string, cause: HoldCause, entry: number): HoldQueue {
    let queue = this.#byDid.get(did);
    if (queue === undefined) {
      queue = new HoldQueue(did, cause);
      this.#byDid.set(did, queue);
    }
    queue.entries.push(entry);
    this.#addBytes(queue, this.#arena.recordBytes(entry));
    return queue;
  }

  /** What a queue waited for is there: it will be judged again. */
  markReady(queue: HoldQueue): void {
    if (queue.isReady) return;
    queue.isReady = true;
    this.#ready.push(queue);
  }

  hasReady(): boolean {
    return this.#ready.length > 0;
  }

  takeReady(): HoldQueue | undefined {
    const queue = this.#ready.shift();
    if (queue !== undefined) queue.isReady = false;
    return queue;
  }

  /** The oldest entry of a queue has been answered. */
  finishFirst(queue: HoldQueue): void {
    const entry = queue.entries[queue.next];
    if (entry === undefined) return;
    queue.next += 1;
    this.#addBytes(queue, -this.#arena.recordBytes(entry));
    this.#arena.finish(entry);
    if (queue.count === 0) this.#byDid.delete(queue.did);
  }

  #addBytes(queue: HoldQueue, bytes: number): void {
    queue.bytes += bytes;
    if (queue.cause === 'identity') this.#identityBytes += bytes;
  }

  forEachQueue(visit: (queue: HoldQueue) => void): void {
    for (const queue of this.#byDid.values()) visit(queue);
  }
}
