/** What the decoder says of good frames: every field, and nothing of the frame before. */
import t from 'tap';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import type { OpView } from '../../lib/wire/ops.ts';
import { Peek, peek, peekAt } from '../../lib/wire/peek.ts';
import {
  ACCOUNT,
  COMMIT,
  CREATE,
  cbor,
  cidText,
  commitFrame,
  DELETE,
  DID,
  eventFrame,
  frame,
  IDENTITY,
  Pairs,
  REV,
  SINCE,
  SYNC,
  TIME,
  UPDATE,
  unsorted,
  type Value,
} from './frames.ts';

/** The view without its pools, and with the operations that are valid. */
function contents(view: EventView): object {
  const { ops, opCount, header, entries, ...rest } = view;
  const valid = ops.slice(0, opCount).map((op: OpView) => ({ ...op }));
  return { ...rest, ops: valid, isCanonical: view.isCanonical };
}

function decoded(bytes: Buffer, kind: 1 | 2 | 3 | 4): object {
  const view = new EventView();
  const reject = decodeEvent(bytes, kind, view);
  if (reject !== undefined) throw new Error(reject);
  return contents(view);
}

/** Bytes [start, end) of which the view speaks. */
function at(bytes: Buffer, start: number, end: number): Buffer {
  return bytes.subarray(start, end);
}

t.test('a commit', async (t) => {
  const bytes = commitFrame({ ops: [CREATE, UPDATE, DELETE] });
  const view = new EventView();
  t.equal(decodeEvent(bytes, 1, view), undefined);
  t.match(contents(view), {
    kind: 1,
    did: DID,
    hostSeq: 1234,
    isTimeValid: true,
    rev: REV,
    since: SINCE,
    commitCid: cidText(5),
    prevData: cidText(6),
    hasPrevData: true,
    isOpPrevMissing: false,
    isSorted: true,
    isFixNeeded: false,
    isCanonical: true,
    unknownBytes: 0,
    ops: [
      { action: 'create', path: 'app.bsky.feed.post/3lmx', cid: cidText(1), prev: '' },
      { action: 'update', path: 'app.bsky.actor.profile/self', cid: cidText(2), prev: cidText(3) },
      { action: 'delete', path: 'app.bsky.feed.like/3lmy', cid: '', prev: cidText(4) },
    ],
  });
  t.same(at(bytes, view.seqStart, view.seqEnd), cbor(1234));
  t.equal(at(bytes, view.timeStart, view.timeEnd).toString(), TIME);
  t.equal(at(bytes, view.blocksStart, view.blocksEnd).toString(), 'a car');
  for (const [index, op] of [CREATE, UPDATE, DELETE].entries()) {
    const { start, end } = view.ops[index] as OpView;
    t.same(at(bytes, start, end), cbor(op as Value), `place of operation ${index}`);
  }
});

t.test('SY-1, ID-3, AC-1: sync, identity, account', async (t) => {
  t.match(decoded(eventFrame(2), 2), { kind: 2, did: DID, hostSeq: 77, rev: REV, ops: [] });
  t.match(decoded(eventFrame(3), 3), { hostSeq: 78, handle: 'alice.example.com', hasHandle: true });
  t.match(decoded(eventFrame(3, { handle: undefined }), 3), { handle: '', hasHandle: false });
  t.match(decoded(eventFrame(4), 4), { active: false, status: 'suspended', hasStatus: true });
  t.match(decoded(eventFrame(4, { active: true, status: undefined }), 4), {
    active: true,
    status: '',
    hasStatus: false,
    isCanonical: true,
  });
});

t.test('CB-10: null and absent, where they differ and where they do not', async (t) => {
  t.match(decoded(commitFrame({ since: null }), 1), { since: '', isCanonical: true });
  t.match(decoded(commitFrame({ since: undefined }), 1), { since: '', isFixNeeded: true });
  t.match(decoded(commitFrame({ prevData: undefined }), 1), {
    prevData: '',
    hasPrevData: false,
    isCanonical: true,
  });
  t.match(decoded(commitFrame({ prevData: null }), 1), { hasPrevData: false, isFixNeeded: true });
  t.match(decoded(eventFrame(4, { status: null }), 4), { hasStatus: false, isFixNeeded: true });
  t.match(decoded(eventFrame(4, { status: '' }), 4), { hasStatus: true, isCanonical: true });
  t.match(decoded(eventFrame(3, { handle: null }), 3), { hasHandle: false, isFixNeeded: true });
});

t.test('H43, H44: what needs a fix says so', async (t) => {
  const needy = [
    { blobs: null },
    { blobs: undefined },
    { blobs: [COMMIT['commit'] as Value] },
    { rebase: undefined },
    { rebase: true },
    { rebase: null },
    { tooBig: undefined },
    { tooBig: true },
    { tooBig: null },
    { since: undefined },
    { prevData: null },
    { ops: [{ ...CREATE, prev: null }] },
    { ops: [{ ...DELETE, cid: undefined }] },
  ];
  for (const fields of needy) {
    const view = decoded(commitFrame(fields), 1);
    t.match(view, { isFixNeeded: true, isCanonical: false }, JSON.stringify(fields));
  }
});

t.test('A25, H20: keys out of order are noted in each of the three places', async (t) => {
  const header = new Pairs([
    ['op', 1],
    ['t', '#commit'],
  ]);
  const op = unsorted({ path: 'a.b.c/1', cid: CREATE['cid'], action: 'create' });
  t.match(decoded(frame(header, COMMIT as Value), 1), { isSorted: false, isFixNeeded: false });
  t.match(decoded(frame({ op: 1, t: '#commit' }, unsorted(COMMIT)), 1), { isSorted: false });
  t.match(decoded(commitFrame({ ops: [op] }), 1), { isSorted: false, isCanonical: false });
});

t.test('H60: an old commit without prev says so', async (t) => {
  const old = { prevData: undefined };
  const ops = [{ ...UPDATE, prev: undefined }];
  t.match(decoded(commitFrame({ ...old, ops }), 1), { isOpPrevMissing: true });
  t.match(decoded(commitFrame({ ...old, ops: [UPDATE] }), 1), { isOpPrevMissing: false });
  t.match(decoded(commitFrame({ ...old, ops: [CREATE] }), 1), { isOpPrevMissing: false });
  const tooBoth = [UPDATE, { ...DELETE, prev: undefined }];
  t.match(decoded(commitFrame({ ...old, ops: tooBoth }), 1), { isOpPrevMissing: true });
});

t.test('a handle that is none is no handle', async (t) => {
  for (const handle of ['', 'alice', 'a..b', '-a.com', 'a.com ', 'ä.com', 'a.1', 'x'.repeat(254)]) {
    const view = decoded(eventFrame(3, { handle }), 3);
    t.match(view, { handle: '', hasHandle: false, isFixNeeded: true }, handle);
  }
});

t.test('fields of other kinds are unknown fields', async (t) => {
  const { ops, blobs, blocks, commit, prevData, rebase, since } = COMMIT;
  const foreign = { ops, blobs, blocks, commit, prevData, rebase, since, repo: 5, rev: null };
  const view = decoded(eventFrame(4, foreign), 4);
  t.match(view, { hostSeq: 79, did: DID, commitCid: '', ops: [], isCanonical: true });
  t.match(decoded(commitFrame({ did: 5, status: 5, handle: null, active: 0 }), 1), { did: DID });
  t.match(decoded(eventFrame(2, { ops: 5, repo: 'x' }), 2), { did: DID, isCanonical: true });
});

t.test('a field is known by its whole name', async (t) => {
  for (const name of Object.keys({ ...COMMIT, ...IDENTITY, ...ACCOUNT })) {
    const other = `${name.slice(0, -1)}_`;
    for (const kind of [1, 2, 3, 4] as const) {
      const view = decoded(eventFrame(kind, { [other]: 5 }), kind);
      const unknownBytes = other.length + 2;
      t.match(view, { isCanonical: true, did: DID, unknownBytes }, `${other} in kind ${kind}`);
    }
  }
  for (const name of ['ci_', 'pat_', 'pre_', 'actio_']) {
    const view = decoded(commitFrame({ ops: [{ ...UPDATE, [name]: 5 }] }), 1);
    const op = { cid: cidText(2), prev: cidText(3), action: 'update' };
    t.match(view, { unknownBytes: name.length + 2, ops: [op] }, name);
  }
});

t.test('reset by construction: nothing of the frame before is left', async (t) => {
  const rich = [
    commitFrame({ ops: [UPDATE, DELETE, UPDATE].map((op, i) => ({ ...op, path: `a.b.c/${i}` })) }),
    commitFrame({ prevData: undefined, x: 1, ops: [{ ...UPDATE, prev: undefined }] }),
    frame({ op: 1, t: '#commit', x: 1 }, unsorted(COMMIT)),
    frame(
      new Pairs([
        ['op', 1],
        ['t', '#sync'],
      ]),
      SYNC as Value,
    ),
    frame(unsorted({ xx: 1, op: 1, t: '#identity' }), IDENTITY as Value),
    eventFrame(2, { x: [1] }),
    eventFrame(3, { time: 'yesterday' }),
    eventFrame(4),
  ];
  const bad = [
    commitFrame({ ops: [CREATE, { ...CREATE, action: 'x' }] }),
    commitFrame({ seq: 0, tooBig: true }),
    commitFrame().subarray(0, -3),
    frame(1, 2),
  ];
  const poor = [
    [1, commitFrame({ ops: [], prevData: undefined, since: null })],
    [1, commitFrame({ ops: [CREATE] })],
    [2, eventFrame(2)],
    [3, eventFrame(3, { handle: undefined })],
    [4, eventFrame(4, { active: true, status: undefined })],
  ] as const;
  const view = new EventView();
  for (const before of [...rich, ...bad]) {
    for (const [kind, bytes] of poor) {
      for (const any of [1, 2, 3, 4] as const) decodeEvent(before, any, view);
      t.equal(decodeEvent(bytes, kind, view), undefined);
      t.same(contents(view), decoded(bytes, kind));
    }
  }
});

t.test('peek: offsets of the DID and the seq, in any order', async (t) => {
  const peeked = new Peek();
  const orders = [COMMIT, { repo: COMMIT['repo'], ...COMMIT }, { ...COMMIT, seq: 24 }];
  for (const fields of orders) {
    const bytes = frame({ op: 1, t: '#commit' }, unsorted(fields));
    t.equal(peek(bytes, peeked), 'event');
    t.equal(bytes.toString('utf8', peeked.didStart, peeked.didEnd), DID);
    t.equal(peeked.hostSeq, fields['seq']);
  }
  for (const kind of [2, 3, 4] as const) {
    const bytes = eventFrame(kind);
    t.equal(peek(bytes, peeked), 'event');
    t.match(peeked, { kind });
    t.equal(bytes.toString('utf8', peeked.didStart, peeked.didEnd), DID);
  }
  t.equal(peek(eventFrame(2, { did: undefined, repo: DID }), peeked), 'wire_field_missing');
  t.equal(peek(commitFrame({ repo: undefined, did: DID }), peeked), 'wire_field_missing');
  t.equal(peek(frame({ op: 1, t: '#sync' }, SYNC as Value), peeked), 'event');
});

t.test(
  'peek: every cut of a frame has a verdict, and none before did and seq is good',
  async (t) => {
    const peeked = new Peek();
    const view = new EventView();
    for (const kind of [1, 2, 3, 4] as const) {
      const bytes = eventFrame(kind);
      peek(bytes, peeked);
      const seq = cbor(peeked.hostSeq);
      const wanted = Math.max(peeked.didEnd, bytes.indexOf(seq) + seq.length);
      for (let length = 0; length < bytes.length; length++) {
        const verdict = peek(bytes.subarray(0, length), peeked);
        if (peekAt(bytes, 0, length, peeked) !== verdict) t.fail(`looks behind ${length}`);
        if ((verdict === 'event') !== length >= wanted) t.fail(`kind ${kind} cut to ${length}`);
        if (decodeEvent(bytes.subarray(0, length), kind, view) === undefined) t.fail('decoded');
      }
    }
    t.pass('all cuts');
  },
);
