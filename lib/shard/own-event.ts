/**
 * An `#account` event of the relay's own beside an input, or in place of it: what the host should
 * have said and did not (a missed reactivation, a DID that was tombstoned), or what was decided
 * here. It leaves with the input's own event in one store (outbox.ts), as a part of its answer: so
 * it is emitted exactly once, whoever dies in between.
 *
 * One per judge, reused: `set` with the verdict, taken by the shard, cleared before the next input.
 * @thread verify
 */
import { effectiveStatus } from '../accounts/account.ts';
import { statusCodeOf } from '../accounts/status-code.ts';
import { encodeAccountFrame } from '../wire/account-frame.ts';
import { NormalFrame } from '../wire/normalize.ts';
import { type Account, copyState, emptyState, type RepoState } from './account.ts';

/** Why an event of our own was made; a label of `relay_verify_own_events_total`. */
export type OwnCause = 'reactivated' | 'tombstoned' | 'decided';

export class OwnEvent {
  isSet = false;
  cause: OwnCause = 'decided';
  statusCode = 0;
  readonly frame = new NormalFrame();
  /** The account after it. */
  readonly state: RepoState = emptyState();

  clear(): void {
    this.isSet = false;
  }

  /** Makes the event that shows the account in `state`, which is copied; `time` is a datetime. */
  set(account: Account, state: Readonly<RepoState>, cause: OwnCause, time: string): void {
    copyState(state, this.state);
    const { isActive, status } = effectiveStatus(this.state);
    encodeAccountFrame({ did: account.did, isActive, status, time }, this.frame);
    this.statusCode = statusCodeOf(this.state);
    this.cause = cause;
    this.isSet = true;
  }
}
