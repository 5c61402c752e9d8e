/** The DID hash: fixed for ever, the same for bytes and text, and spread evenly. */
import t from 'tap';
import { type DidHash, didHash, didHashOfText, shardOf } from '../../lib/wire/did-hash.ts';
import { readSessionWorld } from '../helpers/real-session.ts';

/** Written down once, from the first release on. */
const GOLDEN: readonly (readonly [did: string, hash: DidHash])[] = [
  ['', { lo: 3008181154, hi: 1217106995 }],
  ['did:plc:z52sr6waagn6igaywwlmmmed', { lo: 2998376797, hi: 4168759921 }],
  ['did:web:example.com', { lo: 2592157054, hi: 3188565498 }],
  ['did:web:ö', { lo: 2196215734, hi: 1645450519 }],
];

function ofText(text: string): DidHash {
  const out = { lo: 0, hi: 0 };
  didHashOfText(text, out);
  return out;
}

function ofBytes(text: string): DidHash {
  const out = { lo: 0, hi: 0 };
  const bytes = Buffer.from(`<<${text}>>>`);
  didHash(bytes, 2, bytes.length - 3, out);
  return out;
}

t.test('G27: the values stand in the log and never change', async (t) => {
  for (const [did, hash] of GOLDEN) t.same(ofText(did), hash, did);
});

t.test('bytes and text agree, ASCII or not', async (t) => {
  for (const text of ['', 'a', 'did:plc:abc', 'did:web:ö', '😀x', 'x'.repeat(2048), 'a\x7f\x80']) {
    t.same(ofBytes(text), ofText(text), text.slice(0, 20));
  }
  for (const did of Object.keys(readSessionWorld().authority)) t.same(ofBytes(did), ofText(did));
});

const DID_COUNT = 20_000;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const dids = Array.from({ length: DID_COUNT }, (_, i) => {
  const tail = [12, 9, 6, 3, 0].map((shift) => ALPHABET[(i >> shift) & 31]).join('');
  return `did:plc:z52sr6waagn6igayww${tail}`;
});

t.test('similar DIDs do not collide, and shards are even', async (t) => {
  const seen = new Set(dids.map((did) => `${ofText(did).lo} ${ofText(did).hi}`));
  t.equal(seen.size, new Set(dids).size);
  for (const shardCount of [1, 2, 3, 4, 7, 16]) {
    const counts = new Array<number>(shardCount).fill(0);
    for (const did of dids) {
      const shard = shardOf(ofText(did).lo, shardCount);
      counts[shard] = (counts[shard] ?? 0) + 1;
    }
    const even = DID_COUNT / shardCount;
    t.ok(counts.length === shardCount && counts.every((count) => count > even * 0.85), `${counts}`);
    t.ok(
      counts.every((count) => count < even * 1.15),
      `${counts}`,
    );
  }
  t.equal(shardOf(0, 4), 0);
  t.equal(shardOf(2 ** 32 - 1, 4), 3, 'the last shard, not one beyond it');
});

t.test('every bit of the input reaches every bit of the output', async (t) => {
  const flips = new Array<number>(64).fill(0);
  let changes = 0;
  for (const did of dids.slice(0, 200)) {
    const bytes = Buffer.from(did);
    const before = { lo: 0, hi: 0 };
    didHash(bytes, 0, bytes.length, before);
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const after = { lo: 0, hi: 0 };
      didHash(bytes, 0, bytes.length, after);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      changes += 1;
      for (let out = 0; out < 32; out++) {
        flips[out] = (flips[out] ?? 0) + (((before.lo ^ after.lo) >>> out) & 1);
        flips[32 + out] = (flips[32 + out] ?? 0) + (((before.hi ^ after.hi) >>> out) & 1);
      }
    }
  }
  const ratios = flips.map((count) => count / changes);
  t.ok(Math.min(...ratios) > 0.4, `least ${Math.min(...ratios)}`);
  t.ok(Math.max(...ratios) < 0.6, `most ${Math.max(...ratios)}`);
});
