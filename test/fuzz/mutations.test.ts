/** That inputs are what they are meant to be: right at the start, and wrong in the right place. */
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { anatomyOf, carOf } from './anatomy.ts';
import { ATCUTE } from './atcute-library.ts';
import { loadAtproto } from './atproto-library.ts';
import { basesOf } from './bases.ts';
import { BLOCK_AND_CAR_MUTATIONS } from './car-mutations.ts';
import { allItems, encodeMap, entriesOf, head, parseItem } from './cbor-items.ts';
import { mutateCbor } from './cbor-mutations.ts';
import { COMMIT_MUTATIONS } from './commit-mutations.ts';
import { DraftNode } from './draft-node.ts';
import type { FuzzInput } from './input.ts';
import { judge } from './judge.ts';
import { lenientUndo } from './lenient-undo.ts';
import { MESSAGE_MUTATIONS } from './message-mutations.ts';
import { ourVerdict } from './ours.ts';
import { SignatureMemory } from './signature-memory.ts';
import { TREE_MUTATIONS } from './tree-mutations.ts';

const ATPROTO = await loadAtproto();
const BASES = [...basesOf(1), ...basesOf(3)];
const ALL = [
  ...TREE_MUTATIONS,
  ...BLOCK_AND_CAR_MUTATIONS,
  ...COMMIT_MUTATIONS,
  ...MESSAGE_MUTATIONS,
];

t.test(
  'right messages are right for everybody, and come out of their drafts as they were',
  async (t) => {
    const memory = new SignatureMemory(1);
    for (const [index, { frame, key, known, draft }] of BASES.entries()) {
      const input: FuzzInput = { frame, key, known, isStrict: true, changes: [] };
      t.equal(ourVerdict(input), 'pass', `message ${index}`);
      for (const library of [ATCUTE, ATPROTO]) {
        const options = { verify: memory.verifier(library), areRecordsRead: true };
        t.match(await judge(library, input, options), { isPass: true }, library.name);
      }
      if (draft === undefined) continue;
      const again = draft().seal((...signed) => memory.note(...signed));
      t.ok(carOf(again)?.blocks.length === carOf(frame)?.blocks.length);
      t.equal(ourVerdict({ ...input, frame: again }), 'pass');
    }
  },
);

t.test('undone leniently, a right tree is the one before', async (t) => {
  let treeCount = 0;
  for (const { draft } of BASES) {
    const { root, ops, prevData, kind } = draft?.() ?? {};
    if (kind !== 'commit' || !(root instanceof DraftNode) || ops === undefined) continue;
    if (typeof prevData !== 'string') continue;
    t.equal(lenientUndo(root, ops), prevData);
    treeCount += 1;
  }
  t.ok(treeCount > 30);
});

t.test('every mutation can be done, and shows', async (t) => {
  t.equal(new Set(ALL.map(({ name }) => name)).size, ALL.length, 'no name twice');
  const drafts = BASES.flatMap(({ draft }) => draft?.() ?? []);
  for (const { name, apply } of ALL) {
    const prng = new Prng(5);
    const isDone = BASES.some(({ draft, frame }) => {
      const before = draft?.();
      if (before?.kind !== 'commit' || !apply(prng, before, drafts)) return false;
      return !before.seal(() => undefined).equals(frame);
    });
    t.ok(isDone, name);
  }
});

t.test('mutated CBOR is the same but for one thing', async (t) => {
  const prng = new Prng(1);
  const item = encodeMap(
    entriesOf(BASES[0]?.frame as Buffer, anatomyOf(BASES[0]?.frame as Buffer)?.payload) ?? [],
  );
  let readable = 0;
  const results = new Set<string>();
  for (let i = 0; i < 500; i++) {
    const result = mutateCbor(prng, item);
    results.add(result.toString('latin1'));
    if (parseItem(result)?.end === result.length) readable += 1;
  }
  t.ok(results.size > 200, `${results.size} different ones`);
  t.ok(readable > 200, `${readable} of them still CBOR`);
});

t.test('CBOR items: heads of any width, nesting, counts', async (t) => {
  t.same(head(0, 23), Buffer.from('17', 'hex'));
  t.same(head(0, 24), Buffer.from('1818', 'hex'));
  t.same(head(2, 300), Buffer.from('59012c', 'hex'));
  t.same(head(4, 2 ** 32), Buffer.from('9b0000000100000000', 'hex'));
  t.same(head(0, 1, 1), Buffer.from('1801', 'hex'));
  t.same(head(1, 2n ** 64n - 1n), Buffer.from('3bffffffffffffffff', 'hex'));
  const bytes = Buffer.from('a26161820102616283f6f5d82a4100', 'hex');
  const item = parseItem(bytes);
  t.equal(item?.end, bytes.length);
  t.equal(item && allItems(item).length, 11);
  t.equal(parseItem(Buffer.from('9fff', 'hex')), undefined, 'indefinite');
  t.equal(parseItem(Buffer.from('6261', 'hex')), undefined, 'cut off');
});

t.test('a library that disputes a remembered signature is found out', async (t) => {
  const memory = new SignatureMemory(1);
  const key = BASES[0]?.key;
  if (key === undefined) throw new Error('no message');
  const [message, signature] = [Buffer.from('message'), Buffer.alloc(64, 1)];
  memory.note(message, signature, key.bytes);
  const verify = memory.verifier(ATCUTE);
  await t.rejects(async () => verify(key, message, signature), {
    message: '@atcute says something else of a signature',
  });
});
