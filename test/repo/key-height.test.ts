/** MS-1: the height of a key, alone and four at a time, against SHA-256 as text. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { HeightCheck, keyHeight } from '../../lib/repo/key-height.ts';
import { LANE_BYTES_MAX, Sha256Lanes } from '../../lib/repo/sha256-lanes.ts';
import { LANES } from '../../lib/repo/sha256-module.ts';
import { keyOf } from './tree-kit.ts';

const digestBits = (key: Uint8Array): string => {
  const digest = createHash('sha256').update(key).digest();
  return [...digest].map((byte) => byte.toString(2).padStart(8, '0')).join('');
};
const heightOf = (key: Uint8Array): number => digestBits(key).indexOf('1') >> 1;

const viewOf = (bytes: Buffer): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

const keys = Array.from({ length: 3000 }, (_, i) => {
  return Buffer.from(`${'a.b.c/'.repeat(1 + (i % 12))}${i}`.slice(0, 1 + (i % 70)));
});

t.test('MS-1: one by one', async (t) => {
  t.ok(keys.every((key) => keyHeight(viewOf(key), 0, key.length) === heightOf(key)));
});

t.test(
  'the lanes: every length up to the longest, every lane, nothing left of before',
  async (t) => {
    const lanes = Sha256Lanes.create();
    if (lanes === undefined) throw new Error('no SIMD on this machine');
    const bytes = Buffer.alloc(LANE_BYTES_MAX + 1, 0xff);
    const view = viewOf(bytes);
    let wrong = 0;
    for (let length = LANE_BYTES_MAX; length >= 0; length--) {
      for (let lane = 0; lane < LANES; lane++) lanes.set(lane, view, 1, (length + lane) % 56);
      lanes.run();
      for (let lane = 0; lane < LANES; lane++) {
        const bits = digestBits(bytes.subarray(1, 1 + ((length + lane) % 56)));
        const word = (lanes.digestWord(lane) >>> 0).toString(2).padStart(32, '0');
        if (!bits.startsWith(word)) wrong++;
      }
    }
    t.equal(wrong, 0);
  },
);

/** Whether a check of these keys, with these heights, finds nothing wrong. */
function passes(check: HeightCheck, each: readonly (readonly [Uint8Array, number])[]): boolean {
  check.begin();
  const added = each.map(([key, height]) => {
    const bytes = Buffer.concat([Buffer.from('xx'), key, Buffer.from('yy')]);
    return check.add(viewOf(bytes), 2, key.length, height);
  });
  return !added.includes(false) && check.end();
}

t.test('H103: the check finds one wrong height wherever it stands', async (t) => {
  const check = new HeightCheck();
  for (let count = 0; count <= 9; count++) {
    const right = keys.slice(40, 40 + count).map((key) => [key, heightOf(key)] as const);
    t.ok(passes(check, right), `${count} right ones`);
    for (let index = 0; index < count; index++) {
      for (const difference of [1, -1]) {
        const [key, height] = right[index] as (typeof right)[number];
        const wrong = right.with(index, [key, height + difference]);
        t.notOk(passes(check, wrong), `number ${index} of ${count}`);
      }
    }
    t.ok(passes(check, right), 'and forgets it');
  }
});

t.test('long keys, high keys, heights beyond a word', async (t) => {
  const check = new HeightCheck();
  for (let height = 0; height <= 5; height++) {
    const key = Buffer.from(keyOf(height, 0));
    t.ok(passes(check, [[key, height]]));
    for (const other of [16, 17, 32, 128]) t.notOk(passes(check, [[key, other]]), `not ${other}`);
  }
  const long = Buffer.from(`a.b.c/${'k'.repeat(60)}`);
  t.ok(passes(check, [[long, heightOf(long)]]));
  t.notOk(passes(check, [[long, heightOf(long) + 1]]));
});
