/** Messages that are no messages of the stream, and what is said outside of it: H1 … H18. */
import { deflateRawSync } from 'node:zlib';
import { FRAME_BYTES_MAX, MiB } from '../../lib/base/units.ts';
import { errorFrame, infoFrame } from '../../scripts/fleet/event-frames.ts';
import { eventually } from '../helpers/stream-checker.ts';
import { cbor, frame, raw, type Value } from '../wire/frames.ts';
import type { VerdictCase } from './case.ts';
import { COMMIT_HEADER, draftFrame, under, wireFrame, withEntry } from './mangle.ts';
import { header, mangled } from './mangled-rows.ts';
import { poisonForEver } from './poison-loop.ts';
import type { HostileMessage } from './scene.ts';

/** So many fragments of one byte each, and no end. */
function fragments(count: number): Buffer {
  const one = wireFrame(0x00, Buffer.from([0]));
  return Buffer.concat([wireFrame(0x02, Buffer.from([0])), ...Array(count).fill(one)]);
}

/** A message of 6 MB of zeros, marked as compressed, which nobody has agreed on. */
function compressed(): Buffer {
  return wireFrame(0xc2, deflateRawSync(Buffer.alloc(6_000_000)));
}

const UNKNOWN_TYPES = ['#handle', '#migrate', '#tombstone', '#labels', '#x'];
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
      scene.each(
        [0, 2, -2],
        (each, op) =>
          each.verdictOf((stamp) => under(cbor({ op, t: '#commit' }), draftFrame(each, stamp))),
        Number.POSITIVE_INFINITY,
      ),
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
      scene.each(
        UNKNOWN_TYPES.flatMap((type) => [
          (good: Buffer) => under(cbor({ op: 1, t: type }), good),
          () => Buffer.concat([cbor({ op: 1, t: type }), Buffer.from('ff', 'hex')]),
        ]),
        (each, mangle) => each.verdictOf((stamp) => mangle(draftFrame(each, stamp))),
        Number.POSITIVE_INFINITY,
      ),
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
];
