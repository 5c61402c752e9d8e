/**
 * What the log has already of each host above its stored cursor, so that a replay after kill -9
 * doubles nothing (G9, design §3). Built once at boot from the log; a host's list goes as soon as
 * the host is past it. Knows neither the log nor the verifier. Bounded: a host whose events do not
 * fit has no list, which is counted, and its replay is judged like anything new.
 *
 * On a frame of a host with a list:
 *   above the last seq of the list              list dropped      → pass
 *   seq in the list, same checksum              it is in the log  → skip
 *   seq in the list, other checksum             host renumbered   → list dropped, pass
 *   seq absent, a later one of that DID in it   was rejected then → late (never judged again
 *                                               against the account's newer state)
 *   otherwise                                                     → pass
 * @thread main
 */
import { SeqTable } from './seq-table.ts';

export type ReplayVerdict = 'pass' | 'skip' | 'late' | 'renumbered';

type Known = {
  readonly events: SeqTable;
  readonly lastSeqOfDid: Map<number, number>;
  /** The host's stored cursor: nothing at or below it is kept. */
  readonly cursor: number;
};

/** 53 of the 64 bits of a DID hash, as a number that is a cheap map key. */
function didKey(didLo: number, didHi: number): number {
  return (didHi & 0x1f_ffff) * 2 ** 32 + (didLo >>> 0);
}

export class ReplayFilter {
  readonly #entriesMax: number;
  readonly #lists = new Map<number, Known>();
  /** Hosts whose events did not fit. */
  readonly #overflowed = new Set<number>();
  #entryCount = 0;

  constructor(options: { readonly entriesMax: number }) {
    this.#entriesMax = options.entriesMax;
  }

  /** Events held now, over all hosts. */
  get entryCount(): number {
    return this.#entryCount;
  }

  /** Hosts that could not be given a list because it would not fit. */
  get overflowedCount(): number {
    return this.#overflowed.size;
  }

  has(hostId: number): boolean {
    return this.#lists.has(hostId);
  }

  /**
   * Adds one event of the log, in any order. `cursor` is the host's stored one (`null` where it
   * has none); events at or below it are left out, the host will not send them again.
   */
  add(
    hostId: number,
    cursor: number | null,
    event: { hostSeq: number; upstreamCrc: number; didHashLo: number; didHashHi: number },
  ): void {
    const from = cursor ?? Number.NEGATIVE_INFINITY;
    if (event.hostSeq <= from || this.#overflowed.has(hostId)) return;
    if (this.#entryCount >= this.#entriesMax) {
      this.#overflowed.add(hostId);
      this.forget(hostId);
      return;
    }
    const list = this.#lists.get(hostId) ?? emptyList(from);
    this.#lists.set(hostId, list);
    list.events.add(event.hostSeq, event.upstreamCrc >>> 0);
    const key = didKey(event.didHashLo, event.didHashHi);
    if (event.hostSeq > (list.lastSeqOfDid.get(key) ?? 0)) {
      list.lastSeqOfDid.set(key, event.hostSeq);
    }
    this.#entryCount++;
  }

  /** Judges one frame. `crcOf` is called only when the seq is in the list. */
  judge(
    hostId: number,
    hostSeq: number,
    didHash: { readonly lo: number; readonly hi: number },
    crcOf: () => number,
  ): ReplayVerdict {
    const list = this.#lists.get(hostId);
    // At or below the cursor: a host that ignores cursors, or one that renumbered. Not our list.
    if (list === undefined || hostSeq <= list.cursor) return 'pass';
    if (hostSeq > list.events.maxSeq) {
      this.forget(hostId);
      return 'pass';
    }
    if (!list.events.has(hostSeq)) {
      const lastSeq = list.lastSeqOfDid.get(didKey(didHash.lo, didHash.hi)) ?? 0;
      return lastSeq > hostSeq ? 'late' : 'pass';
    }
    if (list.events.matches(hostSeq, crcOf() >>> 0)) return 'skip';
    this.forget(hostId);
    return 'renumbered';
  }

  /** Drops a host's list: it renumbered, was removed, or is past it. */
  forget(hostId: number): void {
    const list = this.#lists.get(hostId);
    if (list === undefined) return;
    this.#entryCount -= list.events.count;
    this.#lists.delete(hostId);
  }
}

function emptyList(cursor: number): Known {
  return { events: new SeqTable(), lastSeqOfDid: new Map(), cursor };
}
