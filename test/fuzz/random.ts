/** Seeded choices, and bytes changed at random. */
import { hash } from 'node:crypto';
import { type Prng, seedOf } from '../../lib/base/prng.ts';

export function pick<Item>(prng: Prng, items: readonly Item[]): Item {
  return items[prng.nextBelow(items.length)] as Item;
}

export function chance(prng: Prng, share: number): boolean {
  return prng.nextFloat() < share;
}

export function shuffled<Item>(prng: Prng, items: readonly Item[]): Item[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = prng.nextBelow(i + 1);
    [result[i], result[j]] = [result[j] as Item, result[i] as Item];
  }
  return result;
}

/** A seed for one input of a run: near numbers give unrelated ones. */
export function mixed(seed: number, number: number): number {
  return seedOf(hash('sha256', `${seed}/${number}`));
}

/** A DRISL CID that is nobody's. */
export function strangeCid(prng: Prng): string {
  return `\x01\x71\x12\x20${hash('sha256', `${prng.nextUint32()}`, 'latin1')}`;
}

/** One to three bytes set, flipped, inserted or removed; sometimes a run moved or cut off. */
export function mutateBytes(prng: Prng, bytes: Uint8Array): Buffer {
  let result = Buffer.from(bytes);
  for (let left = 1 + prng.nextBelow(3); left > 0; left--) result = mutateOnce(prng, result);
  return result;
}

function mutateOnce(prng: Prng, bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  const at = prng.nextBelow(bytes.length + 1);
  const byte = Buffer.from([prng.nextBelow(256)]);
  const action = prng.nextBelow(20);
  if (action < 3) return Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at)]);
  if (action < 6) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
  if (action === 6) return Buffer.from(bytes.subarray(0, at));
  if (action === 7) {
    const end = at + prng.nextBelow(64);
    return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
  }
  if (action === 8) return Buffer.concat([bytes, Buffer.alloc(1 + prng.nextBelow(3), byte)]);
  if (at === bytes.length) return bytes;
  const old = bytes.readUInt8(at);
  bytes.writeUInt8(action < 13 ? byte.readUInt8(0) : old ^ (1 << prng.nextBelow(8)), at);
  return bytes;
}
