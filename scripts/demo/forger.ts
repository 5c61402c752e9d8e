/**
 * Hostile hosts: frames that no relay may pass on, of a new kind each time, sent by each host in
 * turn. They cost the honest accounts nothing, so the demo can go on meanwhile.
 */
import { randomBytes } from 'node:crypto';
import { commitFrame } from '../fleet/event-frames.ts';
import type { Fleet, FleetAccount } from '../fleet/fleet.ts';
import type { FleetHost } from '../fleet/fleet-host.ts';
import { cidOf } from '../fleet/repo-tree.ts';
import { type CommitParts, encodePost, SignedRepo } from '../fleet/signed-repo.ts';

const HOUR_MS = 3_600_000;
const RECORD = encodePost('not what it seems', '2026-01-01T00:00:00.000Z');
/** Nothing that is an object begins with it. */
const GARBAGE_START = 0xff;
/** Three malformed frames in ten minutes and the relay hangs up on the host. */
const GARBAGE_PERIOD_MS = 6 * 60_000;
/** An origin that is none of the hosts'. */
const ELSEWHERE = 'http://localhost:9';

type Signer = { readonly did: string; readonly seed: string };

export class Forger {
  readonly #fleet: Fleet;
  /** A registered account of each host, of which no good event is ever sent. */
  readonly #signers = new Map<FleetHost, Signer>();
  readonly #garbageMs = new Map<FleetHost, number>();
  #count = 0;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  /** Sends one forgery. */
  step(nowMs: number): void {
    const { hosts } = this.#fleet;
    const host = hosts[this.#count % hosts.length] as FleetHost;
    const kind = KINDS[this.#count % KINDS.length] as Kind;
    this.#count += 1;
    if (kind === garbage && nowMs < (this.#garbageMs.get(host) ?? 0)) return;
    if (kind === garbage) this.#garbageMs.set(host, nowMs + GARBAGE_PERIOD_MS);
    const seq = host.nextSeq();
    const { did, frame } = kind(this, host, seq);
    host.sendPoison(did, seq, frame);
  }

  victimOf(host: FleetHost): FleetAccount {
    const all = this.#fleet.accounts.filter((account) => account.host === host);
    return all[this.#count % all.length] as FleetAccount;
  }

  signerOf(host: FleetHost): Signer {
    const known = this.#signers.get(host);
    if (known !== undefined) return known;
    const signer = this.register(`forger of ${host.hostname}`, host.origin);
    this.#signers.set(host, signer);
    return signer;
  }

  /** An account that the directory knows. */
  register(seed: string, origin: string): Signer {
    const did = someDid();
    this.#fleet.directory.set(did, new SignedRepo({ did, seed }).keypair, origin, 'forger.test');
    return { did, seed };
  }
}

type Forged = { readonly did: string; readonly frame: Buffer };
type Kind = (forger: Forger, host: FleetHost, seq: number) => Forged;

function someDid(): string {
  const letters = Array.from(randomBytes(24), (byte) => 'abcdefghijklmnop'.charAt(byte & 15));
  return `did:plc:${letters.join('')}`;
}

function frameOf(parts: CommitParts, seq: number): Forged {
  return { did: parts.did, frame: commitFrame(parts, { seq, time: new Date().toISOString() }) };
}

/** The second commit of a repo, right in itself. */
function commitOf({ did, seed }: Signer, epochMs = Date.now()): CommitParts {
  const repo = new SignedRepo({ did, seed });
  repo.commit([], { epochMs: epochMs - 1000 });
  const path = 'app.bsky.feed.post/3kforged22222';
  return repo.commit([{ action: 'create', path, record: RECORD }], { epochMs });
}

const garbage: Kind = () => {
  return { did: '', frame: Buffer.concat([Buffer.from([GARBAGE_START]), randomBytes(200)]) };
};

/** Each with another reason to be refused. */
const KINDS: readonly Kind[] = [
  // An account of the host, signed with a key that is not the account's.
  (forger, host, seq) => {
    const { did } = forger.victimOf(host).repo;
    return frameOf(commitOf({ did, seed: 'stolen' }), seq);
  },
  // A record changed after it was signed.
  (forger, host, seq) => {
    const parts = commitOf(forger.signerOf(host));
    const blocks = Buffer.from(parts.blocks);
    blocks.writeUInt8(blocks.readUInt8(blocks.length - 1) ^ 1, blocks.length - 1);
    return frameOf({ ...parts, blocks }, seq);
  },
  garbage,
  // An operation that leads from a tree other than it says.
  (forger, host, seq) => {
    const parts = commitOf(forger.signerOf(host));
    return frameOf({ ...parts, prevData: cidOf(RECORD) }, seq);
  },
  // An operation that the signed tree does not show.
  (forger, host, seq) => {
    const parts = commitOf(forger.signerOf(host));
    const ops = parts.ops.map((op) => ({ ...op, path: `${op.path}x` }));
    return frameOf({ ...parts, ops }, seq);
  },
  // An account of another host.
  (forger, host, seq) => {
    return frameOf(commitOf(forger.register(`guest of ${host.hostname}`, ELSEWHERE)), seq);
  },
  // A commit of tomorrow.
  (forger, host, seq) => {
    return frameOf(commitOf(forger.signerOf(host), Date.now() + 24 * HOUR_MS), seq);
  },
  // An account that the directory has never heard of.
  (_, __, seq) => frameOf(commitOf({ did: someDid(), seed: 'nobody' }), seq),
];
