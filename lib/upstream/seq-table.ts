/**
 * Host seqs with a checksum each, as a hash table in typed arrays: 18 bytes an entry and no sort,
 * however many a long outage of the database has left (sorting a million takes most of a second,
 * in one piece). One seq may be in it with several checksums, when a host used it twice.
 *
 *   slot = hash(seq), then the next ones until an empty one
 *   seqs   [ 0 | 105 | 106 | 0 | … ]      0 is empty: host seqs start at 1
 *   crcs   [ – |  c1 |  c2 | – | … ]
 * @thread main
 */
const CAPACITY_MIN = 16;

export class SeqTable {
  #seqs = new Float64Array(CAPACITY_MIN);
  #crcs = new Uint32Array(CAPACITY_MIN);
  #count = 0;
  #maxSeq = 0;

  get count(): number {
    return this.#count;
  }

  /** Highest seq in it, 0 when empty. */
  get maxSeq(): number {
    return this.#maxSeq;
  }

  add(seq: number, crc: number): void {
    // At most two thirds full: a look-up stays at two or three steps.
    if (this.#count * 3 >= this.#seqs.length * 2) this.#grow();
    this.#put(seq, crc);
    this.#count++;
    if (seq > this.#maxSeq) this.#maxSeq = seq;
  }

  has(seq: number): boolean {
    return this.#seqs[this.#find(seq)] === seq;
  }

  /** True when `seq` is in it with this checksum. */
  matches(seq: number, crc: number): boolean {
    const mask = this.#seqs.length - 1;
    for (let at = this.#find(seq); this.#seqs[at] !== 0; at = (at + 1) & mask) {
      if (this.#seqs[at] === seq && this.#crcs[at] === crc) return true;
    }
    return false;
  }

  /** The slot of `seq`, or the empty one at which the search ended. */
  #find(seq: number): number {
    const mask = this.#seqs.length - 1;
    let at = slotOf(seq, mask);
    while (this.#seqs[at] !== 0 && this.#seqs[at] !== seq) at = (at + 1) & mask;
    return at;
  }

  #put(seq: number, crc: number): void {
    const mask = this.#seqs.length - 1;
    let at = slotOf(seq, mask);
    while (this.#seqs[at] !== 0) at = (at + 1) & mask;
    this.#seqs[at] = seq;
    this.#crcs[at] = crc;
  }

  #grow(): void {
    const seqs = this.#seqs;
    const crcs = this.#crcs;
    this.#seqs = new Float64Array(seqs.length * 2);
    this.#crcs = new Uint32Array(seqs.length * 2);
    for (let at = 0; at < seqs.length; at++) {
      const seq = seqs[at] ?? 0;
      if (seq !== 0) this.#put(seq, crcs[at] ?? 0);
    }
  }
}

/** Spreads both halves of the seq: hosts count by ones, by thousands, or by microseconds. */
function slotOf(seq: number, mask: number): number {
  const low = seq % 2 ** 32;
  const high = (seq - low) / 2 ** 32;
  let hash = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) & mask;
}
