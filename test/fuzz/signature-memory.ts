/**
 * Verdicts on signatures, so that no judge spends a millisecond on one that was judged already:
 * what a signer of this process made is right, what one library has judged the next one believes.
 * Every so often it is asked all the same, and must say what is remembered.
 */
import { hash } from 'node:crypto';
import type { AccountKey } from './input.ts';
import type { JudgeOptions } from './judge.ts';
import type { Library } from './library.ts';

const ENTRIES_MAX = 20_000;

export class SignatureMemory {
  readonly #verdicts = new Map<string, boolean>();
  readonly #askedEvery: number;
  #turn = 0;
  askedCount = 0;
  rememberedCount = 0;

  /** `askedEvery`: of so many remembered ones, one is asked again. */
  constructor(askedEvery: number) {
    this.#askedEvery = askedEvery;
  }

  /** A signature that was just made. */
  note(message: Uint8Array, signature: Uint8Array, key: Buffer): void {
    this.#remember(nameOf(message, signature, key), true);
  }

  /** Judges with this library where nothing is remembered. Throws where memory and library differ. */
  verifier(library: Library): JudgeOptions['verify'] {
    return async (key, message, signature) => {
      const name = nameOf(message, signature, key.bytes);
      const remembered = this.#verdicts.get(name);
      this.#turn += 1;
      if (remembered !== undefined && this.#turn % this.#askedEvery !== 0) {
        this.rememberedCount += 1;
        return remembered;
      }
      this.askedCount += 1;
      const isRight = await library.verify(didKeyOf(key), message, signature);
      if (remembered !== undefined && remembered !== isRight) throw new SignatureDispute(library);
      this.#remember(name, isRight);
      return isRight;
    };
  }

  #remember(name: string, isRight: boolean): void {
    if (this.#verdicts.size >= ENTRIES_MAX) this.#verdicts.clear();
    this.#verdicts.set(name, isRight);
  }
}

/** Two that should agree on a signature do not. */
export class SignatureDispute extends Error {
  constructor(library: Library) {
    super(`${library.name} says something else of a signature`);
  }
}

const didKeys = new WeakMap<AccountKey, string>();

/** Spelling a key takes longer than judging a tree: once per key. */
function didKeyOf(key: AccountKey): string {
  const known = didKeys.get(key);
  if (known !== undefined) return known;
  const didKey = `did:key:${key.multibase}`;
  didKeys.set(key, didKey);
  return didKey;
}

function nameOf(message: Uint8Array, signature: Uint8Array, key: Buffer): string {
  const bytes = Buffer.from(signature.buffer, signature.byteOffset, signature.byteLength);
  return `${hash('sha256', message, 'latin1')}${bytes.toString('latin1')}${key.toString('latin1')}`;
}
