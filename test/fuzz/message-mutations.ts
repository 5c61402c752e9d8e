/** Operations and fields of the message made wrong (spec §5.3, H94…H102); none of it is signed. */
import type { Prng } from '../../lib/base/prng.ts';
import { keyOf } from '../repo/tree-kit.ts';
import { byteString, type Entry, entry, head, link, text } from './cbor-items.ts';
import { anyValue, mutateCbor } from './cbor-mutations.ts';
import { otherRev } from './commit-mutations.ts';
import type { Draft, DraftOp } from './draft.ts';
import type { Mutation } from './mutation.ts';
import { chance, mutateBytes, pick, shuffled, strangeCid } from './random.ts';

const ODD_PATHS = [
  '',
  'foo',
  '/a.b.c/x',
  'a.b.c/x/y',
  'a.b.c/',
  'a.b.c/..',
  'a.b.c/.',
  'a b/x',
  'a.b/x',
  'a.b.c/é',
  `a.b.c/${'x'.repeat(512)}`,
  `a.b.c/${'x'.repeat(513)}`,
  `${'a'.repeat(63)}.${'b'.repeat(63)}.c/x`,
  `${'a'.repeat(64)}.b.c/x`,
  'a.b.c-d/x',
  'a.b.1c/x',
  '1a.b.c/x',
  'a-b.c-.d/x',
  `${'a.'.repeat(157)}abc/x`,
  `${'a.'.repeat(158)}abc/x`,
  'a.b.c/with:colon~and_more.',
];

function ofOps(
  name: string,
  change: (prng: Prng, ops: DraftOp[], draft: Draft) => void,
  weight = 1,
): Mutation {
  return {
    name: `ops: ${name}`,
    weight,
    // Of the tree's history at least: with a `prevData` that follows only the operation is wrong.
    isOfTree: true,
    apply: (prng, draft) => {
      if (draft.ops.length === 0) return false;
      change(prng, draft.ops, draft);
      return true;
    },
  };
}

function ofOp(
  name: string,
  change: (prng: Prng, op: DraftOp, draft: Draft) => void,
  weight = 1,
): Mutation {
  return ofOps(name, (prng, ops, draft) => change(prng, pick(prng, ops), draft), weight);
}

/** Every path and value that the tree shows. */
function leavesOf(draft: Draft): { readonly key: string; readonly value: string }[] {
  return draft.nodes.flatMap(({ entries }) => entries);
}

function someCid(prng: Prng, draft: Draft): string {
  const cids = draft.records.map(({ cid }) => cid);
  return pick(prng, [...cids, ...cids, strangeCid(prng)]);
}

const OPS_MUTATIONS: readonly Mutation[] = [
  ofOps('one left out', (prng, ops) => void ops.splice(prng.nextBelow(ops.length), 1)),
  ofOps('one twice', (prng, ops) => void ops.push({ ...pick(prng, ops) })),
  ofOps('in another order', (prng, ops, draft) => {
    draft.ops = shuffled(prng, ops);
  }),
  ofOps('values exchanged', (prng, ops) => {
    const [a, b] = [pick(prng, ops), pick(prng, ops)];
    if (chance(prng, 0.5)) [a.cid, b.cid] = [b.cid, a.cid];
    else [a.prev, b.prev] = [b.prev, a.prev];
  }),
  ofOps('one more, of a key that is there', (prng, ops, draft) => {
    const leaf = pick(prng, leavesOf(draft)) ?? { key: 'a.b.c/x', value: strangeCid(prng) };
    const prev = chance(prng, 0.5) ? leaf.value : strangeCid(prng);
    const action = pick(prng, ['update', 'update', 'create', 'delete']);
    ops.push({
      action,
      path: leaf.key,
      cid: action === 'delete' ? null : leaf.value,
      prev: action === 'create' ? undefined : prev,
    });
  }),
  ofOps('one more, of a key that is not there', (prng, ops) => {
    const path = keyOf(prng.nextBelow(4), prng.nextBelow(20));
    const isDelete = chance(prng, 0.7);
    ops.push(
      isDelete
        ? { action: 'delete', path, cid: null, prev: strangeCid(prng) }
        : { action: 'create', path, cid: strangeCid(prng), prev: undefined },
    );
  }),
  ofOps(
    'two hundred or one more',
    (prng, ops, draft) => {
      const leaves = leavesOf(draft);
      const count = 200 + prng.nextBelow(2);
      for (let i = 0; ops.length < count; i++) {
        const value = leaves[0]?.value ?? strangeCid(prng);
        ops.push({ action: 'delete', path: `a.b.c/${i}`, cid: null, prev: value });
      }
    },
    0.1,
  ),
  ofOp('another path', (prng, op, draft) => {
    const leaves = leavesOf(draft).map(({ key }) => key);
    op.path = pick(prng, [...leaves, keyOf(prng.nextBelow(4), prng.nextBelow(20))]);
  }),
  ofOp('an odd path', (prng, op) => {
    op.path = pick(prng, ODD_PATHS);
  }),
  ofOp('another cid', (prng, op, draft) => {
    op.cid = pick(prng, [someCid(prng, draft), null, undefined, op.prev]);
  }),
  ofOp('another prev', (prng, op, draft) => {
    op.prev = pick(prng, [someCid(prng, draft), null, undefined, op.cid]);
  }),
  ofOp('another action', (prng, op) => {
    op.action = pick(prng, ['create', 'update', 'delete', 'move', 'Create', '']);
  }),
  ofOp('another action that fits', (prng, op, draft) => {
    op.action = pick(prng, ['create', 'update', 'delete']);
    op.cid = op.action === 'delete' ? null : (op.cid ?? someCid(prng, draft));
    op.prev = op.action === 'create' ? undefined : (op.prev ?? someCid(prng, draft));
  }),
  {
    name: 'ops: the encoding of one',
    weight: 2,
    apply: (prng, draft) => {
      draft.onOps = (ops) => {
        const at = prng.nextBelow(ops.length);
        const op = ops[at];
        return op === undefined ? ops : ops.with(at, mutateCbor(prng, op));
      };
      return draft.ops.length > 0;
    },
  },
];

function ofPayload(
  name: string,
  change: (prng: Prng, entries: Entry[], draft: Draft) => Entry[],
  weight = 1,
): Mutation {
  return {
    name: `message: ${name}`,
    weight,
    isOfSync: true,
    apply: (prng, draft) => {
      const before = draft.onPayload;
      draft.onPayload = (entries) => change(prng, before?.(entries) ?? entries, draft);
      return true;
    },
  };
}

function changedField(
  name: string,
  field: string,
  values: (prng: Prng, draft: Draft) => readonly Buffer[],
  weight = 1,
): Mutation {
  return ofPayload(
    name,
    (prng, entries, draft) => {
      const key = text(field);
      const value = pick(prng, values(prng, draft));
      return entries.map((each) => (each.key.equals(key) ? { key, value } : each));
    },
    weight,
  );
}

const BOOLEANS = [Buffer.from([0xf4]), Buffer.from([0xf5]), Buffer.from([0xf6]), head(0, 0)];
const TIMES = [
  'yesterday',
  '2026-09-21T14:13:20-00:00',
  '2026-09-21t14:13:20Z',
  '2026-09-21T14:13:20+01:00',
  '2026-02-30T14:13:20Z',
  '2026-09-21T14:13Z',
  '2026-09-21T24:00:00Z',
  '2024-02-29T23:59:59.999999999Z',
  '2026-09-21T14:13:20.Z',
  '0000-01-01T00:00:00+01:00',
  '0000-01-01T00:00:00Z',
  `2026-09-21T14:13:20.${'0'.repeat(50)}Z`,
  '',
];

const PAYLOAD_MUTATIONS: readonly Mutation[] = [
  ofPayload('a field left out', (prng, entries) => {
    return entries.toSpliced(prng.nextBelow(entries.length), 1);
  }),
  ofPayload('a field twice', (prng, entries) => {
    const at = prng.nextBelow(entries.length);
    return entries.toSpliced(at, 0, entries[at] as Entry);
  }),
  ofPayload('fields in another order', (prng, entries) => shuffled(prng, entries)),
  ofPayload('a field more', (prng, entries) => {
    const name = pick(prng, ['x', 'zz', '$type', '__proto__', 'constructor', 'prevdata', 'é']);
    const at = prng.nextBelow(entries.length + 1);
    const extra = entry(name, anyValue(prng));
    if (chance(prng, 0.5)) return entries.toSpliced(at, 0, extra);
    return [...entries, extra].sort((a, b) => Buffer.compare(a.key, b.key));
  }),
  ofPayload(
    'very many fields more',
    (prng, entries) => {
      const count = 50 + prng.nextBelow(4);
      const more = Array.from({ length: count }, (_, i) =>
        entry(`a-field-number-${100 + i}`, head(0, i)),
      );
      return [...entries, ...more];
    },
    0.1,
  ),
  ofPayload(
    'a field as large as it may be, or larger',
    (prng, entries) => {
      const bytes = 65_536 - 16 + prng.nextBelow(32);
      return [...entries, entry('unknown-one', byteString(Buffer.alloc(bytes)))];
    },
    0.1,
  ),
  ofPayload('a value of another type', (prng, entries) => {
    const at = prng.nextBelow(entries.length);
    return entries.with(at, { key: (entries[at] as Entry).key, value: anyValue(prng) });
  }),
  changedField('another rev', 'rev', (prng, draft) => [text(otherRev(prng, draft))]),
  changedField('another since', 'since', (prng, draft) => [
    text(otherRev(prng, draft)),
    link(null),
    text(''),
  ]),
  changedField('another repo', 'repo', (_, { did }) => [
    text(did.toUpperCase()),
    text(`${did}a`),
    text('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'),
    text(''),
  ]),
  changedField('another commit', 'commit', (prng, draft) => [
    link(strangeCid(prng)),
    link(draft.dataCid),
    link(null),
  ]),
  changedField(
    'another prevData',
    'prevData',
    (prng, draft) => [
      link(strangeCid(prng)),
      link(draft.dataCid),
      link(`\x01\x55\x12\x20${(draft.prevData ?? draft.dataCid).slice(4)}`),
      link(null),
      text('x'),
    ],
    2,
  ),
  changedField('another time', 'time', (prng) => [text(pick(prng, TIMES))], 2),
  changedField('another seq', 'seq', (prng) =>
    [0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n].map((seq) => head(prng.nextBelow(2), seq)),
  ),
  changedField('another blobs', 'blobs', (prng) => [
    link(null),
    Buffer.concat([head(4, 1), link(strangeCid(prng))]),
    head(0, 0),
  ]),
  changedField('another rebase', 'rebase', () => BOOLEANS),
  changedField('another tooBig', 'tooBig', () => BOOLEANS),
  changedField('no blocks', 'blocks', () => [byteString(Buffer.alloc(0))], 0.2),
  {
    name: 'message: no prevData',
    apply: (_, draft) => {
      draft.prevData = undefined;
      return true;
    },
  },
  {
    name: 'message: an unknown repo',
    apply: (_, draft) => {
      draft.known = null;
      return true;
    },
  },
  {
    name: 'message: its encoding',
    weight: 3,
    isOfSync: true,
    apply: (prng, draft) => {
      draft.onPayloadBytes = (bytes) => mutateCbor(prng, bytes);
      return true;
    },
  },
  {
    name: 'message: the encoding of its header',
    isOfSync: true,
    apply: (prng, draft) => {
      draft.onHeader = (bytes) => mutateCbor(prng, bytes);
      return true;
    },
  },
  {
    name: 'message: its bytes',
    weight: 2,
    isOfSync: true,
    apply: (prng, draft) => {
      draft.onFrame = (bytes) => mutateBytes(prng, bytes);
      return true;
    },
  },
];

export const MESSAGE_MUTATIONS: readonly Mutation[] = [...OPS_MUTATIONS, ...PAYLOAD_MUTATIONS];
