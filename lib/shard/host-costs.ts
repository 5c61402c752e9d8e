/**
 * What the frames of each host cost this thread and what they brought, summed up and told to main
 * now and then: main slows a host down that costs too much (G19, CH-4). Fixed memory, nothing is
 * allocated per frame. Knows no limit: those are main's.
 * @thread verify
 */
import type { UsageReport } from '../ring/report-record.ts';

/** Hosts between two reports; with one more the report goes at once. */
const HOSTS_MAX = 1024;
const REPORT_MS = 100;

/** What an accepted frame says of its host, beside its cost. */
export type HostMarks = {
  /** A commit that does not chain on what was known. */
  isDiscontinuous: boolean;
  /** A commit that only a lenient host may send. */
  isWaived: boolean;
  /** The first word of any host for this account. */
  isNewAccount: boolean;
};

export class HostCosts {
  readonly #offer: (report: UsageReport) => boolean;
  readonly #onDropped: () => void;
  readonly #slots = new Map<number, number>();
  readonly #hostIds = new Uint32Array(HOSTS_MAX);
  readonly #verifyMs = new Float64Array(HOSTS_MAX);
  readonly #frames = new Uint32Array(HOSTS_MAX);
  readonly #discontinuous = new Uint32Array(HOSTS_MAX);
  readonly #waived = new Uint32Array(HOSTS_MAX);
  readonly #newAccounts = new Uint32Array(HOSTS_MAX);
  #count = 0;
  #reportedMs = Number.NEGATIVE_INFINITY;

  /** `offer` gives one host's sums away, or returns false while there is no room for them. */
  constructor(offer: (report: UsageReport) => boolean, onDropped: () => void) {
    this.#offer = offer;
    this.#onDropped = onDropped;
  }

  /** Hosts with something to report. */
  get hostCount(): number {
    return this.#count;
  }

  /** One frame of the host took this long, whatever became of it. */
  addTime(hostId: number, verifyMs: number): void {
    const slot = this.#slotOf(hostId);
    if (slot < 0) return;
    this.#verifyMs[slot] = (this.#verifyMs[slot] as number) + verifyMs;
    this.#frames[slot] = (this.#frames[slot] as number) + 1;
  }

  /** One frame of the host was accepted. */
  addMarks(hostId: number, marks: HostMarks): void {
    if (!marks.isDiscontinuous && !marks.isWaived && !marks.isNewAccount) return;
    const slot = this.#slotOf(hostId);
    if (slot < 0) return;
    if (marks.isDiscontinuous) {
      this.#discontinuous[slot] = (this.#discontinuous[slot] as number) + 1;
    }
    if (marks.isWaived) this.#waived[slot] = (this.#waived[slot] as number) + 1;
    if (marks.isNewAccount) this.#newAccounts[slot] = (this.#newAccounts[slot] as number) + 1;
  }

  /** Reports every 100 ms at most; what finds no room is kept and grows. */
  poll(nowMs: number): void {
    if (this.#count === 0 || nowMs - this.#reportedMs < REPORT_MS) return;
    this.#reportedMs = nowMs;
    this.flush();
  }

  flush(): void {
    let sent = 0;
    while (sent < this.#count && this.#offer(this.#reportOf(sent))) sent++;
    if (sent === 0) return;
    for (const sums of this.#columns()) {
      sums.copyWithin(0, sent, this.#count);
      sums.fill(0, this.#count - sent, this.#count);
    }
    this.#count -= sent;
    this.#slots.clear();
    for (let slot = 0; slot < this.#count; slot++) {
      this.#slots.set(this.#hostIds[slot] as number, slot);
    }
  }

  #columns() {
    const counts = [this.#frames, this.#discontinuous, this.#waived, this.#newAccounts];
    return [this.#hostIds, this.#verifyMs, ...counts];
  }

  #reportOf(slot: number): UsageReport {
    return {
      kind: 'usage',
      hostId: this.#hostIds[slot] as number,
      verifyMs: this.#verifyMs[slot] as number,
      frameCount: this.#frames[slot] as number,
      discontinuousCount: this.#discontinuous[slot] as number,
      waivedCount: this.#waived[slot] as number,
      newAccountCount: this.#newAccounts[slot] as number,
    };
  }

  /** The host's place in the sums; -1 where there is none, and main reads no reports. */
  #slotOf(hostId: number): number {
    const known = this.#slots.get(hostId);
    if (known !== undefined) return known;
    if (this.#count === HOSTS_MAX) this.flush();
    if (this.#count === HOSTS_MAX) {
      this.#onDropped();
      return -1;
    }
    const slot = this.#count++;
    this.#slots.set(hostId, slot);
    this.#hostIds[slot] = hostId;
    return slot;
  }
}
