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
export type ReplayVerdict = 'pass' | 'skip' | 'late' | 'renumbered';

type Entries = {
  /** Sorted by host seq before the first look-up; the three go together. */
  seqs: number[];
  crcs: number[];
  dids: number[];
  isSorted: boolean;
  /** Last host seq of each DID; made with the sort. */
  lastSeqOfDid: Map<number, number>;
  /** The host's stored cursor: nothing at or below it is in the list. */
  readonly cursor: number;
};

/** 53 of the 64 bits of a DID hash, as a number that is a cheap map key. */
function didKey(didLo: number, didHi: number): number {
  return (didHi & 0x1f_ffff) * 2 ** 32 + (didLo >>> 0);
}

export class ReplayFilter {
  readonly #entriesMax: number;
  readonly #lists = new Map<number, Entries>();
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
    const list = this.#lists.get(hostId) ?? emptyEntries(from);
    this.#lists.set(hostId, list);
    list.seqs.push(event.hostSeq);
    list.crcs.push(event.upstreamCrc >>> 0);
    list.dids.push(didKey(event.didHashLo, event.didHashHi));
    list.isSorted = false;
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
    if (!list.isSorted) sortEntries(list);
    if (hostSeq > (list.seqs.at(-1) ?? 0)) {
      this.forget(hostId);
      return 'pass';
    }
    const at = lowerBound(list.seqs, hostSeq);
    if (list.seqs[at] !== hostSeq) {
      const lastSeq = list.lastSeqOfDid.get(didKey(didHash.lo, didHash.hi)) ?? 0;
      return lastSeq > hostSeq ? 'late' : 'pass';
    }
    const crc = crcOf() >>> 0;
    for (let index = at; list.seqs[index] === hostSeq; index++) {
      if (list.crcs[index] === crc) return 'skip';
    }
    this.forget(hostId);
    return 'renumbered';
  }

  /** Drops a host's list: it renumbered, was removed, or is past it. */
  forget(hostId: number): void {
    const list = this.#lists.get(hostId);
    if (list === undefined) return;
    this.#entryCount -= list.seqs.length;
    this.#lists.delete(hostId);
  }
}

function emptyEntries(cursor: number): Entries {
  return { seqs: [], crcs: [], dids: [], isSorted: false, lastSeqOfDid: new Map(), cursor };
}

/** Once per host, at its first frame: main does not sort everything at boot. */
function sortEntries(list: Entries): void {
  const order = list.seqs.map((_, index) => index);
  order.sort((a, b) => (list.seqs[a] ?? 0) - (list.seqs[b] ?? 0));
  list.seqs = order.map((index) => list.seqs[index] ?? 0);
  list.crcs = order.map((index) => list.crcs[index] ?? 0);
  list.dids = order.map((index) => list.dids[index] ?? 0);
  list.lastSeqOfDid = new Map();
  for (const [index, did] of list.dids.entries()) {
    list.lastSeqOfDid.set(did, list.seqs[index] ?? 0);
  }
  list.isSorted = true;
}

/** Index of the first element that is not below `value`. */
function lowerBound(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
