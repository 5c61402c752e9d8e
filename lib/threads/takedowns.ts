/**
 * Takedowns from the request to the reader: the decision goes through the ring of its account like
 * a frame, the account's row says when it is durable, then the log is read without its content.
 *
 *   request ─▶ ingest ring ─▶ #account of ours in the log ─▶ row ─▶ hidden from readers ─▶ 200
 *
 * Owns what is under way: one decision per account at a time, and each goes on to its end even if
 * nobody waits for it any more. Told first, hidden then: what comes in between was accepted before
 * the decision.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { SECOND_MS } from '../base/units.ts';
import type { TakedownAdmin, TakedownResult } from '../http/admin/repos.ts';
import type { HiddenDids } from '../log/hidden-dids.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { Control } from '../ring/control-record.ts';
import { type AccountRow, findAccount } from '../store/account-rows.ts';
import type { Database } from '../store/pool.ts';
import { loadTakedowns, pageTakedowns, type TakedownRow } from '../store/takedown-rows.ts';

/** Below the time that a request may take. */
const PATIENCE_MS = 10 * SECOND_MS;
const POLL_MS = 50;
const RETRY_MS = SECOND_MS;
const NEW_ROW_MS = SECOND_MS;
const UNDER_WAY_MAX = 256;
const TAKENDOWN = 'takendown';

export type TakedownParts = {
  /** Throws a `RelayFault` before it is there. */
  readonly database: () => Database;
  readonly hidden: HiddenDids;
  /** What readers may be shown has changed: what is in memory does not count any more. */
  readonly hideTail: () => void;
  /** False while the account's ring is full. */
  readonly offer: (control: Control) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
};

export class TakedownDesk implements TakedownAdmin {
  readonly #parts: TakedownParts;
  /** The last decision under way for each account. */
  readonly #underWay = new Map<string, Promise<TakedownResult>>();
  readonly #stop = new AbortController();

  constructor(parts: TakedownParts) {
    this.#parts = parts;
  }

  /** Rejects with a `RelayFault` where the database does not answer at once. */
  async change(did: string, isDown: boolean): Promise<TakedownResult> {
    if (this.#underWay.size >= UNDER_WAY_MAX) return 'busy';
    const before = this.#underWay.get(did) ?? Promise.resolve();
    const decision = before.catch(() => {}).then(() => this.#decide(did, isDown));
    this.#underWay.set(did, decision);
    const forget = (): void => {
      if (this.#underWay.get(did) === decision) this.#underWay.delete(did);
    };
    decision.then(forget, forget);
    const answered = new AbortController();
    const late = this.#parts.clock.sleep(PATIENCE_MS, answered.signal);
    try {
      return await Promise.race([decision, late.then(() => 'pending' as const)]);
    } finally {
      answered.abort();
    }
  }

  async page(afterId: number, limit: number): Promise<readonly TakedownRow[]> {
    return pageTakedowns(this.#parts.database(), afterId, limit);
  }

  /** The rows are up to the log: what they say is hidden, and nothing else. */
  async recover(): Promise<void> {
    const { database, hidden, hideTail } = this.#parts;
    const isChanged = hidden.replace(await loadTakedowns(database()));
    this.#showCount();
    if (!isChanged) return;
    hideTail();
    await this.#save();
  }

  /** Nothing goes on after this. What is in a ring is done by its verify thread. */
  stop(): void {
    this.#stop.abort();
  }

  async #decide(did: string, isDown: boolean): Promise<TakedownResult> {
    const { hidden, hideTail } = this.#parts;
    const row = await this.#find(did);
    if (row === undefined) return 'unknown';
    if ((row.localStatus === TAKENDOWN) !== isDown) {
      const isDone = await this.#carryOut({ did, localStatus: isDown ? TAKENDOWN : null });
      if (!isDone) return 'pending';
    }
    hidden.set(did, isDown);
    this.#showCount();
    // Lifted, too: pieces of the log that are kept in memory lack what may be shown again.
    hideTail();
    return (await this.#save()) ? 'done' : 'pending';
  }

  /** An account that a host has spoken for; a new one's row is written a moment behind the log. */
  async #find(did: string): Promise<AccountRow | undefined> {
    const { database, clock } = this.#parts;
    const untilMs = clock.monoMs() + NEW_ROW_MS;
    for (;;) {
      const row = await findAccount(database(), did);
      if (row !== undefined && row.hostId !== 0) return row;
      if (this.#stop.signal.aborted || clock.monoMs() >= untilMs) return undefined;
      await this.#pause(POLL_MS);
    }
  }

  /** Resolves when the row says so, hence the log; false when the relay stops before. */
  async #carryOut(control: Control): Promise<boolean> {
    const { database, offer } = this.#parts;
    while (!this.#stop.signal.aborted && !offer(control)) await this.#pause(POLL_MS);
    while (!this.#stop.signal.aborted) {
      try {
        const row = await findAccount(database(), control.did);
        if (row?.localStatus === control.localStatus) return true;
        await this.#pause(POLL_MS);
      } catch (error) {
        if (!(error instanceof RelayFault)) throw error;
        await this.#pause(RETRY_MS);
      }
    }
    return false;
  }

  /** Again until it is on the disk; false when the relay stops before. */
  async #save(): Promise<boolean> {
    const { hidden, logger } = this.#parts;
    while (!this.#stop.signal.aborted) {
      try {
        await hidden.save();
        return true;
      } catch (error) {
        logger.error({ error: errorText(error) }, 'what is taken down cannot be written');
        await this.#pause(RETRY_MS);
      }
    }
    return false;
  }

  #pause(ms: number): Promise<void> {
    return this.#parts.clock.sleep(ms, this.#stop.signal);
  }

  #showCount(): void {
    const { hidden, metrics } = this.#parts;
    metrics.set('relay_log_hidden_dids_count', hidden.count);
  }
}
