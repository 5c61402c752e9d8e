/** Info and error frames, both ways. */
import { decode, decodeFirst } from '@atcute/cbor';
import t from 'tap';
import {
  Control,
  decodeControl,
  encodeErrorFrame,
  encodeInfoFrame,
} from '../../lib/wire/control.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { bytesOf, cbor, commitFrame, frame, Pairs, raw, type Value } from './frames.ts';

const ERROR: Value = { op: -1 };
const INFO: Value = { op: 1, t: '#info' };

t.test('FR-14: what we send is canonical and read by an independent decoder', async (t) => {
  const [header, rest] = decodeFirst(encodeErrorFrame('FutureCursor', 'too far'));
  t.same(header, { op: -1 });
  t.same(decode(rest), { error: 'FutureCursor', message: 'too far' });
  const [infoHeader, infoRest] = decodeFirst(encodeInfoFrame('OutdatedCursor', 'öld'));
  t.same(infoHeader, { op: 1, t: '#info' });
  t.same(decode(infoRest), { name: 'OutdatedCursor', message: 'öld' });
  t.same(
    encodeErrorFrame('E', ''),
    Buffer.concat([bytesOf('a1 62 6f70 20'), cbor({ error: 'E' })]),
  );
  t.same(encodeInfoFrame('N', ''), frame(INFO, { name: 'N' }));
});

t.test('H11, H12, H14: our own decoder reads them', async (t) => {
  const control = new Control();
  const peeked = new Peek();
  for (const name of ['FutureCursor', 'ConsumerTooSlow']) {
    const bytes = encodeErrorFrame(name, 'because');
    t.equal(peek(bytes, peeked), 'error');
    t.equal(decodeControl(bytes, control), undefined);
    t.match(control, { isError: true, name, message: 'because' });
  }
  const info = encodeInfoFrame('OutdatedCursor', '');
  t.equal(peek(info, peeked), 'info');
  t.equal(decodeControl(info, control), undefined);
  t.match(control, { isError: false, name: 'OutdatedCursor', message: '' });
});

t.test('other forms that hosts may send', async (t) => {
  const control = new Control();
  const rows: readonly (readonly [Value, Value, object])[] = [
    [{ op: -1, t: '#error' }, { error: 'X' }, { isError: true, name: 'X' }],
    [
      new Pairs([
        ['t', '#x'],
        ['op', -1],
      ]),
      { error: 'X' },
      { isError: true, name: 'X' },
    ],
    [
      new Pairs([
        ['op', 1],
        ['t', '#info'],
      ]),
      { name: 'X' },
      { isError: false, name: 'X' },
    ],
    [
      ERROR,
      new Pairs([
        ['message', 'm'],
        ['error', 'X'],
      ]),
      { name: 'X', message: 'm' },
    ],
    [ERROR, { error: 'X', name: 'Y', zz: [1] }, { name: 'X', message: '' }],
    [ERROR, { error: '', message: '' }, { name: '' }],
  ];
  for (const [header, payload, wanted] of rows) {
    t.equal(decodeControl(frame(header, payload), control), undefined);
    t.match(control, wanted);
  }
});

t.test('H13: an error frame that is not even that', async (t) => {
  const control = new Control();
  const rows: readonly (readonly [name: string, bytes: Buffer, reject: string])[] = [
    ['without error', frame(ERROR, { message: 'm' }), 'wire_field_missing'],
    ['error is a number', frame(ERROR, { error: 1 }), 'wire_field_bad'],
    ['message is a number', frame(ERROR, { error: 'X', message: 1 }), 'wire_field_bad'],
    ['body is a list', frame(ERROR, []), 'wire_payload_not_map'],
    ['no body', cbor(ERROR), 'wire_payload_not_map'],
    ['body is no CBOR', frame(ERROR, raw('a1 65 6572726f72 61ff')), 'wire_cbor_bad'],
    ['a third object', Buffer.concat([encodeErrorFrame('X', ''), cbor(0)]), 'frame_trailing_bytes'],
    ['an info frame without a name', frame(INFO, { error: 'X' }), 'wire_field_missing'],
    ['of an op we do not know', frame({ op: 2 }, { error: 'X' }), 'frame_op_unknown'],
    ['an event', commitFrame(), 'frame_header_bad'],
    ['no header', Buffer.alloc(0), 'frame_header_bad'],
  ];
  for (const [name, bytes, reject] of rows) t.equal(decodeControl(bytes, control), reject, name);
});

t.test('nothing of the frame before is left', async (t) => {
  const control = new Control();
  decodeControl(encodeErrorFrame('X', 'long ago'), control);
  t.equal(decodeControl(encodeErrorFrame('Y', ''), control), undefined);
  t.match(control, { name: 'Y', message: '' });
  decodeControl(frame(ERROR, []), control);
  t.match(control, { name: '', message: '' });
});

t.test("a host's words are cut before they reach a log", async (t) => {
  const control = new Control();
  t.equal(decodeControl(encodeErrorFrame('X'.repeat(10_000), 'y'.repeat(1e6)), control), undefined);
  t.equal(control.name.length, 512);
  t.equal(control.message.length, 512);
});
