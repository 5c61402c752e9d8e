/** Each class of disagreements that are meant to be: one that belongs to it, and one that does not. */
import t from 'tap';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { ATCUTE } from './atcute-library.ts';
import { loadAtproto } from './atproto-library.ts';
import { basesOf } from './bases.ts';
import { byteString, encodeMap, entriesOf, entry, head, parseItem, text } from './cbor-items.ts';
import { type Disagreement, EXPLAINED, explain } from './classes.ts';
import type { Draft } from './draft.ts';
import { DraftNode } from './draft-node.ts';
import type { FuzzInput } from './input.ts';
import { judge } from './judge.ts';
import { lenientUndo } from './lenient-undo.ts';
import type { Library } from './library.ts';
import { limitsExceeded } from './limits-exceeded.ts';
import { ourVerdict } from './ours.ts';

const ATPROTO = await loadAtproto();
const BASES = basesOf(1).filter(({ draft }) => draft?.().kind === 'commit');

/** A commit that creates a record, changed and sealed. */
function changed(change: (draft: Draft) => void): FuzzInput {
  for (const { draft: toDraft, key, known } of BASES) {
    const draft = toDraft?.();
    if (draft === undefined || draft.records.length === 0 || known === null) continue;
    change(draft);
    return { frame: draft.seal(() => undefined), key, known, isStrict: true, changes: [] };
  }
  throw new Error('no commit with a record');
}

async function disagreement(library: Library, input: FuzzInput): Promise<Disagreement> {
  const ask = (by: Library, asked: FuzzInput, areRecordsRead: boolean) =>
    judge(by, asked, {
      verify: (key, message, sig) => by.verify(`did:key:${key.multibase}`, message, sig),
      areRecordsRead,
    });
  return {
    input,
    ours: ourVerdict(input),
    theirs: await ask(library, input, true),
    library: library.name,
    again: (again, areRecordsRead) => ask(library, again, areRecordsRead),
    other: (again, areRecordsRead) =>
      ask(library === ATCUTE ? ATPROTO : ATCUTE, again, areRecordsRead),
  };
}

type Member = {
  readonly library: Library;
  readonly change: (draft: Draft) => void;
  /** Ours; default pass. */
  readonly ours?: string;
};

/** Another value under the path of the first record, wherever its CID stands. */
function replaceRecord(draft: Draft, bytes: Buffer): void {
  const [old] = draft.records;
  const block = { cid: cidOf(bytes), bytes };
  draft.records[0] = block;
  for (const op of draft.ops) if (op.cid === old?.cid) op.cid = block.cid;
  for (const leaf of draft.nodes.flatMap(({ entries }) => entries)) {
    if (leaf.value === old?.cid) leaf.value = block.cid;
  }
}

const FLOAT_TWICE = Buffer.from('a26161f93e006161f93e00', 'hex');

const MEMBERS: Readonly<Record<string, Member>> = {
  'envelope out of order': {
    library: ATCUTE,
    change: (draft) => {
      draft.onPayload = (entries) => [...entries].reverse();
    },
  },
  'record is CBOR, but no DRISL': {
    library: ATCUTE,
    change: (draft) => replaceRecord(draft, FLOAT_TWICE),
  },
  'both of the above': {
    library: ATCUTE,
    change: (draft) => {
      replaceRecord(draft, FLOAT_TWICE);
      draft.onPayload = (entries) => [...entries].reverse();
    },
  },
  'beyond a limit of ours': {
    library: ATCUTE,
    change: (draft) => {
      draft.onPayload = (entries) => [
        ...entries,
        entry('zz-unknown', byteString(Buffer.alloc(65_536))),
      ];
    },
    ours: 'wire_field_bad',
  },
  '@atcute wants to see the tree before': { library: ATCUTE, change: topTrimmed },
  '@atproto loses a field __proto__': {
    library: ATPROTO,
    change: (draft) => {
      draft.onPayload = (entries) => [...entries, entry('__proto__', head(0, 1))];
    },
  },
  '@atproto loses a byte-order mark': {
    library: ATPROTO,
    change: (draft) => {
      draft.onPayload = (entries) => [...entries, entry('zz-unknown', text('\u{feff}a'))];
    },
  },
  '@atproto takes days that no month has': {
    library: ATPROTO,
    change: (draft) => {
      draft.time = '2026-02-30T14:13:20Z';
    },
    ours: 'wire_time_bad',
  },
};

/** The one key above all others created: before it, the tree was its left child, which is not sent. */
function topTrimmed(draft: Draft): void {
  const [record] = draft.records;
  const path = 'app.bsky.feed.post/454397e440ec';
  const before = `\x01\x71\x12\x20${'b'.repeat(32)}`;
  const value = record?.cid ?? '';
  draft.records = draft.records.slice(0, 1);
  draft.root = new DraftNode([{ key: path, value, right: null }], before);
  draft.ops = [{ action: 'create', path, cid: value, prev: undefined }];
  draft.prevData = lenientUndo(draft.root, draft.ops);
}

t.test('every class has a member, and only known ones', async (t) => {
  t.same(Object.keys(MEMBERS).sort(), EXPLAINED.map(({ name }) => name).sort());
  t.ok(EXPLAINED.length < 10, 'a short list');
});

for (const [name, { library, change, ours = 'pass' }] of Object.entries(MEMBERS)) {
  t.test(`explained: ${name}`, async (t) => {
    const found = await disagreement(library, changed(change));
    t.equal(found.ours, ours);
    t.equal(found.theirs.isPass, ours !== 'pass', `${library.name}: ${found.theirs.detail}`);
    t.equal((await explain(found))?.name, name);
  });

  t.test(`not explained when something else is wrong, too: ${name}`, async (t) => {
    const input = changed((draft) => {
      change(draft);
      draft.onSignature = () => Buffer.alloc(64, 1);
    });
    // As if ours had not seen the signature.
    const found = await disagreement(library, input);
    const fooled = { ...found, ours: 'pass' };
    if (!found.theirs.isPass) t.equal(await explain(fooled), undefined);
    t.equal(found.ours === 'pass', false, 'ours sees it');
  });
}

const deep = (levels: number): Buffer =>
  Buffer.concat([...Array.from({ length: levels }, () => head(4, 1)), head(0, 0)]);
const field = (value: Buffer) => (draft: Draft) => {
  draft.onPayload = (entries) => [...entries, entry('zz-unknown', value)];
};
const block = { cid: cidOf(Buffer.from([0xf6])), bytes: Buffer.from([0xf6]) };
const LIMITS: readonly (readonly [name: string, change: (draft: Draft) => void])[] = [
  ['depth', field(deep(33))],
  ['items', field(Buffer.concat([head(4, 131_073), Buffer.alloc(131_073)]))],
  ['bytes of a key', field(encodeMap([entry('k'.repeat(8193), head(0, 0))]))],
  ['bytes of unknown fields', field(byteString(Buffer.alloc(65_536)))],
  [
    'entries of the envelope',
    (draft) => {
      const more = Array.from({ length: 53 }, (_, i) => entry(`zz-field-${100 + i}`, head(0, 0)));
      draft.onPayload = (entries) => [...entries, ...more];
    },
  ],
  [
    'entries of an operation',
    (draft) => {
      const more = Array.from({ length: 16 }, (_, i) => entry(`zz-field-${100 + i}`, head(0, 0)));
      draft.onOps = (ops) =>
        ops.map((op) => encodeMap([...(entriesOf(op, parseItem(op)) ?? []), ...more]));
    },
  ],
  [
    'depth',
    (draft) => {
      draft.onBlocks = (blocks) => [block, ...blocks];
      draft.onCommit = (entries) => [...entries, entry('zz-unknown', deep(32))];
    },
  ],
  [
    'blocks of a CAR',
    (draft) => {
      draft.onBlocks = (blocks) => [...blocks, ...Array.from({ length: 10_000 }, () => block)];
    },
  ],
];

for (const [index, [name, change]] of LIMITS.entries()) {
  t.test(`LM-10, CB-11: beyond a limit of ours ${index + 1}: ${name}`, async (t) => {
    const input = changed(change);
    t.same(
      [...new Set(limitsExceeded(input.frame))].filter((each) => each === name),
      [name],
    );
    const found = await disagreement(ATCUTE, input);
    t.not(found.ours, 'pass');
    t.ok(found.theirs.isPass, found.theirs.detail);
    t.equal((await explain(found))?.name, 'beyond a limit of ours');
  });
}

t.test('a right message is within all limits', async (t) => {
  for (const { frame } of basesOf(1)) t.same(limitsExceeded(frame), []);
});

t.test('a plain disagreement is of no class', async (t) => {
  const input = changed(() => undefined);
  const found = await disagreement(ATCUTE, input);
  t.equal(found.ours, 'pass');
  t.ok(found.theirs.isPass);
  t.equal(await explain({ ...found, ours: 'commit_mst_bad' }), undefined);
  const theirs = { isPass: false, rule: 'MS-5', detail: 'key in another layer' };
  const again = async () => theirs;
  t.equal(await explain({ ...found, theirs, again, other: again }), undefined);
});
