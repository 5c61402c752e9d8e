/**
 * The recorded session of three real hosts (test/fixtures/real-session): what they sent, frame by
 * frame, and what was true meanwhile.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const FOLDER = join(import.meta.dirname, '../fixtures/real-session');
const MAGIC = 'ATFRAME1';
const RECORD_HEADER_BYTES = 9;

/** One websocket message as it came. `number` counts from 1 in order of arrival. */
export type SessionFrame = {
  readonly number: number;
  readonly hostIndex: number;
  readonly afterMs: number;
  readonly bytes: Buffer;
};

/** `host` speaks for the account for its own seq in (from, until]. */
export type SessionAuthority = {
  readonly pds: number;
  readonly from?: number;
  readonly until?: number;
};

export type SessionWorld = {
  readonly frames: number;
  readonly kinds: Readonly<Record<string, number>>;
  /** Numbers of `#sync` frames around an older commit of another host: a relay may drop them. */
  readonly oddSync: readonly number[];
  /** Numbers of frames of a host that was not the account's any more: never to be passed on. */
  readonly stale: readonly number[];
  readonly sha256: string;
  readonly pds: readonly {
    readonly i: number;
    readonly hostname: string;
    readonly url: string;
    readonly did: string;
    readonly handleDomain: string;
  }[];
  readonly authority: Readonly<Record<string, readonly SessionAuthority[]>>;
  readonly final: Readonly<
    Record<
      string,
      {
        readonly handle?: string;
        readonly pds: number;
        readonly status: string;
        readonly cid?: string;
        readonly rev?: string;
      }
    >
  >;
  readonly accounts: readonly {
    readonly did: string;
    readonly pds: number;
    readonly handle: string;
    readonly status: string;
  }[];
  /** Base64 of a frame each. */
  readonly otherFrames: { readonly FutureCursor: string; readonly OutdatedCursor: string };
};

/** One operation of an account's directory log. */
export type SessionAudit = {
  readonly did: string;
  readonly cid: string;
  readonly nullified: boolean;
  readonly createdAt: string;
  readonly operation: Readonly<Record<string, unknown>>;
};

export type SessionIdentity = { readonly doc: unknown; readonly audit?: readonly SessionAudit[] };

/** Reads all frames, in order of arrival. */
export function readSessionFrames(): SessionFrame[] {
  const file = gunzipSync(readFileSync(join(FOLDER, 'frames.bin.gz')));
  if (file.toString('latin1', 0, MAGIC.length) !== MAGIC) throw new Error('not a recorded session');
  const frames: SessionFrame[] = [];
  for (let at = MAGIC.length; at < file.length; ) {
    const start = at + RECORD_HEADER_BYTES;
    const end = start + file.readUInt32LE(at + 5);
    frames.push({
      number: frames.length + 1,
      hostIndex: file.readUInt8(at),
      afterMs: file.readUInt32LE(at + 1),
      bytes: file.subarray(start, end),
    });
    at = end;
  }
  return frames;
}

export function readSessionWorld(): SessionWorld {
  return JSON.parse(readFileSync(join(FOLDER, 'world.json'), 'utf8'));
}

/** DID → document and audit log (a did:web has no log). */
export function readSessionIdentities(): Record<string, SessionIdentity> {
  return JSON.parse(readFileSync(join(FOLDER, 'plc.json'), 'utf8'));
}
