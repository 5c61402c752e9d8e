/**
 * What accepted events did to their accounts, read back from the events themselves: for events
 * whose effect was only in memory when a thread or the process ended.
 * @thread verify
 */
import { readStatusCode } from '../accounts/status-code.ts';
import { assert } from '../base/assert.ts';
import { CarIndex } from '../repo/car.ts';
import { CommitObject } from '../repo/commit.ts';
import { decodeEvent, EventView } from '../wire/event.ts';
import { KIND_ACCOUNT, KIND_IDENTITY, type Kind } from '../wire/kinds.ts';
import type { RepoState } from './account.ts';

/** What ring and log keep with a frame. */
export type EventRecord = {
  readonly kind: number;
  readonly hostId: number;
  readonly statusCode: number;
};

/** What one or several events change; the parts that no event touched stay as they are. */
export type Delta = {
  /** Log seq of the last event. */
  seq: number;
  hostId: number;
  repo: { rev: string; commitCid: string; dataCid: string } | null;
  upstream: { isActive: boolean; status: string | null } | null;
  /** undefined: as it was. */
  local: string | null | undefined;
  hasIdentityEvent: boolean;
};

export function emptyDelta(): Delta {
  return {
    seq: 0,
    hostId: 0,
    repo: null,
    upstream: null,
    local: undefined,
    hasIdentityEvent: false,
  };
}

/**
 * Whether the identity that is stored may be older than the one by which these events were judged:
 * #identity told of a change, or another host spoke than the stored state knows (0: none). What the
 * account's former host sends again must not be judged by a document that still names it.
 */
export function isIdentityDoubtful(delta: Delta, knownHostId: number): boolean {
  return delta.hasIdentityEvent || (delta.hostId !== 0 && delta.hostId !== knownHostId);
}

/** Puts a delta onto a state, as the judge did when it accepted the events. */
export function applyDelta(delta: Delta, state: RepoState): void {
  if (delta.hostId !== 0) state.hostId = delta.hostId;
  if (delta.repo !== null) {
    state.rev = delta.repo.rev;
    state.commitCid = delta.repo.commitCid;
    state.dataCid = delta.repo.dataCid;
  }
  if (delta.local !== undefined) state.localStatus = delta.local;
  if (delta.upstream === null) return;
  state.isUpstreamActive = delta.upstream.isActive;
  state.upstreamStatus = delta.upstream.status;
}

export class Replayer {
  readonly #view = new EventView();
  readonly #car = new CarIndex();
  readonly #commit = new CommitObject();

  /** The DID of a frame, or '' for one that does not decode (never so for an accepted one). */
  didOf(frame: Buffer, kind: Kind): string {
    return decodeEvent(frame, kind, this.#view) === undefined ? this.#view.did : '';
  }

  /** Adds the event of an accepted frame to a delta; `about` is its record in ring or log. */
  add(frame: Buffer, about: EventRecord, delta: Delta): void {
    const kind = about.kind as Kind;
    const bad = decodeEvent(frame, kind, this.#view);
    assert(bad === undefined, `an accepted frame does not decode: ${bad}`);
    if (kind === KIND_IDENTITY) {
      delta.hasIdentityEvent = true;
      return;
    }
    if (about.hostId !== 0) delta.hostId = about.hostId;
    if (kind === KIND_ACCOUNT) {
      this.#addAccount(about.statusCode, delta);
      return;
    }
    const badCar = this.#car.load(frame, this.#view.blocksStart, this.#view.blocksEnd);
    assert(badCar === undefined, `an accepted frame has a bad CAR: ${badCar}`);
    const root = this.#car.findRoot();
    assert(root >= 0, 'an accepted frame has no commit block');
    const [start, end] = [this.#car.blockStart(root), this.#car.blockEnd(root)];
    const badCommit = this.#commit.parse(frame, start, end);
    assert(badCommit === undefined, `an accepted frame has a bad commit: ${badCommit}`);
    const { rev } = this.#view;
    delta.repo = { rev, commitCid: this.#car.rootCid, dataCid: this.#commit.dataCid };
  }

  #addAccount(statusCode: number, delta: Delta): void {
    const { hasStatus, status, active } = this.#view;
    const { upstream, local } = readStatusCode(statusCode);
    // With a status of our own the frame shows that, and the code tells the host's word.
    delta.upstream = upstream ?? { isActive: active, status: hasStatus ? status : null };
    if (local !== undefined) delta.local = local;
  }
}
