/**
 * Signing keys of fleet accounts, made from a seed. Signatures are deterministic (RFC 6979) on
 * both curves and low-S. Not constant-time: these keys guard nothing.
 */
import { createECDH, createHash, createHmac, hash } from 'node:crypto';
import { createRequire } from 'node:module';

export type Curve = 'k256' | 'p256';

const OPENSSL_NAMES = { k256: 'secp256k1', p256: 'prime256v1' } as const;
const ORDERS = {
  k256: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
  p256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
} as const;
const MULTICODECS = { k256: [0xe7, 0x01], p256: [0x80, 0x24] } as const;
const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

type NativeModule = {
  ecdsaSign(digest: Buffer, secret: Buffer): { signature: Uint8Array };
};

function loadNative(): NativeModule | undefined {
  try {
    const module: NativeModule = createRequire(import.meta.url)('secp256k1/bindings.js');
    return module;
  } catch {
    return undefined;
  }
}
const native = loadNative();

export class Keypair {
  readonly curve: Curve;
  /** The public point, compressed: 33 bytes. */
  readonly bytes: Buffer;
  readonly #secret: Buffer;

  /** The same curve and seed always give the same key. */
  constructor(curve: Curve, seed: string) {
    this.curve = curve;
    const digest = createHash('sha512').update(`${curve}:${seed}`).digest();
    this.#secret = toBytes((toInteger(digest) % (ORDERS[curve] - 1n)) + 1n);
    this.bytes = this.#publicPoint();
  }

  /** `z…`, as it stands in a DID document of type Multikey. */
  get multibase(): string {
    return `z${base58(Buffer.concat([Buffer.from(MULTICODECS[this.curve]), this.bytes]))}`;
  }

  /** r‖s over the SHA-256 of the message: 64 bytes, low-S. */
  sign(message: Uint8Array): Buffer {
    const digest = hash('sha256', message, 'buffer');
    if (this.curve === 'k256' && native !== undefined) {
      return Buffer.from(native.ecdsaSign(digest, this.#secret).signature);
    }
    return this.#signSlowly(digest);
  }

  #publicPoint(): Buffer {
    const ecdh = createECDH(OPENSSL_NAMES[this.curve]);
    ecdh.setPrivateKey(this.#secret);
    return ecdh.getPublicKey(null, 'compressed');
  }

  #signSlowly(digest: Buffer): Buffer {
    const order = ORDERS[this.curve];
    const secret = toInteger(this.#secret);
    for (const nonce of nonces(this.#secret, digest, order)) {
      const ecdh = createECDH(OPENSSL_NAMES[this.curve]);
      ecdh.setPrivateKey(toBytes(nonce));
      const r = toInteger(ecdh.getPublicKey(null, 'compressed').subarray(1)) % order;
      const s = (inverse(nonce, order) * (toInteger(digest) + r * secret)) % order;
      if (r === 0n || s === 0n) continue;
      const lowS = s > order / 2n ? order - s : s;
      return Buffer.concat([toBytes(r), toBytes(lowS)]);
    }
    throw new Error('the nonces never end');
  }
}

/** The nonces of RFC 6979 §3.2, in order. */
function* nonces(secret: Buffer, digest: Buffer, order: bigint): Generator<bigint> {
  const seed = Buffer.concat([secret, toBytes(toInteger(digest) % order)]);
  let key = Buffer.alloc(32);
  let value = Buffer.alloc(32, 1);
  const hmac = (...parts: readonly Uint8Array[]): Buffer => {
    const mac = createHmac('sha256', key);
    for (const part of parts) mac.update(part);
    return mac.digest();
  };
  const stir = (mark: number, extra: Uint8Array): void => {
    key = hmac(value, Buffer.from([mark]), extra) as typeof key;
    value = hmac(value) as typeof value;
  };
  stir(0, seed);
  stir(1, seed);
  for (;;) {
    value = hmac(value) as typeof value;
    const nonce = toInteger(value);
    if (nonce > 0n && nonce < order) yield nonce;
    stir(0, Buffer.alloc(0));
  }
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b] = [value % modulus, modulus];
  let [x, y] = [1n, 0n];
  while (b !== 0n) {
    const quotient = a / b;
    [a, b] = [b, a % b];
    [x, y] = [y, x - quotient * y];
  }
  return ((x % modulus) + modulus) % modulus;
}

function toInteger(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}

function toBytes(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
}

function base58(bytes: Uint8Array): string {
  let text = '';
  for (let rest = toInteger(bytes); rest > 0n; rest /= 58n) {
    text = `${BASE58.charAt(Number(rest % 58n))}${text}`;
  }
  return text;
}
