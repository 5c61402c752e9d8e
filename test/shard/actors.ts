/** Accounts that write: real signed frames, and what a relay must make of each. */
import type { ResolveOutcome } from '../../lib/identity/outcome.ts';
import { initSignature } from '../../lib/verify/signature.ts';
import {
  accountFrame,
  commitFrame,
  identityFrame,
  syncFrame,
} from '../../scripts/fleet/event-frames.ts';
import { encodePost, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { emptyRow, HOST, HOST_ID, type ShardBench, START_MS } from './shard-world.ts';

await initSignature();

const TIME = '2026-01-01T00:00:00.000Z';

/** The part of a row that events change. */
export type State = {
  readonly hostId: number;
  readonly isUpstreamActive: boolean;
  readonly upstreamStatus: string | null;
  readonly rev: string | null;
  readonly commitCid: string | null;
  readonly dataCid: string | null;
};

export type Input = {
  readonly did: string;
  readonly hostSeq: number;
  readonly frame: Buffer;
  readonly isGood: boolean;
  /** The account after it. */
  readonly state: State;
  /** The account after the event of our own that goes before it, or instead of it. */
  readonly own?: State;
};

/**
 * plain: what its host says is heard. missed: its host says that it is active whenever it is asked.
 * gone: known, and its DID is tombstoned.
 */
export type Life = 'plain' | 'missed' | 'gone';

export type ActorKind = 'commit' | 'sync' | 'identity' | 'off' | 'on' | 'forged' | 'garbage';

let lastHostSeq = 0;

export class Actor {
  readonly did: string;
  readonly repo: SignedRepo;
  /** Length of the posts from now on, at least. */
  postBytes = 0;
  #state: State = {
    hostId: 0,
    isUpstreamActive: true,
    upstreamStatus: null,
    rev: null,
    commitCid: null,
    dataCid: null,
  };
  #count = 0;
  readonly #life: Life;

  constructor(name: string, life: Life = 'plain') {
    this.#life = life;
    if (life === 'gone') this.#state = { ...this.#state, hostId: HOST_ID };
    this.did = `did:plc:${name.padEnd(24, 'a')}`;
    this.repo = new SignedRepo({ did: this.did, seed: name });
  }

  /** What the directory says of it. */
  found(pdsHost = HOST): ResolveOutcome {
    const { did } = this;
    const { curve, bytes } = this.repo.keypair;
    const identity = { did, pdsHost, key: { curve, bytes }, handle: 'a.example.com' };
    return { kind: 'found', did, identity, keyFault: null, pdsFault: null };
  }

  enrol(bench: ShardBench): this {
    const { did } = this;
    bench.directory.set(did, this.found());
    if (this.#life === 'missed') bench.repoStatus.set(did, 'active');
    if (this.#life === 'gone') {
      bench.directory.set(did, { kind: 'tombstoned', did });
      bench.rows.set(did, { ...emptyRow(did), hostId: HOST_ID });
    }
    return this;
  }

  make(kind: ActorKind): Input {
    lastHostSeq += 1;
    const hostSeq = lastHostSeq;
    const stamp = { seq: hostSeq, time: TIME };
    const { did } = this;
    const before = this.#state;
    const frame = this.#frame(kind, stamp);
    const isRepo = kind === 'commit' || kind === 'sync';
    const isReadable = kind !== 'garbage';
    if (this.#life === 'gone') {
      const isFirst = isReadable && before.isUpstreamActive;
      const upstreamStatus = 'deleted';
      if (isFirst) this.#state = { ...before, isUpstreamActive: false, upstreamStatus };
      const own = isFirst ? { own: this.#state } : {};
      return { did, hostSeq, frame, isGood: kind === 'identity', state: this.#state, ...own };
    }
    const isMissed = this.#life === 'missed' && isRepo && !before.isUpstreamActive;
    const isSilent = isRepo && !before.isUpstreamActive && !isMissed;
    const isGood = isReadable && kind !== 'forged' && !isSilent;
    if (isMissed) this.#state = this.#next('on');
    const own = isMissed ? { own: this.#state } : {};
    if (isGood) this.#state = this.#next(kind);
    return { did, hostSeq, frame, isGood, state: this.#state, ...own };
  }

  #frame(kind: ActorKind, stamp: { seq: number; time: string }): Buffer {
    const { did } = this;
    switch (kind) {
      case 'commit':
        return commitFrame(this.#commit(), stamp);
      case 'sync':
        this.#commit();
        return syncFrame(this.repo.sync(), stamp);
      case 'identity':
        return identityFrame({ did, handle: 'a.example.com' }, stamp);
      case 'off':
        return accountFrame({ did, active: false, status: 'deactivated' }, stamp);
      case 'on':
        return accountFrame({ did, active: true }, stamp);
      case 'forged':
        return this.#forged(stamp);
      case 'garbage': {
        const frame = identityFrame({ did }, stamp);
        return Buffer.concat([frame, Buffer.of(0xf6)]);
      }
    }
  }

  #commit() {
    this.#count += 1;
    const path = `app.bsky.feed.post/3k${`${this.#count}`.padStart(11, 'a')}`;
    const record = encodePost(`${this.#count}`.padEnd(this.postBytes, 'x'), TIME);
    return this.repo.commit([{ action: 'create', path, record }], { epochMs: START_MS });
  }

  /** Signed by somebody else. */
  #forged(stamp: { seq: number; time: string }): Buffer {
    const other = new SignedRepo({ did: this.did, seed: 'somebody else' });
    const record = encodePost('forged', TIME);
    const write = { action: 'create' as const, path: 'app.bsky.feed.post/3kaaaaaaaaaa2', record };
    // After everything that the account itself writes in a test.
    return commitFrame(other.commit([write], { epochMs: START_MS + 1000 }), stamp);
  }

  #next(kind: ActorKind): State {
    if (kind === 'off') {
      const upstreamStatus = 'deactivated';
      return { ...this.#state, hostId: HOST_ID, isUpstreamActive: false, upstreamStatus };
    }
    if (kind === 'on') {
      return { ...this.#state, hostId: HOST_ID, isUpstreamActive: true, upstreamStatus: null };
    }
    if (kind === 'identity') return this.#state;
    const { rev, commitCid, dataCid } = this.repo;
    return { ...this.#state, hostId: HOST_ID, rev, commitCid, dataCid };
  }
}
