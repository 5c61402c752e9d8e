/** Builders of DID documents and of keys as documents write them. */
import { createECDH, ECDH } from 'node:crypto';
import type { Curve } from '../../lib/identity/key.ts';

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const OPENSSL_NAME = { k256: 'secp256k1', p256: 'prime256v1' } as const;
const CODEC = { k256: [0xe7, 0x01], p256: [0x80, 0x24] } as const;

export const DID = 'did:plc:z52sr6waagn6igaywwlmmmed';
export const OTHER_DID = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz';

export function encodeBase58(bytes: Uint8Array): string {
  let value = BigInt(`0x00${Buffer.from(bytes).toString('hex')}`);
  let text = '';
  for (; value > 0n; value /= 58n) text = ALPHABET[Number(value % 58n)] + text;
  const zeroCount = bytes.findIndex((byte) => byte !== 0);
  return '1'.repeat(zeroCount < 0 ? bytes.length : zeroCount) + text;
}

/** A fresh key, 33 bytes. */
export function newKey(curve: Curve): Buffer {
  const ecdh = createECDH(OPENSSL_NAME[curve]);
  ecdh.generateKeys();
  return ecdh.getPublicKey(null, 'compressed');
}

/** The 65-byte form of a key of 33 bytes. */
export function wholeKey(curve: Curve, bytes: Buffer): Buffer {
  const name = OPENSSL_NAME[curve];
  return ECDH.convertKey(bytes, name, undefined, undefined, 'uncompressed') as Buffer;
}

export function multikey(curve: Curve, bytes: Uint8Array): string {
  return `z${encodeBase58(Buffer.concat([Buffer.from(CODEC[curve]), bytes]))}`;
}

export function keyEntry(did: string, multibase: string, fields: object = {}): object {
  const entry = { id: `${did}#atproto`, type: 'Multikey', controller: did };
  return { ...entry, publicKeyMultibase: multibase, ...fields };
}

export function pdsEntry(endpoint: unknown, fields: object = {}): object {
  const entry = { id: '#atproto_pds', type: 'AtprotoPersonalDataServer' };
  return { ...entry, serviceEndpoint: endpoint, ...fields };
}

/** A whole and right document; `fields` replace what it has. */
export function documentOf(did: string, fields: object = {}): Record<string, unknown> {
  return {
    '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
    id: did,
    alsoKnownAs: ['at://alice.example.com'],
    verificationMethod: [keyEntry(did, multikey('k256', KEY))],
    service: [pdsEntry('https://pds.example.com')],
    ...fields,
  };
}

/** The key of documentOf(). */
export const KEY = newKey('k256');
