/** Signatures (spec §1.8) with every backend for k256 that there is. */
import t from 'tap';
import { nativeK256, opensslK256, wasmK256 } from '../../lib/verify/k256.ts';
import { KEY_OBJECTS_MAX, KeyObjects } from '../../lib/verify/key-objects.ts';
import {
  initSignature,
  type SigningKey,
  signatureBackend,
  signatureVerdict,
} from '../../lib/verify/signature.ts';
import { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { interopJson } from '../repo/interop.ts';

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const MESSAGE = Buffer.from('a message');
const ORDERS = {
  k256: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
  p256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
};

function decodeBase58(text: string): Buffer {
  let value = 0n;
  for (const char of text) value = value * 58n + BigInt(BASE58.indexOf(char));
  const hex = value.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
}

const scalar = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
const integer = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`);

type Fixture = {
  readonly comment: string;
  readonly messageBase64: string;
  readonly algorithm: 'ES256' | 'ES256K';
  readonly publicKeyDid: string;
  readonly signatureBase64: string;
  readonly validSignature: boolean;
  readonly tags: readonly string[];
};
const FIXTURES = interopJson<Fixture[]>('crypto/signature-fixtures.json');

function keyOf(fixture: Fixture): SigningKey {
  const curve = fixture.algorithm === 'ES256' ? 'p256' : 'k256';
  return { curve, bytes: decodeBase58(fixture.publicKeyDid.slice('did:key:z'.length)).subarray(2) };
}

t.test('the fast binding is there on this platform, and is chosen', async (t) => {
  t.equal(await initSignature(), 'native');
  t.equal(signatureBackend(), 'native');
});

t.test('SG-2, SG-3, SG-4, H84, H85, H86: the interop signatures', async (t) => {
  t.equal(FIXTURES.length, 6);
  for (const fixture of FIXTURES) {
    const message = Buffer.from(fixture.messageBase64, 'base64');
    const signature = Buffer.from(fixture.signatureBase64, 'base64');
    const verdict = signatureVerdict(keyOf(fixture), message, signature);
    if (fixture.validSignature) t.equal(verdict, undefined, fixture.comment);
    else if (fixture.tags.includes('der-encoded'))
      t.equal(verdict, 'commit_signature_malformed', fixture.comment);
    else t.equal(verdict, 'commit_signature_high_s', fixture.comment);
  }
});

for (const curve of ['k256', 'p256'] as const) {
  const key = new Keypair(curve, 'signature');
  const right = key.sign(MESSAGE);
  const order = ORDERS[curve];

  t.test(`${curve}: another message, another key, another signature`, async (t) => {
    t.equal(signatureVerdict(key, MESSAGE, right), undefined);
    t.equal(signatureVerdict(key, Buffer.from('another'), right), 'commit_signature_bad');
    const other = new Keypair(curve, 'other');
    t.equal(signatureVerdict(other, MESSAGE, right), 'commit_signature_bad');
    const changed = Buffer.from(right);
    changed.writeUInt8(changed.readUInt8(31) ^ 1, 31);
    t.equal(signatureVerdict(key, MESSAGE, changed), 'commit_signature_bad');
  });

  t.test(`SG-3, SG-4, H86: ${curve}: high-S is refused at the exact bound`, async (t) => {
    const r = right.subarray(0, 32);
    const highS = scalar(order - integer(right.subarray(32)));
    t.equal(signatureVerdict(key, MESSAGE, Buffer.concat([r, highS])), 'commit_signature_high_s');
    const half = scalar(order / 2n);
    t.equal(signatureVerdict(key, MESSAGE, Buffer.concat([r, half])), 'commit_signature_bad');
    const above = scalar(order / 2n + 1n);
    t.equal(signatureVerdict(key, MESSAGE, Buffer.concat([r, above])), 'commit_signature_high_s');
  });

  t.test(`SG-2, H87: ${curve}: r and s in 1 … n-1`, async (t) => {
    const [r, s] = [right.subarray(0, 32), right.subarray(32)];
    const zero = Buffer.alloc(32);
    for (const bad of [
      [zero, s],
      [r, zero],
      [scalar(order), s],
      [r, scalar(order)],
      [Buffer.alloc(32, 0xff), s],
      [r, Buffer.alloc(32, 0xff)],
    ])
      t.equal(signatureVerdict(key, MESSAGE, Buffer.concat(bad)), 'commit_signature_malformed');
    const last = Buffer.concat([scalar(order - 1n), s]);
    t.equal(signatureVerdict(key, MESSAGE, last), 'commit_signature_bad', 'n-1 is in range');
  });

  t.test(`SG-2, H84: ${curve}: lengths other than 64`, async (t) => {
    for (const length of [0, 1, 32, 63, 65, 128])
      t.equal(
        signatureVerdict(key, MESSAGE, Buffer.concat([right, right]).subarray(0, length)),
        'commit_signature_malformed',
        `${length}`,
      );
  });

  t.test(`H93: ${curve}: a key that is no point is a bad signature, never a throw`, async (t) => {
    for (const bytes of [
      Buffer.alloc(33),
      Buffer.alloc(33, 0xff),
      Buffer.alloc(0),
      key.bytes.subarray(1),
    ])
      t.equal(signatureVerdict({ curve, bytes }, MESSAGE, right), 'commit_signature_bad');
  });

  t.test(
    `${curve}: the fleet signs as node:crypto verifies, low-S, the same each time`,
    async (t) => {
      t.same(key.sign(MESSAGE), right);
      t.equal(right.length, 64);
      for (let i = 0; i < 40; i++) {
        const message = Buffer.from(`message ${i}`);
        t.equal(signatureVerdict(key, message, key.sign(message)), undefined);
      }
    },
  );
}

t.test('every k256 backend tells right from wrong', async (t) => {
  const backends = [nativeK256(), await wasmK256(), opensslK256()];
  const key = new Keypair('k256', 'backend');
  for (const [index, name] of ['native', 'wasm', 'openssl'].entries()) {
    const backend = backends[index];
    if (backend === undefined) throw new Error(`no ${name} backend`);
    t.equal(backend.name, name);
    for (let i = 0; i < 10; i++) {
      const message = Buffer.from(`message ${i}`);
      const signature = key.sign(message);
      t.ok(backend.verify(message, signature, key.bytes), name);
      t.notOk(backend.verify(MESSAGE, signature, key.bytes), name);
      t.notOk(backend.verify(message, signature, new Keypair('k256', `${i}`).bytes), name);
    }
    for (const bytes of [Buffer.alloc(33), Buffer.alloc(33, 0xff)])
      t.notOk(backend.verify(MESSAGE, key.sign(MESSAGE), bytes), `${name}: no point`);
  }
});

t.test('parsed keys are bounded; the least recently used goes first', async (t) => {
  const keys = new KeyObjects('k256');
  const points = Array.from(
    { length: KEY_OBJECTS_MAX + 1 },
    (_, i) => new Keypair('k256', `${i}`).bytes,
  );
  const first = keys.get(points[0] as Buffer);
  const second = keys.get(points[1] as Buffer);
  for (const point of points.slice(2, -1)) keys.get(point);
  t.equal(keys.count, KEY_OBJECTS_MAX);
  t.equal(keys.get(points[0] as Buffer), first, 'used again');
  keys.get(points.at(-1) as Buffer);
  t.equal(keys.count, KEY_OBJECTS_MAX);
  t.equal(keys.get(points[0] as Buffer), first, 'kept');
  t.not(keys.get(points[1] as Buffer), second, 'forgotten, parsed anew');
  t.equal(keys.get(Buffer.alloc(33)), undefined);
});
