/**
 * Commit objects and signatures in other forms than the right one, of commits that are right in
 * all else.
 */
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import type { Curve, Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { type CommitFields, encodeCommit } from '../../scripts/fleet/signed-repo.ts';
import type { Changes } from '../verify/forge.ts';
import { committed, create, forged, newPath, oneDraft } from './drafts.ts';
import type { Input } from './inputs.ts';

export const ORDERS = {
  k256: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
  p256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
};

/** A draft of one created record, with changes. */
export function changed(changes: Changes): Input {
  return ({ repo }) => forged(oneDraft(repo), changes);
}

export type Entry = readonly [key: string, value: Buffer];

export const value = {
  text: (text: string): Buffer => new DrislWriter().text(text).done(),
  link: (cid: string | null): Buffer => new DrislWriter().link(cid).done(),
  bytes: (bytes: Uint8Array): Buffer => new DrislWriter().bytes(bytes).done(),
  integer: (number: number): Buffer => new DrislWriter().integer(number).done(),
};

/** The entries of a commit object in canonical order, without its signature. */
function entriesOf({ did, rev, data }: CommitFields): Entry[] {
  return [
    ['did', value.text(did)],
    ['rev', value.text(rev)],
    ['data', value.link(data)],
    ['prev', value.link(null)],
    ['version', value.integer(3)],
  ];
}

function encodeEntries(entries: readonly Entry[]): Buffer {
  const out = new DrislWriter().map(entries.length);
  for (const [key, bytes] of entries) out.text(key).raw(bytes);
  return out.done();
}

/** With `sig` where it belongs: behind `rev`. */
function withSig(entries: readonly Entry[], sig: Uint8Array): Entry[] {
  const index = entries.findIndex(([key]) => key.length > 3);
  return entries.toSpliced(index < 0 ? entries.length : index, 0, ['sig', value.bytes(sig)]);
}

/** A commit object with other entries, signed over what it says. */
export function signedEntries(change: (entries: Entry[]) => Entry[]): Input {
  return changed({
    commitBlock: (fields, keypair) => {
      const entries = change(entriesOf(fields));
      return encodeEntries(withSig(entries, keypair.sign(encodeEntries(entries))));
    },
  });
}

export function without(name: string): Input {
  return signedEntries((entries) => entries.filter(([key]) => key !== name));
}

export function replaced(name: string, bytes: Buffer): Input {
  return signedEntries((entries) =>
    entries.map((entry) => (entry[0] === name ? [name, bytes] : entry)),
  );
}

/** A commit object in another form; the signature is over the canonical one. */
export function otherForm(change: (entries: readonly Entry[]) => readonly Entry[]): Input {
  return changed({
    commitBlock: (fields, keypair) => {
      const sig = keypair.sign(encodeCommit(fields));
      return encodeEntries(change(withSig(entriesOf(fields), sig)));
    },
  });
}

/** A commit object whose signature was right before it was changed. */
export function signature(change: (sig: Buffer, curve: Curve) => Buffer): Changes {
  return {
    commitBlock: (fields, keypair) =>
      encodeCommit(fields, change(keypair.sign(encodeCommit(fields)), keypair.curve)),
  };
}

export function signedBy(key: Keypair): Changes {
  return { commitBlock: (fields) => encodeCommit(fields, key.sign(encodeCommit(fields))) };
}

const toInteger = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`);
export const scalar = (integer: bigint): Buffer => {
  return Buffer.from(integer.toString(16).padStart(64, '0'), 'hex');
};

/** r and s as ASN.1 has them. */
export function derOf(sig: Buffer): Buffer {
  const integer = (bytes: Buffer): Buffer => {
    const first = bytes.findIndex((byte) => byte !== 0);
    const digits = bytes.subarray(first);
    const body = digits.readUInt8(0) < 0x80 ? digits : Buffer.concat([Buffer.alloc(1), digits]);
    return Buffer.concat([Buffer.from([2, body.length]), body]);
  };
  const body = Buffer.concat([integer(sig.subarray(0, 32)), integer(sig.subarray(32))]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

export function highS(sig: Buffer, curve: Curve): Buffer {
  return Buffer.concat([sig.subarray(0, 32), scalar(ORDERS[curve] - toInteger(sig.subarray(32)))]);
}

/** A commit with one more field, made, and signed with it. */
export function withExtra(extra: (entries: readonly Entry[]) => readonly Entry[]): Input {
  return ({ repo }) =>
    forged(committed(repo, [create(newPath())]), {
      commitBlock: (fields, keypair) => {
        const entries = extra(entriesOf(fields));
        return encodeEntries(withSig(entries, keypair.sign(encodeEntries(entries))));
      },
    });
}
