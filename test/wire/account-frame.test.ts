/** The relay's own #account: canonical, as the lexicon has it, ready to take a seq of ours. */
import { decodeFirst } from '@atcute/cbor';
import t from 'tap';
import { FRAME_BYTES_MAX } from '../../lib/base/units.ts';
import { encodeAccountFrame } from '../../lib/wire/account-frame.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_ACCOUNT } from '../../lib/wire/kinds.ts';
import { NormalFrame, normalizeFrame } from '../../lib/wire/normalize.ts';
import { wireFrameBytes, writeWireFrame } from '../../lib/wire/resequence.ts';
import { accountFrame } from '../../scripts/fleet/event-frames.ts';
import { lexiconErrors } from './lexicon.ts';

const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa';
const TIME = '2026-01-01T00:00:00.000Z';
const LONG_DID = `did:web:${'a'.repeat(300)}`;

const CASES = [
  { did: DID, isActive: true, status: null, time: TIME },
  { did: DID, isActive: false, status: 'deleted', time: TIME },
  { did: DID, isActive: false, status: null, time: TIME },
  { did: LONG_DID, isActive: false, status: 'é'.repeat(64), time: TIME },
];
for (const [index, event] of CASES.entries()) {
  t.test(`FR-14, AC-13: the frame of a host with the same words, ${index + 1}`, async (t) => {
    const { did, isActive: active, status, time } = event;
    const out = new NormalFrame();
    encodeAccountFrame(event, out);
    const parts = status === null ? { did, active } : { did, active, status };
    t.same(out.bytes, accountFrame(parts, { seq: 1, time }), 'byte for byte');

    const view = new EventView();
    t.equal(decodeEvent(out.bytes, KIND_ACCOUNT, view), undefined, 'a successor reads it back');
    t.match(view, { did, active, status: status ?? '', hasStatus: status !== null });
    t.equal(view.isCanonical, true);
    t.same([out.seqStart, out.seqEnd], [view.seqStart, view.seqEnd]);
    const again = new NormalFrame();
    t.equal(normalizeFrame(out.bytes, view, undefined, again), undefined);
    t.equal(again.bytes, out.bytes, 'nothing is left to be put right');

    const { bytes, seqStart, seqEnd } = out;
    for (const seq of [1, 24, 70_000, Number.MAX_SAFE_INTEGER]) {
      const wire = Buffer.alloc(wireFrameBytes(bytes.length, seqStart, seqEnd, seq));
      writeWireFrame(wire, 0, bytes, 0, bytes.length, seqStart, seqEnd, seq);
      const message = wire.subarray(wire.indexOf(Buffer.from('a2617468', 'hex')));
      t.equal(decodeEvent(message, KIND_ACCOUNT, view), undefined);
      t.equal(view.hostSeq, seq, 'with a seq of ours in it');
      const [, payload] = decodeFirst(message);
      t.same(lexiconErrors(KIND_ACCOUNT, Buffer.from(payload)), []);
    }
    t.ok(bytes.length < FRAME_BYTES_MAX);
  });
}
