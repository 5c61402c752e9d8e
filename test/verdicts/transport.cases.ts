/** What breaks the stream or the encoding: H1 … H33. */
import { deflateRawSync } from 'node:zlib';
import { FRAME_BYTES_MAX, MiB } from '../../lib/base/units.ts';
import { errorFrame, infoFrame, type Stamp } from '../../scripts/fleet/event-frames.ts';
import { eventually } from '../helpers/stream-checker.ts';
import { cbor, frame, Raw, raw, type Value } from '../wire/frames.ts';
import type { VerdictCase } from './case.ts';
import {
  COMMIT_HEADER,
  draftFrame,
  HEADER_TWICE,
  HEADER_UNSORTED,
  madeFrame,
  pathOf,
  payloadOf,
  reversed,
  under,
  viewOf,
  wireFrame,
  withEntry,
  withLink,
  withValue,
} from './mangle.ts';
import { poisonForEver } from './poison-loop.ts';
import { type HostileMessage, isSame, type Scene } from './scene.ts';

/** Makes the subject's next commit wrong. */
type Mangle = (frame: Buffer, stamp: Stamp, scene: Scene) => Buffer;

/** A row whose inputs are all a good commit made wrong, and which must all come to the same. */
function mangled(
  row: Omit<VerdictCase, 'run' | 'specVerdict' | 'deviation'>,
  inputs: Readonly<Record<string, Mangle>>,
): VerdictCase {
  return {
    ...row,
    specVerdict: 'CLOSE',
    deviation: 'ADR 0005',
    run: (scene) =>
      scene.each(inputs, (each, mangle) => {
        return each.verdictOf((stamp) => mangle(draftFrame(each, stamp), stamp, each));
      }),
  };
}

/** A good commit with one more field, of these bytes. */
const entry =
  (hex: string): Mangle =>
  (good) =>
    withEntry(good, hex);
const header =
  (value: Value): Mangle =>
  (good) =>
    under(cbor(value), good);

const FLOAT_FIVE = 'fb4014000000000000';
const NOT_UTF8 = { 'c3 28': '62c328', surrogate: '63eda080', overlong: '62c080' };
const DEEP = `${'81'.repeat(20_000)}80`;

function notUtf8(): Record<string, Mangle> {
  const inputs: Record<string, Mangle> = {};
  for (const [name, hex] of Object.entries(NOT_UTF8)) {
    inputs[`${name} in repo`] = (good, _, { subject }) => withValue(good, 'repo', subject.did, hex);
    inputs[`${name} in path`] = (good) => withValue(good, 'path', pathOf(good), hex);
    inputs[`${name} in rev`] = (good) => withValue(good, 'rev', viewOf(good).rev, hex);
  }
  return inputs;
}

/** A row whose inputs are a good commit with something more, and which all pass as they are. */
function passing(
  id: string,
  input: string,
  rules: string,
  inputs: Readonly<Record<string, (good: Buffer) => Buffer>>,
): VerdictCase {
  return {
    id,
    input,
    specVerdict: 'PASS',
    expected: 'PASS',
    rules,
    run: (scene) =>
      scene.each(inputs, (each, extend) => {
        return each.verdictOf((stamp) => extend(madeFrame(each, stamp)));
      }),
  };
}

function badLink(hex: string): Mangle {
  return (good) => withLink(good, 'commit', hex);
}

/** 200,000 keys of six digits. */
function largeMap(): Buffer {
  const entries = Array.from({ length: 200_000 }, (_, index) => `f${100_000 + index}\0`);
  return Buffer.concat([Buffer.from('ba00030d40', 'hex'), Buffer.from(entries.join(''), 'latin1')]);
}

/** So many fragments of one byte each, and no end. */
function fragments(count: number): Buffer {
  const one = wireFrame(0x00, Buffer.from([0]));
  return Buffer.concat([wireFrame(0x02, Buffer.from([0])), ...Array(count).fill(one)]);
}

/** A message of 6 MB of zeros, marked as compressed, which nobody has agreed on. */
function compressed(): Buffer {
  return wireFrame(0xc2, deflateRawSync(Buffer.alloc(6_000_000)));
}

const POISONS: readonly HostileMessage[] = [
  { bytes: compressed(), form: 'wire' },
  { bytes: Buffer.alloc(FRAME_BYTES_MAX + 1) },
];

export const TRANSPORT: readonly VerdictCase[] = [
  {
    id: 'H1',
    input: 'a text message: some words, a good event',
    specVerdict: 'CLOSE',
    expected: 'CLOSE frame_not_binary',
    rules: 'FR-4',
    run: (scene) =>
      scene.each({ words: () => Buffer.from('hello'), event: draftFrame }, (each, make) => {
        return each.verdictOf((stamp) => ({ bytes: make(each, stamp), form: 'text' }));
      }),
  },
  mangled(
    {
      id: 'H2',
      input: 'an empty binary message',
      expected: 'STRIKE frame_header_bad',
      rules: 'FR-4',
    },
    { empty: () => Buffer.alloc(0) },
  ),
  mangled(
    {
      id: 'H3',
      input: 'a header without payload',
      expected: 'STRIKE wire_payload_not_map',
      rules: 'FR-4',
    },
    { header: () => COMMIT_HEADER },
  ),
  mangled(
    {
      id: 'H4',
      input: 'a third object behind the payload; one byte behind it',
      expected: 'STRIKE frame_trailing_bytes',
      rules: 'FR-4, CB-9',
    },
    {
      object: (good) => Buffer.concat([good, cbor({ more: 1 })]),
      byte: (good) => Buffer.concat([good, Buffer.from([0])]),
    },
  ),
  mangled(
    {
      id: 'H5',
      input: 'the payload without its last byte',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'FR-7',
    },
    { cut: (good) => good.subarray(0, -1) },
  ),
  mangled(
    {
      id: 'H6',
      input: 'the header is an array, an integer, null',
      expected: 'STRIKE frame_header_bad',
      rules: 'FR-5',
    },
    { array: header([]), integer: header(1), null: header(null) },
  ),
  mangled(
    {
      id: 'H7',
      input: '`op` missing, text, 1.0',
      expected: 'STRIKE frame_header_bad (missing, text), STRIKE wire_cbor_bad (1.0)',
      rules: 'FR-5, CB-6',
    },
    {
      missing: header({ t: '#commit' }),
      text: header({ op: '1', t: '#commit' }),
      '1.0': header({ op: raw('fb3ff0000000000000'), t: '#commit' }),
    },
  ),
  {
    id: 'H8',
    input: '`op` 0, 2, -2 in front of a good payload',
    specVerdict: 'IGNORE',
    expected: 'IGNORE frame_op_unknown',
    rules: 'FR-6',
    run: (scene) =>
      scene.each([0, 2, -2], (each, op) => {
        return each.verdictOf((stamp) => {
          return under(cbor({ op, t: '#commit' }), draftFrame(each, stamp));
        });
      }),
  },
  mangled(
    {
      id: 'H9',
      input: '`op` 1 without `t`',
      expected: 'STRIKE frame_header_bad',
      rules: 'FR-5',
    },
    { 'no t': header({ op: 1 }) },
  ),
  {
    id: 'H10',
    input: '`t` is #handle, #migrate, #tombstone, #labels, #x; the payload no object at all',
    specVerdict: 'IGNORE',
    expected: 'IGNORE frame_kind_unknown',
    rules: 'FR-6, CH-7',
    run: (scene) =>
      scene.each(['#handle', '#migrate', '#tombstone', '#labels', '#x'], async (each, type) => {
        const head = cbor({ op: 1, t: type });
        const good = (stamp: Stamp) => under(head, draftFrame(each, stamp));
        const garbage = Buffer.concat([head, Buffer.from('ff', 'hex')]);
        const verdicts = new Set((await each.verdictOf([good, garbage])).split(', '));
        return [...verdicts].join(', ');
      }),
  },
  {
    id: 'H11',
    input: 'an error frame FutureCursor',
    specVerdict: 'CLOSE, host idle, cursor kept, no tight redial',
    expected: 'CLOSE frame_error_op and DROP commit_rev_stale, host idle, asked for cursor 0 once',
    rules: 'FR-9, SQ-12',
    deviation: 'ADR 0007',
    run: async (scene) => {
      const { host, relay } = scene;
      const connects = host.cursorsSeen.length;
      const bytes = errorFrame('FutureCursor', 'Cursor in the future.');
      const verdict = await scene.verdictOf({ bytes, isOnce: true });
      const isIdle = new RegExp(`"host":"${host.hostname}","from":"active","to":"idle"`);
      await eventually(() => isIdle.test(relay.stdout), 5000);
      const status = isIdle.test(relay.stdout) ? 'idle' : 'not idle';
      const cursors = host.cursorsSeen.slice(connects);
      const asked = cursors.length === 1 ? `${cursors[0]} once` : cursors.join(', ');
      return `${verdict}, host ${status}, asked for cursor ${asked}`;
    },
  },
  {
    id: 'H12',
    input: 'an error frame ConsumerTooSlow',
    specVerdict: 'CLOSE, resume at the last processed seq',
    expected: 'CLOSE frame_error_op, resume at the last processed seq',
    rules: 'FR-9, SQ-13',
    run: async (scene) => {
      const { host } = scene;
      let last = 0;
      const verdict = await scene.verdictOf(({ seq }) => {
        last = seq - 1;
        return { bytes: errorFrame('ConsumerTooSlow', 'Too slow.'), isOnce: true };
      });
      const cursor = host.cursorsSeen.at(-1);
      return `${verdict}, resume at ${cursor === last ? 'the last processed seq' : cursor}`;
    },
  },
  {
    id: 'H13',
    input: 'an error frame without `error`; with a payload that is no map',
    specVerdict: 'CLOSE',
    expected: 'CLOSE frame_error_op',
    rules: 'FR-9',
    run: (scene) =>
      scene.each<Value>({ nameless: { message: 'x' }, array: ['x'] }, (each, payload) => {
        return each.verdictOf({ bytes: frame({ op: -1 }, payload), isOnce: true });
      }),
  },
  {
    id: 'H14',
    input: '#info OutdatedCursor',
    specVerdict: 'IGNORE',
    expected: 'IGNORE',
    rules: 'SQ-2, SQ-8',
    run: (scene) => scene.verdictOf({ bytes: infoFrame('OutdatedCursor', 'Gone.'), isOnce: true }),
  },
  {
    id: 'H15',
    input: 'a message of 5,000,001 bytes, sent again until it is stepped over',
    specVerdict: 'CLOSE (1009) and poison guard',
    expected: 'CLOSE frame_too_large (1009), sent 3 times',
    rules: 'LM-1, FR-11',
    run: async (scene) => {
      const connects = scene.host.cursorsSeen.length;
      const verdict = await scene.verdictOf((stamp) => {
        const good = draftFrame(scene, stamp);
        const envelopeBytes = withEntry(good, cbor(Buffer.alloc(MiB))).length - MiB;
        return withEntry(good, cbor(Buffer.alloc(FRAME_BYTES_MAX + 1 - envelopeBytes)));
      });
      const { closeCodes, cursorsSeen } = scene.host;
      const codes = [...new Set(closeCodes)].join(', ');
      return `${verdict} (${codes}), sent ${cursorsSeen.length - connects} times`;
    },
  },
  {
    id: 'H16',
    input: 'the same poison first on every connection, whatever the cursor: compressed, too large',
    specVerdict: 'bounded redials, host flagged, other hosts unaffected',
    expected: 'bounded redials, host flagged, other hosts unaffected',
    rules: 'FR-7, LM-1',
    run: async ({ world }) => {
      // Side by side: what takes its time here is the back-off.
      const verdicts = await Promise.all(
        POISONS.map(async (poison) => poisonForEver(await world.newScene(), poison)),
      );
      return [...new Set(verdicts)].join('; ');
    },
  },
  {
    id: 'H17',
    input: '16,384 continuation fragments of one byte',
    specVerdict: 'CLOSE',
    expected: 'CLOSE frame_too_large',
    rules: 'FR-13',
    run: (scene) => scene.verdictOf({ bytes: fragments(16_384), form: 'wire' }),
  },
  {
    id: 'H18',
    input: 'a compressed message that would inflate to 6 MB',
    specVerdict: 'CLOSE',
    expected: 'CLOSE protocol',
    rules: 'LM-1',
    run: (scene) => scene.verdictOf({ bytes: compressed(), form: 'wire', isOnce: true }),
  },
  mangled(
    {
      id: 'H19',
      input: 'a header with `t` twice',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'CB-3',
    },
    { header: (good) => under(HEADER_TWICE, good) },
  ),
  {
    id: 'H20',
    input: 'keys of the header, of the payload not in order',
    specVerdict: 'CLOSE',
    expected: 'PASS changed',
    rules: 'CB-3',
    deviation: 'ADR 0008',
    run: (scene) =>
      scene.each(
        { header: (good: Buffer) => under(HEADER_UNSORTED, good), payload: reversed },
        async (each, mangle) => {
          let good: Buffer = Buffer.alloc(0);
          const verdict = await each.verdictOf((stamp) => {
            good = madeFrame(each, stamp);
            return mangle(good);
          });
          const isMended = each.emitted.length === 1 && isSame(each.emitted[0] ?? good, good);
          return isMended ? verdict : `${verdict}, not mended`;
        },
      ),
  },
  mangled(
    {
      id: 'H21',
      input: 'an integer, a length not in its shortest form',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'CB-2',
    },
    {
      integer: entry('1801'),
      seq: (good, { seq }) => withValue(good, 'seq', seq, '1805'),
      length: entry('580100'),
    },
  ),
  mangled(
    {
      id: 'H22',
      input: 'a map, an array, a text of indefinite length',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'CB-2',
    },
    { map: entry('bfff'), array: entry('9fff'), text: entry('7f6161ff') },
  ),
  mangled(
    {
      id: 'H23',
      input: 'tag 1, a bignum, tag 55799 in a field; tag 55799 around the message',
      expected: 'STRIKE wire_cbor_bad (tag 1, bignum, tag 55799), STRIKE frame_header_bad (around)',
      rules: 'CB-5',
    },
    {
      'tag 1': entry('c100'),
      bignum: entry('c24101'),
      'tag 55799': entry('d9d9f700'),
      around: (good) => Buffer.concat([Buffer.from('d9d9f7', 'hex'), good]),
    },
  ),
  mangled(
    {
      id: 'H24',
      input: 'undefined, simple(24), break',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'CB-1',
    },
    { undefined: entry('f7'), simple: entry('f818'), break: entry('ff') },
  ),
  mangled(
    {
      id: 'H25',
      input: '`repo`, `path`, `rev` are not UTF-8: c3 28, a surrogate, an overlong form',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'CB-8',
    },
    notUtf8(),
  ),
  mangled(
    {
      id: 'H26',
      input: 'a float: `seq` 5.0, in an unknown field, for a flag',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'CB-6',
    },
    {
      seq: (good, { seq }) => withValue(good, 'seq', seq, FLOAT_FIVE),
      unknown: entry(FLOAT_FIVE),
      tooBig: (good) => withValue(good, 'tooBig', false, FLOAT_FIVE),
    },
  ),
  mangled(
    {
      id: 'H27',
      input: '20,000 arrays in each other in an unknown field',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'CB-11, LM-10',
    },
    { deep: entry(DEEP) },
  ),
  mangled(
    {
      id: 'H28',
      input: 'an array that says it has 2^32 items, bytes that say they are 4 GiB',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'CB-11, LM-10',
    },
    { array: entry('9b0000000100000000'), bytes: entry('5b0000000100000000') },
  ),
  mangled(
    {
      id: 'H29',
      input: 'a map of 200,000 keys: the payload, a field of it',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'LM-10',
    },
    {
      payload: () => Buffer.concat([COMMIT_HEADER, largeMap()]),
      field: (good: Buffer) => withEntry(good, largeMap()),
    },
  ),
  passing(
    'H30',
    'unknown fields `__proto__`, `constructor` with an object for a value',
    'CB-13, FR-6',
    {
      proto: (good) => withEntry(good, cbor({ x: 1 }), '__proto__'),
      constructor: (good: Buffer) => withEntry(good, cbor({ prototype: { x: 1 } }), 'constructor'),
    },
  ),
  mangled(
    {
      id: 'H31',
      input: 'the payload is an array',
      expected: 'STRIKE wire_payload_not_map',
      rules: 'FR-10',
    },
    { array: (good) => Buffer.concat([COMMIT_HEADER, cbor([new Raw(payloadOf(good))])]) },
  ),
  passing('H32', 'unknown fields; `$type`', 'FR-6, CB-12', {
    unknown: (good) => withEntry(good, cbor([1, { a: null }])),
    type: (good) => withEntry(good, cbor('com.atproto.sync.subscribeRepos#commit'), '$type'),
  }),
  mangled(
    {
      id: 'H33',
      input: 'links: CIDv0, SHA-1, 31 bytes of digest, no leading 00, a byte too many',
      expected: 'STRIKE wire_cbor_bad',
      rules: 'CD-1, CD-2',
    },
    {
      CIDv0: badLink(`d82a5823001220${'00'.repeat(32)}`),
      'SHA-1': badLink(`d82a58190001711114${'00'.repeat(20)}`),
      '31 bytes': badLink(`d82a5824000171121f${'00'.repeat(31)}`),
      'no 00': badLink(`d82a582401711220${'00'.repeat(32)}`),
      trailing: badLink(`d82a58260001711220${'00'.repeat(33)}`),
    },
  ),
];
