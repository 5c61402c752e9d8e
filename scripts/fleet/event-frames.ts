/**
 * The messages of a host's event stream as canonical DRISL: header and payload, keys in canonical
 * order, the way a real PDS sends them. One function per kind of event, and the two control frames.
 */
import { DrislWriter } from './drisl.ts';
import type { CommitParts, SyncParts } from './signed-repo.ts';

/** `seq` of the host's stream, and the datetime of the event. */
export type Stamp = { readonly seq: number; readonly time: string };

export type IdentityParts = { readonly did: string; readonly handle?: string };
export type AccountParts = {
  readonly did: string;
  readonly active: boolean;
  readonly status?: string;
};

function frame(type: string): DrislWriter {
  return new DrislWriter().map(2).text('t').text(type).text('op').integer(1);
}

export function commitFrame(parts: CommitParts, { seq, time }: Stamp): Buffer {
  const out = frame('#commit').map(parts.prevData === undefined ? 11 : 12);
  out.text('ops').array(parts.ops.length);
  for (const op of parts.ops) {
    out.map(op.prev === undefined ? 3 : 4);
    out.text('cid').link(op.cid).text('path').text(op.path);
    if (op.prev !== undefined) out.text('prev').link(op.prev);
    out.text('action').text(op.action);
  }
  out.text('rev').text(parts.rev).text('seq').integer(seq);
  out.text('repo').text(parts.did).text('time').text(time);
  out.text('blobs').array(0).text('since');
  if (parts.since === null) out.null();
  else out.text(parts.since);
  out.text('blocks').bytes(parts.blocks).text('commit').link(parts.commitCid);
  out.text('rebase').bool(false).text('tooBig').bool(false);
  if (parts.prevData !== undefined) out.text('prevData').link(parts.prevData);
  return out.done();
}

export function syncFrame(parts: SyncParts, { seq, time }: Stamp): Buffer {
  const out = frame('#sync').map(5).text('did').text(parts.did).text('rev').text(parts.rev);
  out.text('seq').integer(seq).text('time').text(time);
  return out.text('blocks').bytes(parts.blocks).done();
}

export function identityFrame(parts: IdentityParts, { seq, time }: Stamp): Buffer {
  const out = frame('#identity').map(parts.handle === undefined ? 3 : 4);
  out.text('did').text(parts.did).text('seq').integer(seq).text('time').text(time);
  if (parts.handle !== undefined) out.text('handle').text(parts.handle);
  return out.done();
}

export function accountFrame(parts: AccountParts, { seq, time }: Stamp): Buffer {
  const out = frame('#account').map(parts.status === undefined ? 4 : 5);
  out.text('did').text(parts.did).text('seq').integer(seq).text('time').text(time);
  out.text('active').bool(parts.active);
  if (parts.status !== undefined) out.text('status').text(parts.status);
  return out.done();
}

/** `#info`, which has no seq: `OutdatedCursor`. */
export function infoFrame(name: string, message: string): Buffer {
  return frame('#info').map(2).text('name').text(name).text('message').text(message).done();
}

/** An error frame, after which the host closes: `FutureCursor`, `ConsumerTooSlow`. */
export function errorFrame(error: string, message: string): Buffer {
  const out = new DrislWriter().map(1).text('op').integer(-1);
  return out.map(2).text('error').text(error).text('message').text(message).done();
}
