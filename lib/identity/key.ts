/**
 * The public key of an account as a DID document writes it, and as we store it. Pure except for
 * the curve arithmetic of node:crypto. Does not know documents and verifies nothing.
 * @thread any
 */
import { ECDH } from 'node:crypto';
import { decodeBase58 } from './base58.ts';

export type Curve = 'k256' | 'p256';

/** A point on its curve, compressed. Structurally the `SigningKey` of verify/signature.ts. */
export type PublicKey = {
  readonly curve: Curve;
  /** 33 bytes: 02 or 03, then x. */
  readonly bytes: Buffer;
};

const KEY_BYTES = 33;
const UNCOMPRESSED_KEY_BYTES = 65;
/** The longest valid text is a legacy key of 65 bytes: 90 characters. */
const MULTIBASE_CHARS_MAX = 128;
const OPENSSL_NAME = { k256: 'secp256k1', p256: 'prime256v1' } as const;
/** Multicodec of the key types as varint: 0xe7, 0x1200. */
const MULTICODEC_BYTES = { k256: [0xe7, 0x01], p256: [0x80, 0x24] } as const;
/** Verification method types that carry the key without a multicodec (SG-6). */
const LEGACY_CURVE = new Map<string, Curve>([
  ['EcdsaSecp256k1VerificationKey2019', 'k256'],
  ['EcdsaSecp256r1VerificationKey2019', 'p256'],
]);

/**
 * The key of a verification method, or undefined when it is no valid k256 or p256 key (H93: other
 * curve, bad base58, wrong length, not on the curve). `Multikey` per SG-5; the legacy types take
 * 33 and 65 bytes, as the text and the published fixtures differ (SG-6).
 */
export function parseMethodKey(type: string, multibase: string): PublicKey | undefined {
  if (!multibase.startsWith('z')) return undefined;
  const bytes = decodeBase58(multibase.slice(1), MULTIBASE_CHARS_MAX);
  if (bytes === undefined) return undefined;
  const legacyCurve = LEGACY_CURVE.get(type);
  if (legacyCurve !== undefined) return toPublicKey(legacyCurve, bytes);
  if (type !== 'Multikey' || bytes.length !== KEY_BYTES + 2) return undefined;
  const curve = multicodecCurve(bytes.readUInt8(0), bytes.readUInt8(1));
  return curve === undefined ? undefined : toPublicKey(curve, bytes.subarray(2));
}

function multicodecCurve(byte0: number, byte1: number): Curve | undefined {
  for (const curve of ['k256', 'p256'] as const) {
    const [codec0, codec1] = MULTICODEC_BYTES[curve];
    if (byte0 === codec0 && byte1 === codec1) return curve;
  }
  return undefined;
}

/** Compresses and checks that the point is on its curve; about 0.1 ms. */
function toPublicKey(curve: Curve, bytes: Buffer): PublicKey | undefined {
  const isCompressed = bytes.length === KEY_BYTES && (bytes.readUInt8(0) & 0xfe) === 2;
  // OpenSSL also takes the hybrid forms 06 and 07: the prefix is ours to check.
  const isWhole = bytes.length === UNCOMPRESSED_KEY_BYTES && bytes.readUInt8(0) === 4;
  if (!isCompressed && !isWhole) return undefined;
  try {
    const point = ECDH.convertKey(bytes, OPENSSL_NAME[curve], undefined, undefined, 'compressed');
    return { curve, bytes: Buffer.from(point as Uint8Array) };
  } catch {
    // Not on the curve: bad data, not a fault of ours.
    return undefined;
  }
}

/** `k256:` or `p256:` and the 33 bytes as base64url: the form in PostgreSQL. */
export function keyToText(key: PublicKey): string {
  return `${key.curve}:${key.bytes.toString('base64url')}`;
}

/** Undoes keyToText(). Checks the form only: what we stored was on its curve. */
export function keyFromText(text: string): PublicKey | undefined {
  const [, curve, encoded] = /^(k256|p256):([\w-]{44})$/.exec(text) ?? [];
  if ((curve !== 'k256' && curve !== 'p256') || encoded === undefined) return undefined;
  const bytes = Buffer.from(encoded, 'base64url');
  return bytes.length === KEY_BYTES && (bytes.readUInt8(0) & 0xfe) === 2
    ? { curve, bytes }
    : undefined;
}

export function isSameKey(a: PublicKey | null, b: PublicKey | null): boolean {
  if (a === null || b === null) return a === b;
  return a.curve === b.curve && a.bytes.equals(b.bytes);
}
