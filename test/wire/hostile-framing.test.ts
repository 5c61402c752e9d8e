/**
 * Hostile and bad frames of spec §5.1 and §5.2, by number: what peek says on main, and what the
 * decoder says on a verify thread. Where the sheet says CLOSE, the verdict is a strike: one frame
 * is dropped and the host is marked, because one bad frame must not cost all its accounts.
 */
import t from 'tap';
import { REJECTS } from '../../lib/reject/codes.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import {
  ACCOUNT,
  bytesOf,
  COMMIT,
  CREATE,
  cbor,
  commitFrame,
  eventFrame,
  frame,
  IDENTITY,
  manyOps,
  ops,
  Pairs,
  Raw,
  raw,
  SYNC,
  unsorted,
  type Value,
} from './frames.ts';
import { check, EVENT, PASS, type Row } from './verdicts.ts';

const BAD = 'wire_cbor_bad';
const HEADER = cbor({ op: 1, t: '#commit' });

/** A commit frame under another header. */
function under(header: Value, payload: Value = COMMIT as Value): Buffer {
  return frame(header, payload);
}

/** A commit frame whose payload ends with this value of an unknown field. */
function withEntry(hex: string): Buffer {
  return commitFrame({ zzzzzzzz: raw(hex) });
}

const FRAMING: readonly Row[] = [
  ['H2: empty', Buffer.alloc(0), 'frame_header_bad', 'frame_header_bad'],
  ['H3: header without payload', HEADER, 'wire_payload_not_map', 'wire_payload_not_map'],
  [
    'FR-4, H4: third object',
    Buffer.concat([commitFrame(), cbor({})]),
    EVENT,
    'frame_trailing_bytes',
  ],
  ['H4: trailing byte', Buffer.concat([commitFrame(), cbor(0)]), EVENT, 'frame_trailing_bytes'],
  ['H5: truncated by a byte', commitFrame().subarray(0, -1), EVENT, 'wire_cbor_bad'],
  ['H5: truncated in an only field', under({ op: 1, t: '#commit' }, raw('a1617859')), BAD, BAD],
  ['H6: header is an array', under([]), 'frame_header_bad', 'frame_header_bad'],
  ['H6: header is an integer', under(1), 'frame_header_bad', 'frame_header_bad'],
  ['H6: header is null', under(null), 'frame_header_bad', 'frame_header_bad'],
  ['H7: no op', under({ t: '#commit' }), 'frame_header_bad', 'frame_header_bad'],
  ['H7: empty header', under({}), 'frame_header_bad', 'frame_header_bad'],
  ['H7: op is text', under({ op: '1', t: '#commit' }), 'frame_header_bad', 'frame_header_bad'],
  [
    'H7: op is 1.0',
    under({ op: raw('fb3ff0000000000000'), t: '#commit' }),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  ['H8: op 0', under({ op: 0, t: '#commit' }), 'frame_op_unknown', 'frame_op_unknown'],
  ['H8: op 2 without t', under({ op: 2 }), 'frame_op_unknown', 'frame_op_unknown'],
  ['H8: op -2', under({ op: -2, t: '#commit' }), 'frame_op_unknown', 'frame_op_unknown'],
  ['H9: no t', under({ op: 1 }), 'frame_header_bad', 'frame_header_bad'],
  ['H9: t is a number', under({ op: 1, t: 1 }), 'frame_header_bad', 'frame_header_bad'],
  ...[
    '#handle',
    '#migrate',
    '#tombstone',
    '#labels',
    '#x',
    '#commits',
    '#infx',
    '#synd',
    '#committ',
    '#identify',
    '#accounx',
    '#commi',
    '',
    '#Commit',
  ].map((type): Row => {
    return [`H10: ${type}`, under({ op: 1, t: type }), 'frame_kind_unknown', 'frame_kind_unknown'];
  }),
  [
    'FR-6, H10: the payload of an unknown type is not parsed',
    frame({ op: 1, t: '#labels' }, raw('ff')),
    'frame_kind_unknown',
    'frame_kind_unknown',
  ],
  [
    'H11: an error frame is no event',
    under({ op: -1 }, { error: 'E' }),
    'error',
    'frame_header_bad',
  ],
  ['error frame with a t', under({ op: -1, t: '#x' }, { error: 'E' }), 'error', 'frame_header_bad'],
  ['H14: an info frame is no event', under({ op: 1, t: '#info' }), 'info', 'frame_header_bad'],
  [
    'H19: t twice',
    under(
      new Pairs([
        ['t', '#commit'],
        ['t', '#commit'],
        ['op', 1],
      ]),
    ),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  [
    'H19: t twice, not side by side',
    under(
      new Pairs([
        ['t', '#commit'],
        ['op', 1],
        ['t', '#sync'],
      ]),
    ),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  [
    'H20: header unsorted',
    under(
      new Pairs([
        ['op', 1],
        ['t', '#commit'],
      ]),
    ),
    EVENT,
    PASS,
  ],
  ['H20: payload unsorted', under({ op: 1, t: '#commit' }, unsorted(COMMIT)), EVENT, PASS],
  [
    'H20: unsorted inside an unknown field',
    commitFrame({
      extra: new Pairs([
        ['b', 1],
        ['a', 1],
      ]),
    }),
    EVENT,
    'wire_cbor_bad',
  ],
  [
    'payload unsorted and a key twice, not side by side',
    under(
      { op: 1, t: '#commit' },
      new Pairs([...Object.entries(COMMIT), ['seq', 9]] as [string, Value][]),
    ),
    EVENT,
    'wire_cbor_bad',
  ],
  ['H21: seq not shortest', commitFrame({ seq: raw('1801') }), 'wire_cbor_bad', 'wire_cbor_bad'],
  ['H21: a length not shortest', withEntry('5801 00'), EVENT, 'wire_cbor_bad'],
  [
    'H21: payload head not shortest',
    frame({ op: 1, t: '#commit' }, raw('b80c')),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  [
    'H22: indefinite payload',
    under({ op: 1, t: '#commit' }, raw('bf')),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  ['H22: indefinite array', withEntry('9f00ff'), EVENT, 'wire_cbor_bad'],
  ['H22: indefinite ops', commitFrame({ ops: raw('9fff') }), 'wire_cbor_bad', 'wire_cbor_bad'],
  ['H22: indefinite text', withEntry('7f6161ff'), EVENT, 'wire_cbor_bad'],
  ['H23: tag 1', withEntry('c100'), EVENT, 'wire_cbor_bad'],
  ['H23: bignum', withEntry('c24101'), EVENT, 'wire_cbor_bad'],
  ['H23: tag 55799', withEntry('d9d9f700'), EVENT, 'wire_cbor_bad'],
  [
    'H23: tag 55799 around the frame',
    Buffer.concat([bytesOf('d9d9f7'), commitFrame()]),
    'frame_header_bad',
    'frame_header_bad',
  ],
  [
    'H21: ops head not shortest',
    commitFrame({ ops: raw('9800') }),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  [
    'H21: head of an operation not shortest',
    commitFrame({ ops: [raw('b800')] }),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  ['CB-3: integer key in an operation', commitFrame({ ops: [raw('a10000')] }), EVENT, BAD],
  ['CB-4: empty key in an operation', commitFrame({ ops: [raw('a16000')] }), EVENT, BAD],
  ['CB-3: integer key in the payload', under({ op: 1, t: '#commit' }, raw('a10000')), BAD, BAD],
  ['CB-3: integer key in the header', under(raw('a10000')), BAD, BAD],
  ['H24: undefined', withEntry('f7'), EVENT, 'wire_cbor_bad'],
  [
    'H24: undefined for an optional field',
    commitFrame({ prevData: raw('f7') }),
    EVENT,
    'wire_cbor_bad',
  ],
  ['H24: simple(24)', withEntry('f818'), EVENT, 'wire_cbor_bad'],
  ['H24: break', withEntry('ff'), EVENT, 'wire_cbor_bad'],
  ...['62c328', '63eda080', '62c080'].flatMap((hex): Row[] => [
    [`H25: ${hex} in rev`, commitFrame({ rev: raw(hex) }), EVENT, 'wire_cbor_bad'],
    [`H25: ${hex} in did`, commitFrame({ repo: raw(hex) }), EVENT, 'wire_cbor_bad'],
    [`H25: ${hex} in path`, ops({ ...CREATE, path: raw(hex) }), EVENT, 'wire_cbor_bad'],
    [`H25: ${hex} in an unknown field`, withEntry(hex), EVENT, 'wire_cbor_bad'],
    [`H25: ${hex} as a key`, commitFrame({ x: raw(`a1${hex}00`) }), EVENT, 'wire_cbor_bad'],
  ]),
  [
    'H26: seq 5.0',
    commitFrame({ seq: raw('fb4014000000000000') }),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  ['H23: seq is a bignum', commitFrame({ seq: raw('c24105') }), 'wire_cbor_bad', 'wire_cbor_bad'],
  ['H24: repo is undefined', commitFrame({ repo: raw('f7') }), 'wire_cbor_bad', 'wire_cbor_bad'],
  ['H22: repo is indefinite', commitFrame({ repo: raw('5f4161ff') }), BAD, BAD],
  ['H26: float in an unknown field', withEntry('fb3ff8000000000000'), EVENT, 'wire_cbor_bad'],
  ['H27: 20,000 arrays', withEntry(`${'81'.repeat(20_000)}80`), EVENT, 'wire_cbor_bad'],
  ['H28: array of 2^32', withEntry('9b0000000100000000'), EVENT, 'wire_cbor_bad'],
  [
    'H28: bytes of 4 GiB',
    commitFrame({ blocks: raw('5b0000000100000000') }),
    EVENT,
    'wire_cbor_bad',
  ],
  [
    'H28: ops of 2^32',
    commitFrame({ ops: raw('9b0000000100000000') }),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  [
    'H29: a map of 200,000 keys in front of all',
    commitFrame({ a: new Pairs(Array.from({ length: 200_000 }, (_, i) => [`${1e6 + i}`, 0])) }),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  [
    'H29: a payload of 65 keys',
    commitFrame(Object.fromEntries(Array.from({ length: 53 }, (_, i) => [`x${i}`, 0]))),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  [
    'a payload of 64 keys',
    commitFrame(Object.fromEntries(Array.from({ length: 52 }, (_, i) => [`x${i}`, 0]))),
    EVENT,
    PASS,
  ],
  [
    'CB-13, H30: __proto__ and constructor',
    commitFrame({ ['__proto__']: { x: 1 }, constructor: { y: 1 } }),
    EVENT,
    PASS,
  ],
  [
    'H31: payload is an array',
    under({ op: 1, t: '#commit' }, []),
    'wire_payload_not_map',
    'wire_payload_not_map',
  ],
  [
    'H31: payload is null',
    under({ op: 1, t: '#commit' }, null),
    'wire_payload_not_map',
    'wire_payload_not_map',
  ],
  [
    'FR-6, H32: unknown fields, $type',
    commitFrame({ $type: 'x', zz: [1, { a: null }] }),
    EVENT,
    PASS,
  ],
  ['H32: unknown field in the header', under({ op: 1, t: '#commit', x: 'y' }), EVENT, PASS],
  [
    'names of payload fields in the header are unknown fields',
    under({ op: 1, t: '#commit', ops: [], seq: 1 }),
    EVENT,
    PASS,
  ],
  [
    'CB-7: 2^53 in the header',
    under({ op: 1, t: '#commit', seq: 2n ** 53n }),
    'wire_cbor_bad',
    'wire_cbor_bad',
  ],
  [
    'H33: CIDv0',
    commitFrame({ commit: raw(`d82a5823001220${'00'.repeat(32)}`) }),
    EVENT,
    'wire_cbor_bad',
  ],
  [
    'H33: SHA-1',
    commitFrame({ commit: raw(`d82a58190001711114${'00'.repeat(20)}`) }),
    EVENT,
    'wire_cbor_bad',
  ],
  [
    'H33: 31 bytes',
    commitFrame({ prevData: raw(`d82a5824000171121f${'00'.repeat(31)}`) }),
    EVENT,
    'wire_cbor_bad',
  ],
  [
    'H33: no leading 00',
    commitFrame({ commit: raw(`d82a582401711220${'00'.repeat(32)}`) }),
    EVENT,
    'wire_cbor_bad',
  ],
  [
    'H33: trailing byte',
    ops({ ...CREATE, cid: raw(`d82a58260001711220${'00'.repeat(33)}`) }),
    EVENT,
    'wire_cbor_bad',
  ],
];

const seqs = (name: string, seq: Value, code: string): readonly Row[] => {
  const payloads = [{}, COMMIT, SYNC, IDENTITY, ACCOUNT];
  return ([1, 2, 3, 4] as const).map((kind): Row => {
    const bytes = eventFrame(kind, { ...payloads[kind], seq });
    return [`${name}, kind ${kind}`, bytes, code === PASS ? EVENT : code, code, kind];
  });
};

const SEQUENCE: readonly Row[] = [
  ...seqs('H34: seq 0', 0, 'host_seq_bad'),
  ...seqs('H34: seq -1', -1, 'host_seq_bad'),
  ...seqs('H34: seq -2', -2, 'host_seq_bad'),
  ...seqs('H34: seq -2^63', -(2n ** 63n), 'host_seq_bad'),
  ...seqs('H35: seq 2^53', 2n ** 53n, 'host_seq_bad'),
  ...seqs('H35: seq 2^53 + 1', 2n ** 53n + 1n, 'host_seq_bad'),
  ...seqs('H35: seq 2^63', 2n ** 63n, 'host_seq_bad'),
  ...seqs('H35: seq 2^64-1', 2n ** 64n - 1n, 'host_seq_bad'),
  ...seqs('seq 1', 1, PASS),
  ...seqs('seq 2^53-1', 2n ** 53n - 1n, PASS),
  ...seqs('H38: a jump of 10^12', 10 ** 12, PASS),
  ...seqs('seq is text', '5', 'wire_field_bad'),
  ...seqs('seq is null', null, 'wire_field_bad'),
];

check(FRAMING);
check(SEQUENCE);

t.test(
  'framing faults strike the host, field faults drop the frame, news are ignored',
  async (t) => {
    const codes = new Set(
      [...FRAMING, ...SEQUENCE].flatMap(([, , ...verdicts]) => verdicts.slice(0, 2)),
    );
    const wanted = {
      frame_header_bad: 'strike',
      frame_trailing_bytes: 'strike',
      frame_op_unknown: 'ignore',
      frame_kind_unknown: 'ignore',
      wire_cbor_bad: 'strike',
      wire_payload_not_map: 'strike',
      wire_field_bad: 'drop',
      host_seq_bad: 'drop',
    } as const;
    for (const [code, action] of Object.entries(wanted)) {
      t.ok(codes.has(code), `${code} is tested`);
      t.equal(REJECTS[code as keyof typeof wanted].action, action, code);
    }
  },
);

t.test('the header and the kind that peek said must agree', async (t) => {
  const view = new EventView();
  for (const kind of [1, 2, 3, 4] as const) {
    for (const other of [1, 2, 3, 4] as const) {
      const verdict = decodeEvent(eventFrame(kind), other, view);
      t.equal(verdict, kind === other ? undefined : 'frame_header_bad');
    }
  }
});

t.test('A6: a broken encoding is found behind a field fault, whatever their order', async (t) => {
  const view = new EventView();
  const rows = [
    { ops: [{ ...CREATE, action: 'move' }, raw('a1')] },
    { ops: [raw('80'), { ...CREATE, path: raw('62c328') }] },
    { ops: [CREATE, CREATE], tooBig: raw('f7') },
    { seq: 0, zz: raw('c100') },
    { ops: raw('18ff'), zz: raw('fb3ff8000000000000') },
  ];
  for (const fields of rows) t.equal(decodeEvent(commitFrame(fields), 1, view), 'wire_cbor_bad');
  const many = new Raw(manyOps(201).subarray(HEADER.length));
  const broken = Buffer.from(frame({ op: 1, t: '#commit' }, many));
  broken[broken.indexOf('create')] = 0xff;
  t.equal(decodeEvent(broken, 1, view), 'wire_cbor_bad', 'in operations that are too many');
});
