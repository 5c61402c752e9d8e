/**
 * The DIDs whose content readers of the log do not get (G28): the side index of takedowns. The log
 * itself is never rewritten. It lies in a file beside the segments, so that a start without a
 * database shows nothing that was taken down; PostgreSQL has the last word once it is there.
 *
 * The hash in the record selects, the DID in the frame decides: a stranger's DID with the same hash
 * stays visible. `#identity` and `#account` are not content and are shown (ID-5, AC-6).
 * @thread main
 */
import { readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, errorText, RelayFault } from '../base/fault.ts';
import { type DidHash, didHash } from '../wire/did-hash.ts';
import { KIND_COMMIT, KIND_SYNC } from '../wire/kinds.ts';
import { Peek, peek } from '../wire/peek.ts';
import { readWsHeader, wsHeaderBytes } from '../wire/ws-frame.ts';
import type { RecordFilter } from './chunk.ts';

export const HIDDEN_FILE = 'hidden-dids';

type Hidden = { readonly hi: number; readonly did: Buffer };

const peeked = new Peek();
const hash: DidHash = { lo: 0, hi: 0 };

export class HiddenDids {
  readonly directory: string;
  readonly #path: string;
  readonly #dids = new Set<string>();
  /** By the low half of the hash. */
  readonly #byHash = new Map<number, Hidden[]>();
  #lastSave: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.directory = directory;
    this.#path = join(directory, HIDDEN_FILE);
  }

  get count(): number {
    return this.#dids.size;
  }

  has(did: string): boolean {
    return this.#dids.has(did);
  }

  /** Reads the file; no file is an empty one. A fault where it cannot be read. At start only. */
  load(): void {
    try {
      const lines = readFileSync(this.#path, 'latin1').split('\n');
      for (const did of lines) if (did !== '') this.set(did, true);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return;
      const message = `cannot tell what is taken down, ${this.#path}: ${errorText(error)}`;
      throw new RelayFault('hidden_dids', message, { isRetryable: false, cause: error });
    }
  }

  /** What is hidden from now on; `save` keeps it. */
  set(did: string, isHidden: boolean): void {
    if (this.#dids.has(did) === isHidden) return;
    if (isHidden) this.#add(did);
    else this.#remove(did);
  }

  /** All at once; true when something is different now. */
  replace(dids: ReadonlySet<string>): boolean {
    const gone = this.#dids.difference(dids);
    const added = dids.difference(this.#dids);
    for (const did of gone) this.#remove(did);
    for (const did of added) this.#add(did);
    return gone.size + added.size > 0;
  }

  /** Resolves when the present state is durable. Rejects where it could not be written. */
  save(): Promise<void> {
    const saved = this.#lastSave.then(() => this.#write([...this.#dids].join('\n')));
    this.#lastSave = saved.catch(() => {});
    return saved;
  }

  /** Whether a record must not be sent; `bytes[start, end)` is a websocket frame of the log. */
  readonly isHidden: RecordFilter = (kind, lo, hi, bytes, start, end) => {
    if (kind !== KIND_COMMIT && kind !== KIND_SYNC) return false;
    const candidates = this.#byHash.get(lo);
    if (candidates === undefined) return false;
    const messageBytes = readWsHeader(bytes, start, end);
    const message = bytes.subarray(start + wsHeaderBytes(messageBytes), end);
    if (peek(message, peeked) !== 'event') return false;
    const did = message.subarray(peeked.didStart, peeked.didEnd);
    return candidates.some((hidden) => hidden.hi === hi && hidden.did.equals(did));
  };

  #add(did: string): void {
    const bytes = Buffer.from(did, 'latin1');
    didHash(bytes, 0, bytes.length, hash);
    const sameHash = this.#byHash.get(hash.lo) ?? [];
    this.#byHash.set(hash.lo, [...sameHash, { hi: hash.hi, did: bytes }]);
    this.#dids.add(did);
  }

  #remove(did: string): void {
    const bytes = Buffer.from(did, 'latin1');
    didHash(bytes, 0, bytes.length, hash);
    const others = (this.#byHash.get(hash.lo) ?? []).filter((hidden) => !hidden.did.equals(bytes));
    if (others.length > 0) this.#byHash.set(hash.lo, others);
    else this.#byHash.delete(hash.lo);
    this.#dids.delete(did);
  }

  /** A new file in place of the old one, and the directory's entry for it, down to the disk. */
  async #write(text: string): Promise<void> {
    const part = `${this.#path}.part`;
    const file = await open(part, 'w', 0o600);
    try {
      await file.writeFile(`${text}\n`, 'latin1');
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, this.#path);
    const directory = await open(this.directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}
