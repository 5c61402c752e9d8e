/**
 * An event for the eyes and for scripts: one line of text, or one JSON object, from the bytes that
 * consumers get. Shows what the envelope says; records are not decoded.
 * @thread main
 */
import { cidText } from '../repo/cid.ts';
import { decodeEvent, EventView } from '../wire/event.ts';
import { KIND_ACCOUNT, KIND_COMMIT, KIND_IDENTITY, KIND_NAMES, type Kind } from '../wire/kinds.ts';
import type { OpView } from '../wire/ops.ts';

/** Operations shown on one line; a commit may have 200. */
const OPS_SHOWN_MAX = 5;

const view = new EventView();

export type EventJson = {
  readonly seq: number;
  readonly type: string;
  readonly did: string;
  readonly time: string;
  readonly bytes: number;
  readonly [field: string]: unknown;
};

/** Undefined when the frame does not decode: it is none of ours. */
export function eventJson(frame: Buffer, kind: Kind): EventJson | undefined {
  if (decodeEvent(frame, kind, view) !== undefined) return undefined;
  const time = frame.toString('latin1', view.timeStart, view.timeEnd);
  const base = {
    seq: view.hostSeq,
    type: KIND_NAMES[kind],
    did: view.did,
    time,
    bytes: frame.length,
  };
  if (kind === KIND_ACCOUNT) {
    return { ...base, active: view.active, ...(view.hasStatus ? { status: view.status } : {}) };
  }
  if (kind === KIND_IDENTITY)
    return { ...base, ...(view.hasHandle ? { handle: view.handle } : {}) };
  if (kind !== KIND_COMMIT) return { ...base, rev: view.rev };
  return {
    ...base,
    rev: view.rev,
    since: view.since === '' ? null : view.since,
    commit: cidText(view.commitCid),
    ...(view.hasPrevData ? { prevData: cidText(view.prevData) } : {}),
    ops: view.ops.slice(0, view.opCount).map(opJson),
  };
}

function opJson({ action, path, cid, prev }: OpView) {
  return {
    action,
    path,
    cid: cid === '' ? null : cidText(cid),
    ...(prev === '' ? {} : { prev: cidText(prev) }),
  };
}

/** One line; control characters of hosts cannot reach the terminal. */
export function eventLine(event: EventJson): string {
  const parts = [String(event.seq).padStart(12), event.time, event.type.padEnd(9), event.did];
  const { rev, active, status, handle, ops } = event;
  if (rev !== undefined) parts.push(`rev ${rev}`);
  if (active !== undefined) parts.push(active === true ? 'active' : 'inactive');
  if (status !== undefined) parts.push(String(status));
  if (handle !== undefined) parts.push(String(handle));
  if (Array.isArray(ops)) {
    for (const { action, path } of ops.slice(0, OPS_SHOWN_MAX)) parts.push(`${action} ${path}`);
    if (ops.length > OPS_SHOWN_MAX) parts.push(`and ${ops.length - OPS_SHOWN_MAX} more`);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must go
  return parts.join('  ').replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');
}
