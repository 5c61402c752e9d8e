/**
 * What a look-up of a DID can bring, as values: nothing here is ever thrown.
 * @thread any
 */
import type { Identity, KeyFault, PdsFault } from './document.ts';

/** Why a look-up failed; all but `blocked` may pass with time. */
export type FailWhy =
  /** The queue is full: we ask for more than we may. */
  | 'overloaded'
  /** The origin is left alone after failures or because it said so (Retry-After). */
  | 'paused'
  | 'throttled'
  | 'timeout'
  | 'network'
  | 'http'
  /** The address, port or redirect is one that we refuse (S1…S5). */
  | 'blocked'
  /** An answer beyond the limits: too large, compressed, not JSON. */
  | 'answer_bad'
  | 'closed'
  | 'internal';

export type ResolveOutcome =
  | {
      readonly kind: 'found';
      readonly did: string;
      readonly identity: Identity;
      /** Why there is no key or no PDS in it, for /explain. */
      readonly keyFault: KeyFault | null;
      readonly pdsFault: PdsFault | null;
    }
  | { readonly kind: 'not_found' | 'tombstoned'; readonly did: string }
  | {
      readonly kind: 'document_bad';
      readonly did: string;
      /** `did`: no did:plc or did:web that could ever resolve. */
      readonly why: 'did' | 'not_object' | 'id_mismatch';
    }
  | {
      readonly kind: 'failed';
      readonly did: string;
      readonly why: FailWhy;
      /** Not sooner than this; at least a second. */
      readonly retryAfterMs: number;
      /** For the log: status or error code. Not for a metric label. */
      readonly detail: string;
    };
