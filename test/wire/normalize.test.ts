/** The outgoing form: what is added, corrected, sorted and kept, and where seq then stands. */
import { decode, decodeFirst } from '@atcute/cbor';
import t, { type Test } from 'tap';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { NormalFrame, normalizeFrame, type Overrides } from '../../lib/wire/normalize.ts';
import {
  ACCOUNT,
  COMMIT,
  CREATE,
  cbor,
  commitFrame,
  DELETE,
  eventFrame,
  type Fields,
  frame,
  IDENTITY,
  link,
  Pairs,
  raw,
  SYNC,
  TIME,
  UPDATE,
  unsorted,
  type Value,
} from './frames.ts';

type Kind = 1 | 2 | 3 | 4;
const view = new EventView();

function normal(bytes: Buffer, kind: Kind, overrides?: Overrides): NormalFrame {
  const out = new NormalFrame();
  const reject = decodeEvent(bytes, kind, view) ?? normalizeFrame(bytes, view, overrides, out);
  if (reject !== undefined) throw new Error(reject);
  return out;
}

/** Asserts that `bytes` goes out as `wanted`, and that seq stands where it says. */
function goesOutAs(
  t: Test,
  bytes: Buffer,
  kind: Kind,
  wanted: Buffer,
  name: string,
  overrides?: Overrides,
): void {
  const out = normal(bytes, kind, overrides);
  t.equal(out.bytes.toString('hex'), wanted.toString('hex'), name);
  t.equal(out.isChanged, !bytes.equals(wanted), `${name}: isChanged`);
  t.same(out.bytes.subarray(out.seqStart, out.seqEnd), cbor(view.hostSeq), `${name}: seq`);
  const again = normal(out.bytes, kind);
  t.equal(again.bytes, out.bytes, `${name}: going out again changes nothing`);
}

t.test(
  'CD-6, CH-7, H43, H44: required fields are added and deprecated ones made right',
  async (t) => {
    const wanted = commitFrame();
    const rows: readonly Fields[] = [
      { rebase: undefined },
      { rebase: true },
      { rebase: null },
      { tooBig: undefined },
      { tooBig: true },
      { tooBig: null },
      { blobs: undefined },
      { blobs: null },
      { blobs: [link(1), link(2, 0x55)] },
      { rebase: true, tooBig: undefined, blobs: null },
    ];
    for (const fields of rows) goesOutAs(t, commitFrame(fields), 1, wanted, JSON.stringify(fields));
    goesOutAs(t, commitFrame({ since: undefined }), 1, commitFrame({ since: null }), 'since');
    goesOutAs(t, commitFrame({ since: null }), 1, commitFrame({ since: null }), 'since null stays');
  },
);

t.test('a null in an optional field is left out', async (t) => {
  const noPrevData = commitFrame({ prevData: undefined });
  goesOutAs(t, commitFrame({ prevData: null }), 1, noPrevData, 'prevData');
  goesOutAs(t, eventFrame(4, { status: null }), 4, eventFrame(4, { status: undefined }), 'status');
  goesOutAs(t, eventFrame(3, { handle: null }), 3, eventFrame(3, { handle: undefined }), 'handle');
  goesOutAs(
    t,
    eventFrame(3, { handle: 'no handle' }),
    3,
    eventFrame(3, { handle: undefined }),
    'bad',
  );
  const nulled = commitFrame({ ops: [{ ...CREATE, prev: null }, UPDATE] });
  goesOutAs(t, nulled, 1, commitFrame({ ops: [CREATE, UPDATE] }), 'prev of a create');
  const missing = commitFrame({ ops: [UPDATE, { ...DELETE, cid: undefined }] });
  goesOutAs(t, missing, 1, commitFrame({ ops: [UPDATE, DELETE] }), 'cid of a delete');
  const old = { prevData: undefined, ops: [{ ...UPDATE, prev: null }] };
  const wanted = { prevData: undefined, ops: [{ ...UPDATE, prev: undefined }] };
  goesOutAs(t, commitFrame(old), 1, commitFrame(wanted), 'prev of an old update');
});

t.test('FR-14, CB-3, H20: keys are sorted in header, payload and operations', async (t) => {
  const header = { op: 1, t: '#commit', extension: [1, 2], a: 'b' };
  const ops = [CREATE, { ...UPDATE, zz: { a: 1 } }, DELETE];
  const fields = { ...COMMIT, ops, $type: 'x', zzzzzzzzzzz: 1, a: null };
  const wanted = frame(header, fields as Value);
  const disordered = frame(
    unsorted(header),
    unsorted({ ...fields, ops: ops.map((op) => unsorted(op)) }),
  );
  goesOutAs(t, disordered, 1, wanted, 'all three');
  goesOutAs(t, frame(unsorted(header), fields as Value), 1, wanted, 'header');
  goesOutAs(t, frame(header, unsorted(fields)), 1, wanted, 'payload');
  const reversed = new Pairs(Object.entries(fields).toReversed() as [string, Value][]);
  goesOutAs(t, frame(header, reversed), 1, wanted, 'reversed');
  const inOps = { ...fields, ops: [CREATE, unsorted({ ...UPDATE, zz: { a: 1 } }), DELETE] };
  goesOutAs(t, frame(header, inOps as Value), 1, wanted, 'one operation');
});

t.test('FR-6, CB-12, H32: unknown fields go out byte for byte, of every kind', async (t) => {
  const odd = raw('a2 61 61 82 01 f6 62 6162 40');
  for (const kind of [1, 2, 3, 4] as const) {
    const bytes = eventFrame(kind, { $type: 'com.atproto.sync.subscribeRepos', unknown: odd });
    goesOutAs(t, bytes, kind, bytes, `kind ${kind}`);
    const payload = { ...[{}, COMMIT, {}, IDENTITY, ACCOUNT][kind], unknown: odd };
    if (kind === 2) continue;
    const names = ['', '#commit', '', '#identity', '#account'];
    const header: Value = { op: 1, t: names[kind] ?? '' };
    const disordered = frame(header, unsorted(payload));
    goesOutAs(t, disordered, kind, frame(header, payload as Value), `kind ${kind}, sorted`);
  }
  const foreign = { rebase: true, blobs: null, prevData: null, handle: null, tooBig: 'x' };
  const account = eventFrame(4, foreign);
  goesOutAs(t, account, 4, account, 'names of other kinds are unknown');
  const withStatus = eventFrame(1, { status: null, active: 5, handle: '?' });
  goesOutAs(t, withStatus, 1, withStatus, 'in a commit too');
  goesOutAs(
    t,
    eventFrame(1, { status: null, rebase: true }),
    1,
    eventFrame(1, { status: null }),
    'also when the frame is written anew',
  );
});

t.test('AC-3, A44: our status of an account over the one of the host', async (t) => {
  const given = (fields: Fields): Buffer => eventFrame(4, fields);
  const rows: readonly (readonly [Fields, Overrides, Fields])[] = [
    [
      { active: true, status: undefined },
      { active: false, status: 'takendown' },
      { active: false, status: 'takendown' },
    ],
    [
      { active: false, status: 'x' },
      { status: 'takendown' },
      { active: false, status: 'takendown' },
    ],
    [
      { active: false, status: 'x' },
      { active: true, status: null },
      { active: true, status: undefined },
    ],
    [{ active: false, status: 'x' }, { active: true }, { active: true, status: 'x' }],
    [
      { active: false, status: 'x' },
      { active: false, status: 'x' },
      { active: false, status: 'x' },
    ],
    [{ active: true, status: undefined }, { status: null }, { active: true, status: undefined }],
    [{ active: false, status: '' }, { status: null }, { active: false, status: undefined }],
    [{ active: false, status: 'ö' }, {}, { active: false, status: 'ö' }],
  ];
  for (const [fields, overrides, wanted] of rows) {
    const name = `${JSON.stringify(fields)} ${JSON.stringify(overrides)}`;
    goesOutAs(t, given(fields), 4, given(wanted), name, overrides);
  }
});

t.test('ID-2, H151: the handle of an identity can be left out', async (t) => {
  const bare = eventFrame(3, { handle: undefined });
  goesOutAs(t, eventFrame(3), 3, bare, 'dropped', { dropHandle: true });
  goesOutAs(t, bare, 3, bare, 'none there', { dropHandle: true });
  goesOutAs(t, eventFrame(3), 3, eventFrame(3), 'kept', {});
});

t.test('A38: a time of our own where the host has none', async (t) => {
  const time = '2026-01-02T03:04:05.678Z';
  goesOutAs(t, eventFrame(3, { time: 'x' }), 3, eventFrame(3, { time }), 'identity', { time });
  goesOutAs(t, eventFrame(4, { time: 'ö' }), 4, eventFrame(4, { time }), 'account', { time });
  goesOutAs(t, eventFrame(4, { time }), 4, eventFrame(4, { time }), 'the same', { time });
});

t.test('overrides mean nothing in an event of another kind', async (t) => {
  const overrides = { active: true, status: 'x', dropHandle: true } as const;
  for (const kind of [1, 2] as const) {
    goesOutAs(t, eventFrame(kind), kind, eventFrame(kind), `kind ${kind}`, overrides);
  }
  goesOutAs(t, eventFrame(3), 3, eventFrame(3), 'identity', { active: true, status: 'x' });
  goesOutAs(t, eventFrame(4), 4, eventFrame(4), 'account', { dropHandle: true });
  const needy = commitFrame({ rebase: true });
  goesOutAs(t, needy, 1, commitFrame(), 'not even when written anew', overrides);
});

t.test('LM-1: a frame that could be over 5,000,000 bytes with our seq is refused', async (t) => {
  const out = new NormalFrame();
  // A text that is no time is the only thing of any length that an accepted event can hold.
  const timeBytes = 5_000_000 - eventFrame(3, { seq: 1, time: 'x'.repeat(70_000) }).length + 70_000;
  const sized = (cut: number, seq: number): Buffer => {
    return eventFrame(3, { seq, time: 'x'.repeat(timeBytes - cut) });
  };
  const verdict = (bytes: Buffer, overrides?: Overrides): string | undefined => {
    return decodeEvent(bytes, 3, view) ?? normalizeFrame(bytes, view, overrides, out);
  };
  t.equal(sized(0, 1).length, 5_000_000);
  t.equal(verdict(sized(0, 1)), 'wire_output_too_large', 'our seq may be 9 bytes long');
  t.equal(verdict(sized(7, 1)), 'wire_output_too_large');
  t.equal(verdict(sized(8, 1)), undefined);
  t.equal(verdict(sized(8, 2 ** 40)), undefined, 'theirs was 9 bytes long: nothing grows');
  t.equal(verdict(sized(7, 2 ** 40)), 'wire_output_too_large', 'over already');
  t.equal(verdict(sized(0, 1), { time: TIME }), undefined, 'what counts is what goes out');
});

/** Names of the keys of a map as they stand on the wire. */
function keysOf(map: unknown): string[] {
  return Object.keys(map as object);
}

t.test('FR-14: what goes out has its keys in the one right order', async (t) => {
  const rows: readonly (readonly [Kind, string, string])[] = [
    [
      1,
      'a261746723636f6d6d6974626f7001',
      'ops rev seq repo time blobs since blocks commit rebase tooBig prevData',
    ],
    [2, 'a26174652373796e63626f7001', 'did rev seq time blocks'],
    [3, 'a2617469236964656e74697479626f7001', 'did seq time handle'],
    [4, 'a2617468236163636f756e74626f7001', 'did seq time active status'],
  ];
  for (const [kind, headerHex, keys] of rows) {
    const payload = Object.entries([{}, COMMIT, SYNC, IDENTITY, ACCOUNT][kind] as Fields);
    const types = ['', '#commit', '#sync', '#identity', '#account'];
    const reversed = new Pairs(payload.toReversed() as [string, Value][]);
    const { bytes } = normal(frame({ op: 1, t: types[kind] ?? '' }, reversed), kind);
    t.equal(bytes.subarray(0, headerHex.length / 2).toString('hex'), headerHex);
    const [, rest] = decodeFirst(bytes);
    const event = decode(rest);
    t.equal(keysOf(event).join(' '), keys);
    if (kind !== 1) continue;
    const op = decode(decodeFirst(normal(commitFrame({ ops: [unsorted(UPDATE)] }), 1).bytes)[1]);
    t.equal(keysOf(op.ops[0]).join(' '), 'cid path prev action');
  }
});

t.test('CB-13, H30: a key named as something every object has is kept as it is', async (t) => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    const fields = { [name]: { [name]: 1, x: [2] } };
    const bytes = commitFrame(fields);
    goesOutAs(t, bytes, 1, bytes, name);
    const disordered = frame({ op: 1, t: '#commit' }, unsorted({ ...COMMIT, ...fields }));
    goesOutAs(t, disordered, 1, bytes, `${name}, written anew`);
  }
});
