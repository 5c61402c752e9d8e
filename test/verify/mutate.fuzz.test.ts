/**
 * Bytes changed at random below right hashes and right signatures, so that they reach the parsers
 * of commit, CAR and tree: any verdict is fine, a throw fails, and so does a pass where the tree
 * is not the same any more. FUZZ_SEED and FUZZ_MS choose another run and a longer one.
 */
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { KIND_COMMIT } from '../../lib/wire/kinds.ts';
import { commitFrame } from '../../scripts/fleet/event-frames.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { type Block, encodeCommit } from '../../scripts/fleet/signed-repo.ts';
import {
  type Changes,
  create,
  forge,
  judge,
  judgeFrame,
  post,
  type Scene,
  scene,
} from './forge.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? 1);
const FUZZ_MS = Number(process.env['FUZZ_MS'] ?? 700);
const STAMP = { seq: 7, time: '2026-09-21T14:13:20.000Z' };

const SCENES = [
  scene(() => [create('app.bsky.feed.post/3kaaaaaaaaaa2')]),
  scene((repo) => [{ action: 'delete', path: repo.paths[17] ?? '' }]),
  scene((repo) => [
    { action: 'delete', path: repo.paths[3] ?? '' },
    { action: 'update', path: repo.paths[30] ?? '', record: post('new') },
    create('a.b.c/1'),
  ]),
];

/** One to three bytes set, flipped, inserted or removed. */
function mutated(prng: Prng, bytes: Uint8Array): Buffer {
  let result = Buffer.from(bytes);
  for (let left = 1 + prng.nextBelow(3); left > 0; left--) {
    const at = prng.nextBelow(result.length + 1);
    const byte = Buffer.from([prng.nextBelow(256)]);
    const action = prng.nextBelow(4);
    if (action === 0) result = Buffer.concat([result.subarray(0, at), byte, result.subarray(at)]);
    else if (action === 1)
      result = Buffer.concat([result.subarray(0, at), result.subarray(at + 1)]);
    else if (at < result.length && action === 2) result.writeUInt8(byte.readUInt8(0), at);
    else if (at < result.length) {
      result.writeUInt8(result.readUInt8(at) ^ (1 << prng.nextBelow(8)), at);
    }
  }
  return result;
}

/** Runs one kind of change on all scenes for its time; counts what it says. */
function fuzz(
  name: string,
  verdictOf: (prng: Prng, from: Scene) => string,
  mayPass: boolean,
): void {
  t.test(`any verdict, no throw: ${name} (seed ${SEED})`, async (t) => {
    const prng = new Prng(SEED);
    const counts = new Map<string, number>();
    const end = performance.now() + FUZZ_MS;
    for (let run = 0; performance.now() < end; run++) {
      const verdict = verdictOf(prng, SCENES[run % SCENES.length] as Scene);
      counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
    }
    t.comment(JSON.stringify(Object.fromEntries(counts)));
    if (!mayPass) t.notOk(counts.has('pass'));
    for (const from of SCENES) t.equal(judge(from), 'pass', 'the right ones still pass');
  });
}

fuzz(
  'the root node, hashed and signed again',
  (prng, from) => {
    const { cid } = { cid: from.parts.dataCid };
    let node: Block = { cid, bytes: Buffer.alloc(0) };
    const changes: Changes = {
      blocks: (blocks) => {
        const old = blocks.find((block) => block.cid === cid);
        const bytes = mutated(prng, old?.bytes ?? Buffer.alloc(0));
        node = { cid: cidOf(bytes), bytes };
        return blocks.map((block) => (block.cid === cid ? node : block));
      },
    };
    forge(from, changes);
    if (node.cid === cid) return 'unchanged';
    const again: Changes = {
      fields: { data: node.cid },
      blocks: (blocks) => blocks.map((block) => (block.cid === cid ? node : block)),
    };
    return judge(from, again);
  },
  false,
);

fuzz(
  'the commit object, signed again',
  (prng, from) =>
    judge(from, {
      commitBlock: (fields, keypair) => {
        const unsigned = mutated(prng, encodeCommit(fields));
        const signed = encodeCommit(fields, keypair.sign(unsigned));
        return prng.nextFloat() < 0.5 ? mutated(prng, signed) : signed;
      },
    }),
  true,
);

fuzz('the CAR', (prng, from) => judge(from, { car: (car) => mutated(prng, car) }), true);

fuzz(
  'the whole frame',
  (prng, from) => {
    const frame = mutated(prng, commitFrame(forge(from, {}), STAMP));
    return judgeFrame(frame, KIND_COMMIT, { key: from.repo.keypair, known: from.known });
  },
  true,
);

fuzz(
  'the frame cut short',
  (prng, from) => {
    const frame = commitFrame(forge(from, {}), STAMP);
    const cut = frame.subarray(0, prng.nextBelow(frame.length));
    return judgeFrame(cut, KIND_COMMIT, { key: from.repo.keypair, known: from.known });
  },
  false,
);
