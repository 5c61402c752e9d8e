/**
 * Messages that an account could send and has not sent: its repo goes its own way in a copy, the
 * commit is made wrong in one place, and the account goes on from where it stood.
 */
import { commitFrame, type Stamp, syncFrame } from '../../scripts/fleet/event-frames.ts';
import {
  type CommitParts,
  encodePost,
  type RepoOp,
  type RepoWrite,
  type SignedRepo,
  type SyncParts,
} from '../../scripts/fleet/signed-repo.ts';
import { type Changes, type Scene as Draft, forge, knownOf } from '../verify/forge.ts';
import { cbor, type Fields, frame, Raw, type Value } from '../wire/frames.ts';

/** The message with its place in the host's stream. */
export type Made = (stamp: Stamp) => Buffer;
export type { Draft };

const RECORD_TIME = '2026-11-21T23:29:14.716Z';

let recordNo = 0;

/** A record unlike all others. */
export function newRecord(text = 'a record'): Buffer {
  recordNo += 1;
  return encodePost(`${text} ${recordNo}`, RECORD_TIME);
}

export function create(path: string, record = newRecord()): RepoWrite {
  return { action: 'create', path, record };
}

/** A path that no call gave before. */
export function newPath(): string {
  recordNo += 1;
  return `app.bsky.feed.post/3k${recordNo.toString().padStart(11, '0')}`;
}

/** The commit with these writes as the account's next one, without it being made. */
export function draft(repo: SignedRepo, writes: readonly RepoWrite[]): Draft {
  return committed(repo.fork(), writes);
}

/** The same, made: the account goes on from it. */
export function committed(repo: SignedRepo, writes: readonly RepoWrite[]): Draft {
  const known = knownOf(repo);
  return { repo, known, parts: repo.commit(writes, { epochMs: Date.now() }) };
}

/** A draft of one created record. */
export function oneDraft(repo: SignedRepo): Draft {
  return draft(repo, [create(newPath())]);
}

export function forged(from: Draft, changes: Changes = {}): Made {
  return message(forge(from, changes));
}

export function message(parts: CommitParts): Made {
  return (stamp) => commitFrame(parts, stamp);
}

/** The commit's message with other fields; undefined leaves one out. */
export function withFields(parts: CommitParts, fields: Fields): Made {
  return (stamp) => frame({ op: 1, t: '#commit' }, { ...fieldsOf(parts, stamp), ...fields });
}

/** The sync's message with other fields. */
export function syncWith(parts: SyncParts, fields: Fields): Made {
  const { did, rev, blocks } = parts;
  return ({ seq, time }) =>
    frame({ op: 1, t: '#sync' }, { seq, did, rev, time, blocks, ...fields });
}

export function syncMessage(parts: SyncParts): Made {
  return (stamp) => syncFrame(parts, stamp);
}

function fieldsOf(parts: CommitParts, { seq, time }: Stamp): Fields {
  const { did, rev, since, blocks, commitCid, prevData } = parts;
  return {
    seq,
    time,
    repo: did,
    rev,
    since,
    blocks,
    ops: parts.ops.map(opFields) as readonly Value[],
    commit: linkTo(commitCid),
    prevData: prevData === undefined ? undefined : linkTo(prevData),
    blobs: [],
    rebase: false,
    tooBig: false,
  };
}

/** An operation as the map it is in the message. */
export function opFields({ action, path, cid, prev }: RepoOp): Fields {
  return {
    action,
    path,
    cid: cid === null ? null : linkTo(cid),
    prev: prev === undefined ? undefined : linkTo(prev),
  };
}

/** Tag 42 over a CID of 36 latin1 characters. */
export function linkTo(cid: string): Raw {
  const bytes = Buffer.from(cid, 'latin1');
  const tail = Buffer.concat([Buffer.from([0]), bytes]);
  return new Raw(Buffer.concat([Buffer.from('d82a', 'hex'), cbor(tail)]));
}
