/**
 * Hostile and bad frames of spec §5.3, by number: what peek says on main, and what the
 * decoder says on a verify thread. DID and path syntax are judged elsewhere.
 */
import t from 'tap';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_NAMES, type Kind } from '../../lib/wire/kinds.ts';
import {
  ACCOUNT,
  COMMIT,
  CREATE,
  commitFrame,
  DELETE,
  DID,
  eventFrame,
  type Fields,
  frame,
  IDENTITY,
  link,
  manyOps,
  ops,
  Pairs,
  raw,
  SYNC,
  UPDATE,
  type Value,
} from './frames.ts';
import { check, EVENT, PASS, type Row } from './verdicts.ts';

const MISSING = 'wire_field_missing';

/** H42 for one kind: each required field missing, then of wrong type. */
function schemaRows(kind: Kind, fields: Fields, names: readonly string[]): Row[] {
  const main = new Set(['seq', 'repo', 'did']);
  return names.flatMap((name): Row[] => {
    const missing = eventFrame(kind, { [name]: undefined });
    const wrong = eventFrame(kind, { [name]: name === 'ops' || name === 'blocks' ? 'text' : [1] });
    const isMain = main.has(name);
    return [
      [
        `H42: ${name} missing, kind ${kind}`,
        missing,
        isMain ? 'wire_field_missing' : EVENT,
        'wire_field_missing',
        kind,
      ],
      [
        `H42: ${name} of wrong type, kind ${kind}`,
        wrong,
        isMain ? 'wire_field_bad' : EVENT,
        'wire_field_bad',
        kind,
      ],
      [
        `H42: ${name} null, kind ${kind}`,
        eventFrame(kind, { ...fields, [name]: null }),
        isMain ? 'wire_field_bad' : EVENT,
        'wire_field_bad',
        kind,
      ],
    ];
  });
}

const LONG_DID = `did:web:${'a'.repeat(2037)}.com`;
const SCHEMA: readonly Row[] = [
  ...schemaRows(1, COMMIT, ['seq', 'repo', 'rev', 'time', 'commit', 'blocks', 'ops']),
  ...schemaRows(2, SYNC, ['seq', 'did', 'rev', 'time', 'blocks']),
  ...schemaRows(3, IDENTITY, ['seq', 'did', 'time']),
  ...schemaRows(4, ACCOUNT, ['seq', 'did', 'time', 'active']),
  ...([1, 2, 3, 4] as const).map((kind): Row => {
    const bytes = frame({ op: 1, t: KIND_NAMES[kind] }, {});
    return [`H42: empty payload, kind ${kind}`, bytes, MISSING, MISSING, kind];
  }),
  ['H42: commit to a raw block', commitFrame({ commit: link(1, 0x55) }), EVENT, 'wire_field_bad'],
  [
    'H42: prevData to a raw block',
    commitFrame({ prevData: link(1, 0x55) }),
    EVENT,
    'wire_field_bad',
  ],
  ['H42: prevData is text', commitFrame({ prevData: 'x' }), EVENT, 'wire_field_bad'],
  ['H42: since is a number', commitFrame({ since: 1 }), EVENT, 'wire_field_bad'],
  ['H42: since is no TID', commitFrame({ since: 'yesterday' }), EVENT, 'wire_field_bad'],
  ['H42: tooBig is text', commitFrame({ tooBig: 'no' }), EVENT, 'wire_field_bad'],
  ['H42: rebase is 0', commitFrame({ rebase: 0 }), EVENT, 'wire_field_bad'],
  ['H42: blobs is text', commitFrame({ blobs: 'none' }), EVENT, 'wire_field_bad'],
  ['H42: active is 1', eventFrame(4, { active: 1 }), EVENT, 'wire_field_bad', 4],
  ['H42: status is a number', eventFrame(4, { status: 1 }), EVENT, 'wire_field_bad', 4],
  ['H42: handle is a number', eventFrame(3, { handle: 1 }), EVENT, 'wire_field_bad', 3],
  ['H43: blobs null', commitFrame({ blobs: null }), EVENT, PASS],
  ['H43: blobs missing', commitFrame({ blobs: undefined }), EVENT, PASS],
  ['H43: rebase missing', commitFrame({ rebase: undefined }), EVENT, PASS],
  ['H43: tooBig missing', commitFrame({ tooBig: undefined }), EVENT, PASS],
  ['H43: since missing', commitFrame({ since: undefined }), EVENT, PASS],
  ['H43: since null', commitFrame({ since: null }), EVENT, PASS],
  ['H44: tooBig true', commitFrame({ tooBig: true }), EVENT, PASS],
  ['H44: rebase true', commitFrame({ rebase: true }), EVENT, PASS],
  ['LM-6, H47: a DID of 2048', commitFrame({ repo: LONG_DID.slice(0, 2048) }), EVENT, PASS],
  ['LM-6, H47: a DID of 2049', commitFrame({ repo: LONG_DID }), 'did_syntax_bad', 'did_syntax_bad'],
  [
    'H47: a DID of 2049, kind 4',
    eventFrame(4, { did: LONG_DID }),
    'did_syntax_bad',
    'did_syntax_bad',
    4,
  ],
  ['an empty DID', commitFrame({ repo: '' }), 'did_syntax_bad', 'did_syntax_bad'],
  ['H50: rev of another century', commitFrame({ rev: '3lmxjza3nva00' }), EVENT, 'commit_rev_bad'],
  ['H50: rev of 12', commitFrame({ rev: '3lmxjza3nva2' }), EVENT, 'commit_rev_bad'],
  ['H50: rev of 14', commitFrame({ rev: '3lmxjza3nva222' }), EVENT, 'commit_rev_bad'],
  ['H50: rev in upper case', commitFrame({ rev: '3LMXJZA3NVA27' }), EVENT, 'commit_rev_bad'],
  ['H50: rev that starts with k', commitFrame({ rev: 'klmxjza3nva27' }), EVENT, 'commit_rev_bad'],
  ['H50: in a sync', eventFrame(2, { rev: 'x' }), EVENT, 'commit_rev_bad', 2],
  ...['yesterday', '2026-11-21T23:29:14.716-00:00', '2026-11-21t23:29:14.716Z'].flatMap(
    (time): Row[] => [
      [`H51: ${time} in a commit`, commitFrame({ time }), EVENT, 'wire_time_bad'],
      [`H51: ${time} in a sync`, eventFrame(2, { time }), EVENT, 'wire_time_bad', 2],
      [`H51: ${time} in an identity`, eventFrame(3, { time }), EVENT, PASS, 3],
      [`H51: ${time} in an account`, eventFrame(4, { time }), EVENT, PASS, 4],
    ],
  ),
  ['LM-5, H52: 200 ops', manyOps(200), EVENT, PASS],
  ['LM-5, H52: 201 ops', manyOps(201), EVENT, 'commit_ops_too_many'],
  ['LM-2, H53: blocks of 2,000,000', commitFrame({ blocks: Buffer.alloc(2_000_000) }), EVENT, PASS],
  [
    'LM-2, H53: blocks of 2,000,001',
    commitFrame({ blocks: Buffer.alloc(2_000_001) }),
    EVENT,
    'commit_blocks_too_large',
  ],
  ['H54: no blocks', commitFrame({ blocks: Buffer.alloc(0) }), EVENT, 'commit_blocks_empty'],
  [
    'H54: no blocks in a sync',
    eventFrame(2, { blocks: Buffer.alloc(0) }),
    EVENT,
    'commit_blocks_empty',
    2,
  ],
  ['LM-3, H55: sync of 10,000', eventFrame(2, { blocks: Buffer.alloc(10_000) }), EVENT, PASS, 2],
  [
    'LM-3, H55: sync of 10,001',
    eventFrame(2, { blocks: Buffer.alloc(10_001) }),
    EVENT,
    'commit_blocks_too_large',
    2,
  ],
  ['H57: path of 831', ops({ ...CREATE, path: 'p'.repeat(831) }), EVENT, 'commit_path_bad'],
  ['H57: path of 830', ops({ ...CREATE, path: 'p'.repeat(830) }), EVENT, PASS],
  ['H57: empty path', ops({ ...CREATE, path: '' }), EVENT, 'commit_path_bad'],
  ['H59: action move', ops({ ...CREATE, action: 'move' }), EVENT, 'commit_op_bad'],
  ['H59: action creates', ops({ ...CREATE, action: 'creates' }), EVENT, 'commit_op_bad'],
  [
    'H59: action is bytes',
    ops({ ...CREATE, action: Buffer.from('create') }),
    EVENT,
    'commit_op_bad',
  ],
  ['H60: create without cid', ops({ ...CREATE, cid: null }), EVENT, 'commit_op_bad'],
  ['H60: create with cid missing', ops({ ...CREATE, cid: undefined }), EVENT, 'commit_op_bad'],
  ['H60: update without cid', ops({ ...UPDATE, cid: null }), EVENT, 'commit_op_bad'],
  ['H60: delete with cid', ops({ ...DELETE, cid: link(1) }), EVENT, 'commit_op_bad'],
  ['H60: create with prev', ops({ ...CREATE, prev: link(1) }), EVENT, 'commit_op_bad'],
  ['H60: update without prev', ops({ ...UPDATE, prev: undefined }), EVENT, 'commit_op_bad'],
  ['H60: delete without prev', ops({ ...DELETE, prev: undefined }), EVENT, 'commit_op_bad'],
  ['H60: delete with prev null', ops({ ...DELETE, prev: null }), EVENT, 'commit_op_bad'],
  [
    'H60: without prevData it is a commit of the old protocol, for verify to judge',
    commitFrame({ prevData: undefined, ops: [{ ...DELETE, prev: undefined }] }),
    EVENT,
    PASS,
  ],
  ['H60: no action', ops({ ...CREATE, action: undefined }), EVENT, 'commit_op_bad'],
  ['H60: no path', ops({ ...CREATE, path: undefined }), EVENT, 'commit_op_bad'],
  ['H60: path is a number', ops({ ...CREATE, path: 1 }), EVENT, 'commit_op_bad'],
  ['H60: cid is text', ops({ ...CREATE, cid: 'b'.repeat(59) }), EVENT, 'commit_op_bad'],
  ['H60: prev is text', ops({ ...UPDATE, prev: 'b'.repeat(59) }), EVENT, 'commit_op_bad'],
  ['H60: an empty operation', commitFrame({ ops: [raw('a0')] }), EVENT, 'commit_op_bad'],
  ['A36: a raw record', ops({ ...CREATE, cid: link(1, 0x55) }), EVENT, PASS],
  ['H60: op is an array', commitFrame({ ops: [[1]] }), EVENT, 'commit_op_bad'],
  [
    'H61: same path twice',
    ops(CREATE, UPDATE, { ...DELETE, path: CREATE['path'] }),
    EVENT,
    'commit_op_duplicate',
  ],
  ['H61: same path twice of 200', manyOps(200, 199), EVENT, 'commit_op_duplicate'],
  ['H61: three paths', ops(CREATE, UPDATE, DELETE), EVENT, PASS],
];

check(SCHEMA);

t.test('A25, CB-3: operations: keys out of order pass, twice do not, budgets hold', async (t) => {
  const view = new EventView();
  const op = (...entries: readonly (readonly [string, Value])[]): Buffer => {
    return commitFrame({ ops: [new Pairs(entries)] });
  };
  const path = ['path', 'a.b.c/1'] as const;
  const action = ['action', 'create'] as const;
  const cid = ['cid', link(1)] as const;
  t.equal(decodeEvent(op(action, path, cid), 1, view), undefined);
  t.match(view, { isSorted: false, isCanonical: false });
  t.equal(decodeEvent(op(cid, path, action), 1, view), undefined);
  t.match(view, { isSorted: true, isCanonical: true });
  t.equal(decodeEvent(op(cid, path, path, action), 1, view), 'wire_cbor_bad', 'side by side');
  t.equal(decodeEvent(op(path, action, cid, path), 1, view), 'wire_cbor_bad', 'apart');
  t.equal(decodeEvent(op(action, path, cid, cid), 1, view), 'wire_cbor_bad', 'at the end');
  t.equal(decodeEvent(op(cid, path, action, ['zzzzzzz', 1]), 1, view), undefined, 'unknown');
  const extra = (count: number): Buffer => {
    return ops({
      ...CREATE,
      ...Object.fromEntries(Array.from({ length: count }, (_, i) => [`x${i}`, 1])),
    });
  };
  t.equal(decodeEvent(extra(13), 1, view), undefined, '16 entries');
  t.equal(decodeEvent(extra(14), 1, view), 'wire_cbor_bad', '17 entries');
});

t.test('FR-6: unknown fields are kept up to 64 KiB together, wherever they stand', async (t) => {
  const view = new EventView();
  // Key `x` and the head of the bytes take 2 + 5 or 2 + 3 bytes.
  const row = (bytes: number): Buffer => commitFrame({ x: Buffer.alloc(bytes - 5) });
  t.equal(decodeEvent(row(65_536), 1, view), undefined);
  t.equal(view.unknownBytes, 65_536);
  t.equal(decodeEvent(row(65_537), 1, view), 'wire_field_bad');
  const x = Buffer.alloc(30_000);
  const header: Value = { op: 1, t: '#commit', x };
  const spread: Fields = { ...COMMIT, ops: [{ ...CREATE, x }] };
  t.equal(decodeEvent(frame(header, spread as Value), 1, view), undefined);
  t.equal(view.unknownBytes, 2 * 30_005);
  t.equal(decodeEvent(frame(header, { ...spread, x } as Value), 1, view), 'wire_field_bad');
});

t.test('status and handle have a length', async (t) => {
  const view = new EventView();
  t.equal(decodeEvent(eventFrame(4, { status: 's'.repeat(128) }), 4, view), undefined);
  t.equal(decodeEvent(eventFrame(4, { status: 's'.repeat(129) }), 4, view), 'wire_field_bad');
  t.equal(decodeEvent(eventFrame(4, { status: 'frozen' }), 4, view), undefined, 'H156');
  t.match(view, { status: 'frozen', hasStatus: true, active: false, did: DID });
});

t.test('the first fault in the order of the frame is the verdict', async (t) => {
  const view = new EventView();
  const move = [{ ...CREATE, action: 'move' }];
  const rows: readonly (readonly [Fields, string])[] = [
    [{ ops: move, time: undefined }, 'commit_op_bad'],
    [{ ops: move, seq: 0, time: 'x' }, 'commit_op_bad'],
    [{ rev: 'x', zzzzzzzzz: Buffer.alloc(70_000) }, 'commit_rev_bad'],
    [{ rev: 'x', ops: [{ ...UPDATE, prev: undefined }] }, 'commit_rev_bad'],
    [{ time: undefined, ops: [{ ...UPDATE, prev: undefined }] }, 'wire_field_missing'],
    [{ seq: 0, time: 'x' }, 'host_seq_bad'],
  ];
  for (const [fields, code] of rows) t.equal(decodeEvent(commitFrame(fields), 1, view), code);
});

t.test('after a reject the view says nothing of another frame', async (t) => {
  const view = new EventView();
  t.equal(decodeEvent(eventFrame(4, { active: true }), 4, view), undefined);
  t.equal(decodeEvent(commitFrame().subarray(0, -1), 1, view), 'wire_cbor_bad');
  t.match(view, {
    did: '',
    hostSeq: 0,
    seqStart: 0,
    seqEnd: 0,
    timeStart: 0,
    timeEnd: 0,
    isTimeValid: false,
    active: false,
  });
});
