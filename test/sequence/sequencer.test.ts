/** Our order: contiguous from where it starts, taken only by what is written (G1, G2, LM-1). */
import t from 'tap';
import { FRAME_BYTES_MAX, toSeq } from '../../lib/base/units.ts';
import { Sequencer } from '../../lib/sequence/sequencer.ts';
import { readWsHeader, wsHeaderBytes } from '../../lib/wire/ws-frame.ts';

/** `before`, a CBOR integer of 5 bytes, `after`. */
function frameOf(before: string, after: Buffer) {
  const head = Buffer.from(before);
  const seq = Buffer.from([0x1a, 0, 1, 0, 0]);
  const frame = Buffer.concat([Buffer.from('skipped'), head, seq, after]);
  const event = {
    frameStart: 7,
    frameEnd: frame.length,
    seqStart: head.length,
    seqEnd: head.length + 5,
  };
  return { frame, event };
}

t.test('SQ-1, SQ-3, G1: contiguous seqs, only seq changes, in the shortest form', async (t) => {
  for (const [first, encoded] of [
    [1, '01'],
    [23, '17'],
    [24, '1818'],
    [256, '190100'],
    [65_536, '1a00010000'],
    [2 ** 32, '1b0000000100000000'],
    [2 ** 53 - 2, '1b001ffffffffffffe'],
  ] as const) {
    const sequencer = new Sequencer(toSeq(first));
    const { frame, event } = frameOf('before', Buffer.from('after'));
    const target = Buffer.alloc(100, 0xee);
    const bytes = sequencer.wireBytes(event);
    t.equal(sequencer.write(frame, event, target, 10), first);
    t.equal(sequencer.nextSeq, first + 1);
    const wire = target.subarray(10, 10 + bytes);
    const message = wire.subarray(wsHeaderBytes(readWsHeader(wire, 0, wire.length)));
    const wanted = Buffer.concat([
      Buffer.from('before'),
      Buffer.from(encoded, 'hex'),
      Buffer.from('after'),
    ]);
    t.ok(message.equals(wanted));
    t.ok(
      target.subarray(10 + bytes).every((byte) => byte === 0xee),
      'not a byte more',
    );
  }
});

t.test('G1: the end of the numbers is an error, not a repeat', async (t) => {
  const sequencer = new Sequencer(toSeq(Number.MAX_SAFE_INTEGER));
  const { frame, event } = frameOf('', Buffer.of());
  t.throws(() => sequencer.write(frame, event, Buffer.alloc(100), 0), /safe integer/);
});

t.test('LM-1: 5,000,000 bytes may be emitted, one more may not, and takes no seq', async (t) => {
  const sequencer = new Sequencer(toSeq(1));
  const exact = frameOf('', Buffer.alloc(FRAME_BYTES_MAX - 1));
  t.equal(sequencer.wireBytes(exact.event), FRAME_BYTES_MAX + 10);
  const over = frameOf('', Buffer.alloc(FRAME_BYTES_MAX));
  t.equal(sequencer.wireBytes(over.event), 0);
  t.equal(sequencer.nextSeq, 1);
});
