/** SG-5, SG-6, H93: keys of DID documents. */
import { createECDH } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { decodeBase58 } from '../../lib/identity/base58.ts';
import {
  type Curve,
  isSameKey,
  keyFromText,
  keyToText,
  parseMethodKey,
} from '../../lib/identity/key.ts';
import { interopJson } from '../repo/interop.ts';
import { encodeBase58, multikey, newKey, wholeKey } from './documents.ts';

const CURVES: readonly Curve[] = ['k256', 'p256'];
const LEGACY = {
  k256: 'EcdsaSecp256k1VerificationKey2019',
  p256: 'EcdsaSecp256r1VerificationKey2019',
};

t.test('base58 undoes an independent encoder, leading zeros included', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const text = encodeBase58(bytes);
      return decodeBase58(text, 128)?.equals(Buffer.from(bytes)) === true;
    }),
  );
  t.same(decodeBase58('', 8), Buffer.alloc(0));
  t.same(decodeBase58('2NEpo7TZRRrLZSi2U', 32), Buffer.from('Hello World!'));
  for (const text of ['0', 'O', 'I', 'l', 'a b', 'é', '111_', '2NEpo7TZRRrLZSi2U=']) {
    t.equal(decodeBase58(text, 32), undefined, text);
  }
  t.equal(decodeBase58('1'.repeat(33), 32), undefined, 'over the bound');
});

t.test('SG-5: Multikey on both curves', async (t) => {
  for (const curve of CURVES) {
    const bytes = newKey(curve);
    t.same(parseMethodKey('Multikey', multikey(curve, bytes)), { curve, bytes });
  }
});

t.test('SG-6: legacy types carry 33 or 65 bytes without a codec', async (t) => {
  for (const curve of CURVES) {
    const bytes = newKey(curve);
    const whole = wholeKey(curve, bytes);
    t.same(parseMethodKey(LEGACY[curve], `z${encodeBase58(bytes)}`), { curve, bytes });
    t.same(parseMethodKey(LEGACY[curve], `z${encodeBase58(whole)}`), { curve, bytes });
    t.equal(parseMethodKey('Multikey', `z${encodeBase58(bytes)}`), undefined, 'no codec');
    t.equal(parseMethodKey(LEGACY[curve], multikey(curve, bytes)), undefined, 'with codec');
  }
});

t.test('SG-1, SG-5: the interop did:keys are the points of their private keys', async (t) => {
  type Row = { readonly privateKeyBytesHex?: string; readonly privateKeyBytesBase58?: string };
  type Named = Row & { readonly publicDidKey: string };
  const files = { k256: 'crypto/w3c_didkey_K256.json', p256: 'crypto/w3c_didkey_P256.json' };
  for (const curve of CURVES) {
    const rows = interopJson<Named[]>(files[curve]);
    t.ok(rows.length > 0);
    for (const { privateKeyBytesHex: hex, privateKeyBytesBase58: base58, publicDidKey } of rows) {
      const secret = hex ? Buffer.from(hex, 'hex') : decodeBase58(base58 ?? '', 44);
      const ecdh = createECDH(curve === 'k256' ? 'secp256k1' : 'prime256v1');
      ecdh.setPrivateKey(secret ?? Buffer.alloc(0));
      const bytes = ecdh.getPublicKey(null, 'compressed');
      const key = parseMethodKey('Multikey', publicDidKey.slice('did:key:'.length));
      t.same(key, { curve, bytes }, publicDidKey);
    }
  }
});

t.test('SG-5, SG-6: published keys', async (t) => {
  const p256 = parseMethodKey(LEGACY.p256, 'zxdM8dSstjrpZaRUwBmDvjGXweKuEMVN95A9oJBFjkWMh');
  const same = parseMethodKey('Multikey', 'zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo');
  t.ok(p256 !== undefined && same !== undefined && isSameKey(p256, same));
  const k256 = parseMethodKey(LEGACY.k256, 'z25z9DTpsiYYJKGsWmSPJK2NFN8PcJtZig12K59UgW7q5t');
  const twin = parseMethodKey('Multikey', 'zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc');
  t.ok(k256 !== undefined && twin !== undefined && isSameKey(k256, twin));
  const old =
    'zNwBLoAws5YSAN4ZgFLzwD5RFazfXxuocFqXGj1SSU8aYXEaEANcFoGqBL5sjV4DD1EU1n76UvjW1349VtnQat8ay';
  t.equal(parseMethodKey(LEGACY.k256, old)?.bytes.length, 33, 'written by the npm directory');
});

t.test('H93: keys that are none', async (t) => {
  const bytes = newKey('k256');
  const whole = wholeKey('k256', bytes);
  const good = multikey('k256', bytes);
  const offCurve = Buffer.from(whole);
  offCurve[64] = (offCurve[64] ?? 0) ^ 1;
  const hybrid = Buffer.from(whole);
  hybrid[0] = 6 + ((whole[64] ?? 0) & 1);
  const overField = Buffer.alloc(33, 0xff);
  overField[0] = 2;
  const bad: readonly (readonly [name: string, type: string, multibase: string])[] = [
    ['Ed25519', 'Multikey', 'z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'],
    ['bad base58', 'Multikey', good.replace(/.$/, '0')],
    ['another multibase', 'Multikey', `m${bytes.toString('base64')}`],
    ['upper-case Z', 'Multikey', good.replace('z', 'Z')],
    ['empty', 'Multikey', ''],
    ['only z', 'Multikey', 'z'],
    ['one byte short', 'Multikey', multikey('k256', bytes.subarray(0, 32))],
    ['one byte long', 'Multikey', multikey('k256', Buffer.concat([bytes, Buffer.alloc(1)]))],
    ['65 bytes with codec', 'Multikey', multikey('k256', whole)],
    ['uncompressed prefix on 33', 'Multikey', multikey('k256', Buffer.alloc(33, 4))],
    ['all zero', 'Multikey', multikey('k256', Buffer.alloc(33))],
    ['x over the field', 'Multikey', multikey('k256', overField)],
    ['off the curve', LEGACY.k256, `z${encodeBase58(offCurve)}`],
    ['hybrid form', LEGACY.k256, `z${encodeBase58(hybrid)}`],
    ['on the other curve', LEGACY.p256, `z${encodeBase58(whole)}`],
    ['unknown type', 'JsonWebKey2020', good],
    ['type of an object', 'constructor', good],
    ['huge', 'Multikey', `z${'2'.repeat(60_000)}`],
  ];
  for (const [name, type, multibase] of bad) {
    t.equal(parseMethodKey(type, multibase), undefined, name);
  }
});

t.test('H93: half of all x values have no point; none of those passes', async (t) => {
  for (const curve of CURVES) {
    const bytes = newKey(curve);
    let refused = 0;
    for (let i = 0; i < 40; i++) {
      bytes[20] = i;
      if (parseMethodKey('Multikey', multikey(curve, bytes)) === undefined) refused++;
    }
    t.ok(refused > 5 && refused < 35, `${refused} of 40 refused`);
  }
});

t.test('a key survives its text form', async (t) => {
  for (const curve of CURVES) {
    const key = { curve, bytes: newKey(curve) };
    t.match(keyToText(key), new RegExp(`^${curve}:[\\w-]{44}$`));
    t.same(keyFromText(keyToText(key)), key);
  }
  for (const text of [
    '',
    'k256:',
    'k256:AAAA',
    `x256:${'A'.repeat(44)}`,
    `k256:${'A'.repeat(44)}`,
  ]) {
    t.equal(keyFromText(text), undefined, text);
  }
});

t.test('keys compare by value', async (t) => {
  const bytes = newKey('k256');
  t.equal(isSameKey({ curve: 'k256', bytes }, { curve: 'k256', bytes: Buffer.from(bytes) }), true);
  t.equal(isSameKey({ curve: 'k256', bytes }, { curve: 'p256', bytes }), false);
  t.equal(isSameKey({ curve: 'k256', bytes }, null), false);
  t.equal(isSameKey(null, null), true);
});
