/**
 * Is this signature over these bytes by this key (spec §1.8): ECDSA over SHA-256 on both curves,
 * 64 bytes r‖s in range, low-S on both (OpenSSL accepts high-S). Does not know whose key it is,
 * nor what was signed.
 * @thread any
 */
import { verify } from 'node:crypto';
import type { RejectCode } from '../reject/codes.ts';
import {
  type K256Backend,
  type K256BackendName,
  nativeK256,
  opensslK256,
  wasmK256,
} from './k256.ts';
import { KeyObjects } from './key-objects.ts';

/** A point on its curve, compressed: 02 or 03, then x. */
export type SigningKey = { readonly curve: 'k256' | 'p256'; readonly bytes: Buffer };

const SCALAR_BYTES = 32;
export const SIGNATURE_BYTES = 2 * SCALAR_BYTES;

/** Group order, and the largest s that counts as low: half of it, rounded down. */
const ORDERS = {
  k256: Buffer.from('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141', 'hex'),
  p256: Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex'),
};
const LOW_S_MAX = {
  k256: Buffer.from('7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0', 'hex'),
  p256: Buffer.from('7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8', 'hex'),
};

const p256Keys = new KeyObjects('p256');
let k256: K256Backend | undefined;

/**
 * Chooses how k256 signatures are verified; once per thread, before its first frame. Without it
 * the choice is made at the first signature, and WebAssembly, which starts asynchronously, is out.
 */
export async function initSignature(): Promise<K256BackendName> {
  k256 = nativeK256() ?? (await wasmK256()) ?? opensslK256();
  return k256.name;
}

/** The choice that is in force, for the log and the metric. */
export function signatureBackend(): K256BackendName {
  return chosenK256().name;
}

function chosenK256(): K256Backend {
  k256 ??= nativeK256() ?? opensslK256();
  return k256;
}

/** Why the signature does not stand, or undefined where it does (H84…H90). */
export function signatureVerdict(
  key: SigningKey,
  message: Buffer,
  signature: Buffer,
): RejectCode | undefined {
  if (signature.length !== SIGNATURE_BYTES) return 'commit_signature_malformed';
  const order = ORDERS[key.curve];
  if (!isScalar(signature, 0, order) || !isScalar(signature, SCALAR_BYTES, order)) {
    return 'commit_signature_malformed';
  }
  const isLow = compareScalar(signature, SCALAR_BYTES, LOW_S_MAX[key.curve]) <= 0;
  if (!isLow) return 'commit_signature_high_s';
  return isMade(key, message, signature) ? undefined : 'commit_signature_bad';
}

function isMade(key: SigningKey, message: Buffer, signature: Buffer): boolean {
  if (key.curve === 'k256') return chosenK256().verify(message, signature, key.bytes);
  const publicKey = p256Keys.get(key.bytes);
  if (publicKey === undefined) return false;
  return verify('sha256', message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature);
}

/** 1 … order - 1 (H87). */
function isScalar(signature: Buffer, at: number, order: Buffer): boolean {
  if (compareScalar(signature, at, order) >= 0) return false;
  for (let i = 0; i < SCALAR_BYTES; i++) if (signature[at + i] !== 0) return true;
  return false;
}

function compareScalar(signature: Buffer, at: number, bound: Buffer): number {
  for (let i = 0; i < SCALAR_BYTES; i++) {
    const difference = (signature[at + i] as number) - (bound[i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}
