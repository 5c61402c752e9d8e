/** The signed commit object made wrong, and signed again; and signatures made wrong (spec §5.5). */
import type { Prng } from '../../lib/base/prng.ts';
import { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { encodeTid } from '../../scripts/fleet/signed-repo.ts';
import { byteString, type Entry, entry, head, link, sorted, text } from './cbor-items.ts';
import { anyValue, mutateCbor } from './cbor-mutations.ts';
import type { Draft } from './draft.ts';
import type { Mutation } from './mutation.ts';
import { chance, mutateBytes, pick, strangeCid } from './random.ts';

const ORDERS = {
  k256: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
  p256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
} as const;
const EXTRA_NAMES = ['x', 'blobs', '$type', '__proto__', 'constructor', 'zzzzzzzzz', 'é', ''];
const DAY_MICROS = 86_400_000_000;

/** A change of the commit object and of nothing else. */
function ofCommit(
  name: string,
  change: (prng: Prng, entries: Entry[], draft: Draft) => Entry[],
  weight = 1,
): Mutation {
  return {
    name: `commit: ${name}`,
    weight,
    isOfSync: true,
    apply: (prng, draft) => {
      const before = draft.onCommit;
      draft.onCommit = (entries) => change(prng, before?.(entries) ?? entries, draft);
      return true;
    },
  };
}

function withValue(entries: Entry[], name: string, value: Buffer): Entry[] {
  const key = text(name);
  return entries.map((each) => (each.key.equals(key) ? { key, value } : each));
}

function toBytes(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
}

function highS(signature: Buffer, curve: 'k256' | 'p256'): Buffer {
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`);
  return Buffer.concat([signature.subarray(0, 32), toBytes(ORDERS[curve] - s)]);
}

function der(signature: Buffer): Buffer {
  const integer = (bytes: Buffer): Buffer => {
    const start = bytes.findIndex((byte) => byte !== 0);
    const short = bytes.subarray(Math.max(0, start));
    const content = (short[0] ?? 0) > 127 ? Buffer.concat([Buffer.alloc(1), short]) : short;
    return Buffer.concat([Buffer.from([2, content.length]), content]);
  };
  const content = Buffer.concat([
    integer(signature.subarray(0, 32)),
    integer(signature.subarray(32)),
  ]);
  return Buffer.concat([Buffer.from([0x30, content.length]), content]);
}

/** A rev of another time: before, after, far ahead, at the epoch. */
export function otherRev(prng: Prng, draft: Draft): string {
  const micros = draft.seq * 1000 + Date.parse(draft.time) * 1000;
  const times = [
    0,
    1000,
    micros - DAY_MICROS,
    micros - 1,
    micros + 1_000_000,
    micros + DAY_MICROS,
    2 ** 52,
  ];
  const odd = ['', 'k222222222222', '3LMXJZA3NVA00', '3lmxjza3nva00', draft.rev.slice(1)];
  const known = draft.known === null ? [] : [draft.known.rev];
  const revs = [...known, ...odd, ...times.map((time) => encodeTid(time, prng.nextBelow(1024)))];
  return pick(prng, revs);
}

const FIELD_CHANGES: readonly Mutation[] = [
  ofCommit('another did', (prng, entries, draft) => {
    const dids = [draft.did.toUpperCase(), `${draft.did} `, 'did:web:pds.example.com', '', 'é'];
    return withValue(entries, 'did', text(pick(prng, dids)));
  }),
  ofCommit('another rev', (prng, entries, draft) =>
    withValue(entries, 'rev', text(otherRev(prng, draft))),
  ),
  ofCommit('another version', (prng, entries) => {
    const values = [head(0, 2), head(0, 4), head(0, 3, 1), head(1, 2), text('3')];
    return withValue(entries, 'version', pick(prng, values));
  }),
  ofCommit('another data', (prng, entries, draft) => {
    const digest = draft.dataCid.slice(4);
    const cids = [
      strangeCid(prng),
      `\x01\x55\x12\x20${digest}`,
      `\x01\x71\x13\x20${digest}`,
      digest,
      ...(draft.known === null ? [] : [draft.known.dataCid]),
    ];
    return withValue(entries, 'data', pick(prng, [...cids.map(link), link(null)]));
  }),
  ofCommit('a prev', (prng, entries) => {
    const cid = strangeCid(prng);
    const odd = `\x01\x55\x12\x20${cid.slice(4)}`;
    return withValue(entries, 'prev', pick(prng, [link(cid), link(cid), link(odd), text('')]));
  }),
  ofCommit('a value of another type', (prng, entries) => {
    const at = prng.nextBelow(entries.length);
    return entries.with(at, { key: (entries[at] as Entry).key, value: anyValue(prng) });
  }),
  ofCommit('a field left out', (prng, entries) =>
    entries.toSpliced(prng.nextBelow(entries.length), 1),
  ),
  ofCommit(
    'a field more',
    (prng, entries) => sorted([...entries, entry(pick(prng, EXTRA_NAMES), anyValue(prng))]),
    2,
  ),
  ofCommit('a field twice', (prng, entries) => {
    const at = prng.nextBelow(entries.length);
    return entries.toSpliced(at, 0, entries[at] as Entry);
  }),
  ofCommit('fields out of order', (prng, entries) => {
    const at = prng.nextBelow(entries.length);
    return [...entries.toSpliced(at, 1), entries[at] as Entry];
  }),
  ofCommit('a sig before it is signed', (prng, entries) =>
    sorted([...entries, entry('sig', byteString(Buffer.alloc(pick(prng, [0, 63, 64]), 1)))]),
  ),
];

const SIGNATURE_FORMS: readonly ((signature: Buffer, draft: Draft) => Buffer)[] = [
  (signature, { signer }) => highS(signature, signer.curve),
  der,
  (signature) => Buffer.concat([Buffer.alloc(32), signature.subarray(32)]),
  (signature) => Buffer.concat([signature.subarray(0, 32), Buffer.alloc(32)]),
  (signature, { signer }) => Buffer.concat([toBytes(ORDERS[signer.curve]), signature.subarray(32)]),
  (signature) => signature.subarray(0, 63),
  (signature) => Buffer.concat([signature, Buffer.alloc(1)]),
  () => Buffer.alloc(0),
  () => Buffer.alloc(64),
  () => Buffer.alloc(64, 255),
];

function patching(
  name: string,
  weight: number,
  patch: (prng: Prng, draft: Draft) => boolean,
): Mutation {
  return { name: `commit: ${name}`, weight, isOfSync: true, apply: patch };
}

export const COMMIT_MUTATIONS: readonly Mutation[] = [
  ...FIELD_CHANGES,
  patching('its encoding, then signed', 4, (prng, draft) => {
    draft.onUnsigned = (bytes) => mutateCbor(prng, bytes);
    return true;
  }),
  patching('its bytes, then signed', 2, (prng, draft) => {
    draft.onUnsigned = (bytes) => mutateBytes(prng, bytes);
    return true;
  }),
  patching('its encoding after it is signed', 2, (prng, draft) => {
    draft.onSigned = (bytes) => mutateCbor(prng, bytes);
    return true;
  }),
  patching('its bytes after it is signed', 2, (prng, draft) => {
    draft.onSigned = (bytes) => mutateBytes(prng, bytes);
    return true;
  }),
  patching('a signature of another form', 2, (prng, draft) => {
    const form = pick(prng, SIGNATURE_FORMS);
    draft.onSignature = (signature) => form(signature, draft);
    return true;
  }),
  patching('a signature with other bytes', 1, (prng, draft) => {
    draft.onSignature = (signature) => mutateBytes(prng, signature);
    return true;
  }),
  patching('signed by another key', 1, (prng, draft) => {
    const curve = chance(prng, 0.9) ? 'k256' : draft.key.curve;
    draft.signer = new Keypair(curve, `other ${prng.nextBelow(4)}`);
    return true;
  }),
  patching('not the CID of its block', 0.5, (prng, draft) => {
    const strange = strangeCid(prng);
    draft.onCommitCid = (cid) => pick(prng, [strange, `\x01\x55\x12\x20${cid.slice(4)}`]);
    return true;
  }),
  patching('another did, in the message too', 1, (prng, draft) => {
    draft.did = pick(prng, [
      'did:web:pds.example.com',
      'did:web:pds.example.org',
      'did:web:a.test',
      'did:web:localhost%3A1234',
      'did:plc:aaaaaaaaaaaaaaaaaaaaaaa1',
      'did:plc:AAAAAAAAAAAAAAAAAAAAAAAA',
      'did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme',
      `did:plc:${'a'.repeat(24)}`,
      `did:web:${'a'.repeat(2030)}.com`,
      '',
    ]);
    return true;
  }),
  patching('another rev, in the message too', 2, (prng, draft) => {
    draft.rev = otherRev(prng, draft);
    return true;
  }),
];
