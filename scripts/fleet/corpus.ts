/**
 * Commits as the network has them, made from a seed: a repo filled with so many records, then one
 * commit after the other of one to ten operations, with the covering proofs of sync v1.1, each
 * chained on the one before. The same seed and shape give the same bytes. For fuzzing and benches;
 * whoever wants wrong commits makes them out of these.
 */
import { Prng, seedOf } from '../../lib/base/prng.ts';
import { DrislWriter } from './drisl.ts';
import { commitFrame } from './event-frames.ts';
import type { Curve, Keypair } from './repo-keypair.ts';
import {
  type CommitParts,
  encodePost,
  encodeTid,
  type RepoWrite,
  SignedRepo,
} from './signed-repo.ts';

/** What a corpus's clock says after its last commit: judge its commits at this time. */
export const CORPUS_EPOCH_MS = 1_790_000_000_000;
/** The first commit is made this long before, each following one a millisecond later. */
const COMMITS_MS = 3_600_000;
const RECORDS_MS = 365 * 86_400_000;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

export type CorpusShape = {
  readonly seed: string;
  /** Records before the first commit: 100, 5,000, 50,000. */
  readonly recordCount: number;
  readonly curve: Curve;
  /** Operations of a commit are evenly distributed over this range; default 1 … 10. */
  readonly opCountMin?: number;
  readonly opCountMax?: number;
  /** Shares of the operations; the rest creates. Default a quarter and a fifth. */
  readonly deleteShare?: number;
  readonly updateShare?: number;
};

/** What a verifier needs to judge one commit, and what it was made of. */
export type CorpusCommit = {
  /** The whole message, header and payload. */
  readonly frame: Buffer;
  /** The state of the repo before the commit. */
  readonly known: { readonly rev: string; readonly dataCid: string; readonly commitCid: string };
  /** Curve and compressed point of the key that signed it. */
  readonly key: Keypair;
  readonly parts: CommitParts;
  readonly stamp: { readonly seq: number; readonly time: string };
};

/** The commits of a corpus, as many as are asked for: `corpus(shape).take(128)`. */
export function* corpus(shape: CorpusShape): Generator<CorpusCommit, never> {
  const writer = new CorpusWriter(shape);
  for (let seq = 1; ; seq++) yield writer.commit(seq);
}

class CorpusWriter {
  readonly #shape: CorpusShape;
  readonly #prng: Prng;
  readonly #repo: SignedRepo;
  /** Of all records; a list that never has to be read from the tree. */
  readonly #paths: string[] = [];
  #micros = (CORPUS_EPOCH_MS - COMMITS_MS - RECORDS_MS) * 1000;
  readonly #microsMax: number;

  constructor(shape: CorpusShape) {
    this.#shape = shape;
    this.#prng = new Prng(seedOf(shape.seed));
    this.#repo = new SignedRepo({ did: this.#did(), seed: shape.seed, curve: shape.curve });
    this.#microsMax = Math.floor((RECORDS_MS * 1000) / Math.max(1, shape.recordCount));
    this.#repo.fill(this.#records(shape.recordCount), CORPUS_EPOCH_MS - COMMITS_MS);
  }

  commit(seq: number): CorpusCommit {
    const repo = this.#repo;
    const known = { rev: repo.rev, dataCid: repo.dataCid, commitCid: repo.commitCid };
    const { opCountMin = 1, opCountMax = 10 } = this.#shape;
    const writes = this.#writes(opCountMin + this.#prng.nextBelow(opCountMax - opCountMin + 1));
    const epochMs = CORPUS_EPOCH_MS - COMMITS_MS + seq;
    const parts = repo.commit(writes, { epochMs });
    const stamp = { seq, time: new Date(epochMs).toISOString() };
    return { frame: commitFrame(parts, stamp), known, key: repo.keypair, parts, stamp };
  }

  #did(): string {
    return `did:plc:${this.#base32(24)}`;
  }

  #base32(charCount: number): string {
    const chars = Array.from({ length: charCount }, () => BASE32.charAt(this.#prng.nextBelow(32)));
    return chars.join('');
  }

  *#records(count: number): Generator<readonly [string, Buffer]> {
    for (let i = 0; i < count; i++) yield this.#newRecord();
  }

  /** Different paths: no record is touched twice by one commit. */
  #writes(opCount: number): RepoWrite[] {
    const writes: RepoWrite[] = [];
    // Records that were there before the commit and that it has not touched.
    let untouched = this.#paths.length;
    const { deleteShare = 0.25, updateShare = 0.2 } = this.#shape;
    for (let op = 0; op < opCount; op++) {
      const rank = untouched === 0 ? 1 : this.#prng.nextFloat();
      if (rank >= deleteShare + updateShare) {
        const [path, record] = this.#newRecord();
        writes.push({ action: 'create', path, record });
        continue;
      }
      const index = this.#prng.nextBelow(untouched--);
      const path = this.#paths[index] as string;
      this.#swap(index, untouched);
      if (rank < deleteShare) writes.push({ action: 'delete', path });
      else writes.push({ action: 'update', path, record: this.#record(path) });
    }
    const gone = new Set(writes.filter(({ action }) => action === 'delete').map((op) => op.path));
    for (let index = this.#paths.length - 1; gone.size > 0 && index >= untouched; index--) {
      if (!gone.delete(this.#paths[index] as string)) continue;
      this.#swap(index, this.#paths.length - 1);
      this.#paths.pop();
    }
    return writes;
  }

  #swap(a: number, b: number): void {
    const path = this.#paths[a] as string;
    this.#paths[a] = this.#paths[b] as string;
    this.#paths[b] = path;
  }

  #newRecord(): readonly [path: string, record: Buffer] {
    const path = this.#newPath();
    this.#paths.push(path);
    return [path, this.#record(path)];
  }

  /** Keys of the time in a few collections, mostly likes; now and then one that is spelt out. */
  #newPath(): string {
    this.#micros += 1 + this.#prng.nextBelow(this.#microsMax);
    const tid = encodeTid(this.#micros, this.#prng.nextBelow(1024));
    const kind = this.#prng.nextBelow(100);
    if (kind < 50) return `app.bsky.feed.like/${tid}`;
    if (kind < 75) return `app.bsky.feed.post/${tid}`;
    if (kind < 85) return `app.bsky.feed.repost/${tid}`;
    if (kind < 97) return `app.bsky.graph.follow/${tid}`;
    return `com.example.notes.entry/a-${'longer'.repeat(this.#prng.nextBelow(20))}-key_${tid}`;
  }

  #record(path: string): Buffer {
    const [collection = ''] = path.split('/');
    const createdAt = new Date(Math.floor(this.#micros / 1000)).toISOString();
    if (collection.endsWith('.post') || collection.endsWith('.entry')) {
      return encodePost('a few words '.repeat(this.#prng.nextBelow(25)), createdAt);
    }
    const subject = `at://${this.#did()}`;
    if (collection.endsWith('.follow')) return encodeFollow(subject, createdAt);
    const uri = `${subject}/app.bsky.feed.post/${encodeTid(this.#micros, 1)}`;
    return encodeReaction(collection, { uri, cid: `bafyrei${this.#base32(52)}` }, createdAt);
  }
}

function encodeFollow(subject: string, createdAt: string): Buffer {
  const out = new DrislWriter().map(3).text('$type').text('app.bsky.graph.follow');
  return out.text('subject').text(subject).text('createdAt').text(createdAt).done();
}

/** A like or a repost: of a record, by its address and CID. */
function encodeReaction(
  collection: string,
  subject: { readonly uri: string; readonly cid: string },
  createdAt: string,
): Buffer {
  const out = new DrislWriter().map(3).text('$type').text(collection);
  out.text('subject').map(2).text('cid').text(subject.cid).text('uri').text(subject.uri);
  return out.text('createdAt').text(createdAt).done();
}
