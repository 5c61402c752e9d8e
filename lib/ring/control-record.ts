/**
 * A decision of an operator about an account, in an ingest record of a kind of its own: so it is
 * ordered with the frames of the account, and in the hands of one thread like them. Its payload
 * stands where a frame would.
 *
 *    the account's own status from now on ('' for none), a space, the DID
 * @thread any
 */

/** The record's kind; those of events are in wire/kinds.ts. */
export const KIND_CONTROL = 128;

export type Control = {
  readonly did: string;
  /** As in accounts/account.ts; null lifts what was decided before. */
  readonly localStatus: string | null;
};

/** The payload; `didStart` is where the DID stands in it. */
export function encodeControl({ did, localStatus }: Control): { bytes: Buffer; didStart: number } {
  const status = localStatus ?? '';
  return { bytes: Buffer.from(`${status} ${did}`, 'latin1'), didStart: status.length + 1 };
}

export function decodeControl(payload: Buffer): Control {
  const text = payload.toString('latin1');
  const at = text.indexOf(' ');
  return { localStatus: at === 0 ? null : text.slice(0, at), did: text.slice(at + 1) };
}
