/** Websocket headers, our seq in a frame, and the walk over stored frames. */
import fc from 'fast-check';
import t from 'tap';
import * as ws from 'ws';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { resequencedBytes, wireFrameBytes, writeWireFrame } from '../../lib/wire/resequence.ts';
import {
  readWsHeader,
  WS_BAD,
  WS_HEADER_BYTES_MAX,
  WS_SHORT,
  wrapMessage,
  writeWsHeader,
  wsHeaderBytes,
} from '../../lib/wire/ws-frame.ts';
import {
  readWireFrame,
  WIRE_BAD,
  WIRE_SHORT,
  WireFrame,
  wireFrameEnd,
} from '../helpers/wire-frame.ts';
import { bytesOf, cbor, DID, eventFrame } from './frames.ts';

/** Exported by ws, but not in its types: the half of a client that reads frames. */
type Receiver = NodeJS.WritableStream & {
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): void;
};
const { Receiver } = ws as unknown as {
  Receiver: new (options: { isServer: boolean; maxPayload: number }) => Receiver;
};

const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 4_999_999, 5_000_000];

t.test('headers of every width, shortest form, and back', async (t) => {
  const widths = [2, 2, 2, 4, 4, 4, 10, 10, 10];
  for (const [index, bytes] of SIZES.entries()) {
    const target = Buffer.alloc(20, 0xee);
    t.equal(wsHeaderBytes(bytes), widths[index]);
    t.equal(writeWsHeader(target, 3, bytes), 3 + wsHeaderBytes(bytes));
    t.equal(target[2], 0xee);
    t.equal(target[3 + wsHeaderBytes(bytes)], 0xee, 'nothing written behind it');
    t.equal(readWsHeader(target, 3, 3 + wsHeaderBytes(bytes)), bytes);
    for (let cut = 0; cut < wsHeaderBytes(bytes); cut++) {
      t.equal(readWsHeader(target, 3, 3 + cut), WS_SHORT, `${bytes} cut to ${cut}`);
    }
  }
});

t.test('a websocket client reads them', async (t) => {
  const messages: Buffer[] = [];
  const receiver = new Receiver({ isServer: false, maxPayload: 5_000_000 });
  receiver.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) messages.push(data);
  });
  for (const bytes of SIZES.slice(0, 7)) {
    receiver.write(wrapMessage(Buffer.alloc(bytes, bytes & 0xff)));
  }
  await new Promise((resolve) => receiver.end(() => resolve(undefined)));
  t.same(
    messages.map(({ length }) => length),
    SIZES.slice(0, 7),
  );
  t.ok(messages.every((message) => message.every((byte) => byte === (message.length & 0xff))));
});

t.test('headers that we would not write', async (t) => {
  const rows: readonly (readonly [name: string, hex: string])[] = [
    ['text', '8101'],
    ['close', '8800'],
    ['ping', '8900'],
    ['not FIN', '0201'],
    ['compressed', 'c201'],
    ['masked', '8281'],
    ['masked, 16 bit', '82fe0080'],
    ['125 in 16 bits', '827e007d'],
    ['65,535 in 64 bits', '827f000000000000ffff'],
    ['over 5,000,000', '827f00000000004c4b41'],
    ['2^32', '827f0000000100000000'],
    ['2^56 and a good one', '827f0100000000010000'],
    ['zeros', '0000'],
  ];
  for (const [name, hex] of rows) {
    t.equal(readWsHeader(bytesOf(hex), 0, bytesOf(hex).length), WS_BAD, name);
    t.equal(wireFrameEnd(bytesOf(hex), 0, bytesOf(hex).length), WIRE_BAD, name);
  }
});

t.test('SQ-3: our seq takes the place of theirs, whatever the widths', async () => {
  const seq = fc.oneof(
    fc.constantFrom(1, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1),
    fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  );
  const view = new EventView();
  const found = new WireFrame();
  fc.assert(
    fc.property(seq, seq, fc.constantFrom(1, 2, 3, 4), fc.nat(100), (theirs, ours, kind, at) => {
      const bytes = eventFrame(kind, { seq: theirs });
      // The frame lies in the middle of a ring, the target in the middle of a batch.
      const ring = Buffer.concat([Buffer.alloc(7, 0xff), bytes, Buffer.alloc(7, 0xff)]);
      decodeEvent(bytes, kind as 1 | 2 | 3 | 4, view);
      const { seqStart, seqEnd } = view;
      const size = wireFrameBytes(bytes.length, seqStart, seqEnd, ours);
      const target = Buffer.alloc(at + size + 5, 0xee);
      const end = writeWireFrame(target, at, ring, 7, 7 + bytes.length, seqStart, seqEnd, ours);
      const message = eventFrame(kind, { seq: ours });
      const isWhole = target.subarray(at, end).equals(wrapMessage(message));
      const isAlone =
        end === at + size &&
        target.subarray(0, at).every((byte) => byte === 0xee) &&
        target.subarray(end).every((byte) => byte === 0xee);
      const next = readWireFrame(target, at, end, found);
      const { messageStart, messageEnd, peek } = found;
      const did = target.toString('latin1', peek.didStart, peek.didEnd);
      return (
        isWhole &&
        isAlone &&
        resequencedBytes(bytes.length, seqStart, seqEnd, ours) === message.length &&
        next === end &&
        target.subarray(messageStart, messageEnd).equals(message) &&
        found.seq === ours &&
        peek.kind === kind &&
        did === DID
      );
    }),
    { numRuns: 500 },
  );
});

t.test('the width of the websocket header changes with seq too', async (t) => {
  const view = new EventView();
  for (const bytes of [125, 65_535]) {
    const pad = bytes - eventFrame(3, { seq: 1, handle: undefined, x: Buffer.alloc(0) }).length;
    const head = bytes === 125 ? 1 : 2;
    const x = Buffer.alloc(pad - head);
    const frame = eventFrame(3, { seq: 1, handle: undefined, x });
    t.equal(frame.length, bytes);
    decodeEvent(frame, 3, view);
    const { seqStart, seqEnd } = view;
    t.equal(wireFrameBytes(bytes, seqStart, seqEnd, 1), wrapMessage(frame).length);
    t.equal(
      wireFrameBytes(bytes, seqStart, seqEnd, 24),
      wrapMessage(Buffer.alloc(bytes + 1)).length,
    );
  }
});

t.test('the walk: every cut and every bad frame has its answer', async (t) => {
  const found = new WireFrame();
  const one = wrapMessage(eventFrame(1, { seq: 7 }));
  const two = wrapMessage(eventFrame(4, { seq: 8 }));
  const log = Buffer.concat([one, two]);
  t.equal(readWireFrame(log, 0, log.length, found), one.length);
  t.equal(found.seq, 7);
  t.equal(readWireFrame(log, one.length, log.length, found), log.length);
  t.equal(found.seq, 8);
  t.equal(readWireFrame(log, log.length, log.length, found), WIRE_SHORT);
  for (let end = 0; end < one.length; end++) {
    if (readWireFrame(log, 0, end, found) !== WIRE_SHORT) t.fail(`cut to ${end}`);
  }
  const info = wrapMessage(Buffer.concat([cbor({ op: 1, t: '#info' }), cbor({ name: 'X' })]));
  t.equal(readWireFrame(info, 0, info.length, found), WIRE_BAD, 'no event');
  t.equal(wireFrameEnd(info, 0, info.length), info.length, 'but a frame');
  const empty = wrapMessage(Buffer.alloc(0));
  t.equal(wireFrameEnd(empty, 0, empty.length), empty.length, 'an empty frame has an end');
  t.equal(readWireFrame(empty, 0, empty.length, found), WIRE_BAD, 'an empty message');
  t.equal(WS_HEADER_BYTES_MAX, 10);
});
