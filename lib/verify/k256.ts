/**
 * ECDSA verification on secp256k1, three ways: the native binding (52 µs), a WebAssembly build of
 * the same library (155 µs) for platforms without a prebuilt binding, and OpenSSL (330 µs) that is
 * always there. Each is tried against a known signature before it is trusted. The package's own
 * entry point falls back to a JavaScript library of 1,900 µs without a word, hence `bindings.js`.
 * Range and low-S are checked by `signature.ts`; here only "did this key sign this".
 * @thread any
 */
import { hash, verify } from 'node:crypto';
// biome-ignore lint/style/noRestrictedImports: the binding throws on load where it has no prebuild.
import { createRequire } from 'node:module';
import { writeLatin1 } from '../base/bytes.ts';
import { KeyObjects } from './key-objects.ts';

export type K256BackendName = 'native' | 'wasm' | 'openssl';

export type K256Backend = {
  readonly name: K256BackendName;
  /** Whether the compressed key made this signature (r‖s in range, low-S) over the message. */
  verify(message: Buffer, signature: Buffer, key: Buffer): boolean;
};

/** The one function used of `secp256k1/bindings.js`; it throws for a key that is no point. */
type NativeModule = { ecdsaVerify(signature: Buffer, digest: Buffer, key: Buffer): boolean };
type WasmInstance = {
  verifySignatureCompactLowS(signature: Buffer, key: Buffer, digest: Buffer): boolean;
};
type WasmModule = { instantiateSecp256k1(): Promise<WasmInstance> };

const require = createRequire(import.meta.url);
const digest = Buffer.allocUnsafeSlow(32);

function digestOf(message: Buffer): Buffer {
  writeLatin1(digest, hash('sha256', message, 'latin1'), 0);
  return digest;
}

/** The native binding, or undefined where this platform has none that works. */
export function nativeK256(): K256Backend | undefined {
  try {
    const native: NativeModule = require('secp256k1/bindings.js');
    return proven({
      name: 'native',
      verify: (message, signature, key) => {
        try {
          return native.ecdsaVerify(signature, digestOf(message), key);
        } catch {
          return false;
        }
      },
    });
  } catch {
    return undefined;
  }
}

/** The WebAssembly build, or undefined where it cannot be had. */
export async function wasmK256(): Promise<K256Backend | undefined> {
  try {
    // The package's entry point cannot be required (it awaits at top level); this file can.
    const module: WasmModule = require('@bitauth/libauth/build/lib/crypto/secp256k1.js');
    const wasm = await module.instantiateSecp256k1();
    return proven({
      name: 'wasm',
      verify: (message, signature, key) =>
        wasm.verifySignatureCompactLowS(signature, key, digestOf(message)),
    });
  } catch {
    return undefined;
  }
}

/** OpenSSL, through node:crypto. */
export function opensslK256(): K256Backend {
  const keys = new KeyObjects('k256');
  return {
    name: 'openssl',
    verify: (message, signature, key) => {
      const publicKey = keys.get(key);
      if (publicKey === undefined) return false;
      return verify('sha256', message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature);
    },
  };
}

/** A signature from the protocol's public test vectors: {"hello": "world"}. */
const PROOF_MESSAGE = Buffer.from('oWVoZWxsb2V3b3JsZA', 'base64');
const PROOF_KEY = Buffer.from(
  '03a7d7fbf04846fa1fcff728ba594f3c5819345e88908e874b537ba5a65d1fc3bb',
  'hex',
);
const PROOF_SIGNATURE = Buffer.from(
  '5WpdIuEUUfVUYaozsi8G0B3cWO09cgZbIIwg1t2YKdUn/FEznOndsz/qgiYb89zwxYCbB71f7yQK5Lr7NasfoA',
  'base64',
);

/** The backend, if it tells the right signature from one over another message. */
function proven(backend: K256Backend): K256Backend | undefined {
  const isRight = backend.verify(PROOF_MESSAGE, PROOF_SIGNATURE, PROOF_KEY);
  const isFooled = backend.verify(PROOF_KEY, PROOF_SIGNATURE, PROOF_KEY);
  return isRight && !isFooled ? backend : undefined;
}
