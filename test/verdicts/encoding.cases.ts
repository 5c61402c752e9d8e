/** What is wrong inside a websocket message, by the rules of DRISL: H19 … H33. */
import { cbor, Raw } from '../wire/frames.ts';
import type { VerdictCase } from './case.ts';
import {
  COMMIT_HEADER,
  HEADER_TWICE,
  HEADER_UNSORTED,
  madeFrame,
  pathOf,
  payloadOf,
  reversed,
  under,
  viewOf,
  withEntry,
  withLink,
  withValue,
} from './mangle.ts';
import { entry, type Mangle, mangled, passing } from './mangled-rows.ts';
import { isSame } from './scene.ts';

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

function badLink(hex: string): Mangle {
  return (good) => withLink(good, 'commit', hex);
}

/** 200,000 keys of six digits. */
function largeMap(): Buffer {
  const entries = Array.from({ length: 200_000 }, (_, index) => `f${100_000 + index}\0`);
  return Buffer.concat([Buffer.from('ba00030d40', 'hex'), Buffer.from(entries.join(''), 'latin1')]);
}

export const ENCODING: readonly VerdictCase[] = [
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
