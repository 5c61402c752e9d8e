/** What real hosts sent: every frame decodes, and goes out as it came but for `seq`. */
import { type CidLink, decode, decodeFirst } from '@atcute/cbor';
import t from 'tap';
import { Control, decodeControl } from '../../lib/wire/control.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_NAMES } from '../../lib/wire/kinds.ts';
import { NormalFrame, normalizeFrame } from '../../lib/wire/normalize.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { wireFrameBytes, writeWireFrame } from '../../lib/wire/resequence.ts';
import {
  readSessionFrames,
  readSessionIdentities,
  readSessionWorld,
} from '../helpers/real-session.ts';
import { readWireFrame, WireFrame } from '../helpers/wire-frame.ts';

type Payload = Readonly<Record<string, unknown>>;
type Operation = { action: string; path: string; cid: CidLink | null; prev?: CidLink };

const frames = readSessionFrames();
const world = readSessionWorld();

function oracle(bytes: Buffer): { type: string; payload: Payload } {
  const [header, rest] = decodeFirst(bytes);
  return { type: (header as { t: string }).t, payload: decode(rest) as Payload };
}

/** A CID of the oracle in our form. */
function latin1Of(cid: unknown): string {
  const { bytes } = cid as { bytes: Uint8Array };
  return Buffer.from(bytes).toString('latin1');
}

t.test('the fixture is whole', async (t) => {
  t.equal(frames.length, world.frames);
  const identities = readSessionIdentities();
  t.same(
    Object.keys(world.authority).filter((did) => identities[did] === undefined),
    [],
  );
});

t.test('peek and decode agree with an independent decoder on every frame', async (t) => {
  const wrong: string[] = [];
  const peeked = new Peek();
  const view = new EventView();
  for (const { bytes, number } of frames) {
    const { type, payload } = oracle(bytes);
    if (peek(bytes, peeked) !== 'event') wrong.push(`frame ${number} is no event to peek`);
    if (KIND_NAMES[peeked.kind] !== type) wrong.push(`frame ${number}: kind`);
    const reject = decodeEvent(bytes, peeked.kind, view);
    if (reject !== undefined) wrong.push(`frame ${number}: ${reject}`);
    const did = payload['repo'] ?? payload['did'];
    const got = {
      did: view.did,
      peekedDid: bytes.toString('utf8', peeked.didStart, peeked.didEnd),
      seq: view.hostSeq,
      peekedSeq: peeked.hostSeq,
      time: bytes.toString('utf8', view.timeStart, view.timeEnd),
      isCanonical: view.isCanonical,
      isTimeValid: view.isTimeValid,
    };
    const wanted = {
      did,
      peekedDid: did,
      seq: payload['seq'],
      peekedSeq: payload['seq'],
      time: payload['time'],
      isCanonical: true,
      isTimeValid: true,
    };
    if (JSON.stringify(got) !== JSON.stringify(wanted)) wrong.push(`frame ${number}`);
  }
  t.same(wrong, []);
});

t.test('every field of every commit, sync, identity and account', async (t) => {
  const wrong: string[] = [];
  const view = new EventView();
  for (const { bytes, number } of frames) {
    const { type, payload } = oracle(bytes);
    const kind = KIND_NAMES.indexOf(type as (typeof KIND_NAMES)[number]);
    decodeEvent(bytes, kind as 1 | 2 | 3 | 4, view);
    const blocks = bytes.subarray(view.blocksStart, view.blocksEnd).toString('base64');
    const got: Record<string, unknown> = { rev: view.rev, blocks: blocks.replaceAll('=', '') };
    const wanted: Record<string, unknown> = { rev: '', blocks: '' };
    if (kind <= 2) {
      wanted['rev'] = payload['rev'];
      wanted['blocks'] = (payload['blocks'] as { $bytes: string }).$bytes;
    }
    if (kind === 1) {
      Object.assign(got, {
        since: view.since,
        commit: view.commitCid,
        prevData: view.prevData,
        hasPrevData: view.hasPrevData,
        ops: view.ops.slice(0, view.opCount).map(({ action, path, cid, prev }) => {
          return { action, path, cid, prev };
        }),
      });
      const { prevData } = payload;
      Object.assign(wanted, {
        since: payload['since'] ?? '',
        commit: latin1Of(payload['commit']),
        prevData: prevData === undefined ? '' : latin1Of(prevData),
        hasPrevData: prevData !== undefined,
        ops: (payload['ops'] as Operation[]).map(({ action, path, cid, prev }) => {
          const previous = prev === undefined ? '' : latin1Of(prev);
          return { action, path, cid: cid === null ? '' : latin1Of(cid), prev: previous };
        }),
      });
    }
    if (kind === 3) {
      Object.assign(got, { handle: view.handle, hasHandle: view.hasHandle });
      const { handle } = payload;
      Object.assign(wanted, { handle: handle ?? '', hasHandle: handle !== undefined });
    }
    if (kind === 4) {
      Object.assign(got, { active: view.active, status: view.status, has: view.hasStatus });
      const { active, status } = payload;
      Object.assign(wanted, { active, status: status ?? '', has: status !== undefined });
    }
    if (JSON.stringify(got) !== JSON.stringify(wanted)) wrong.push(`frame ${number}`);
  }
  t.same(wrong, []);
});

t.test('normalising changes nothing and returns the input itself', async (t) => {
  const wrong: string[] = [];
  const view = new EventView();
  const peeked = new Peek();
  const normal = new NormalFrame();
  for (const { bytes, number } of frames) {
    peek(bytes, peeked);
    decodeEvent(bytes, peeked.kind, view);
    if (normalizeFrame(bytes, view, undefined, normal) !== undefined) wrong.push(`frame ${number}`);
    if (normal.bytes !== bytes || normal.isChanged) wrong.push(`frame ${number} was changed`);
    if (normal.seqStart !== view.seqStart || normal.seqEnd !== view.seqEnd) wrong.push('seq place');
  }
  t.same(wrong, []);
});

t.test('with our seq every frame is what it was, but for seq, and walks as a log', async (t) => {
  const wrong: string[] = [];
  const view = new EventView();
  const peeked = new Peek();
  const log = Buffer.alloc(frames.reduce((sum, { bytes }) => sum + bytes.length + 20, 0));
  let end = 0;
  // Crosses every width of the integer on the way.
  const seqOf = (index: number): number => Math.floor(1.015 ** index) + index + 1;
  for (const [index, { bytes }] of frames.entries()) {
    peek(bytes, peeked);
    decodeEvent(bytes, peeked.kind, view);
    const { seqStart, seqEnd } = view;
    const size = wireFrameBytes(bytes.length, seqStart, seqEnd, seqOf(index));
    const next = writeWireFrame(log, end, bytes, 0, bytes.length, seqStart, seqEnd, seqOf(index));
    if (next !== end + size) wrong.push(`frame ${index}: ${next - end} bytes, not ${size}`);
    end = next;
  }
  const found = new WireFrame();
  let at = 0;
  for (const [index, { bytes }] of frames.entries()) {
    const next = readWireFrame(log, at, end, found);
    if (next < 0) throw new Error(`frame ${index} is not found again`);
    const got = oracle(log.subarray(found.messageStart, found.messageEnd));
    const { type, payload } = oracle(bytes);
    const wanted = { type, payload: { ...payload, seq: seqOf(index) } };
    if (JSON.stringify(got) !== JSON.stringify(wanted)) wrong.push(`frame ${index} differs`);
    if (found.seq !== seqOf(index) || KIND_NAMES[found.peek.kind] !== type) wrong.push('peek');
    at = next;
  }
  t.equal(at, end);
  t.same(wrong, []);
});

t.test('the recorded error and info frames', async (t) => {
  const control = new Control();
  const peeked = new Peek();
  const future = Buffer.from(world.otherFrames.FutureCursor, 'base64');
  t.equal(peek(future, peeked), 'error');
  t.equal(decodeControl(future, control), undefined);
  t.match(control, { isError: true, name: 'FutureCursor', message: 'Cursor in the future.' });
  const outdated = Buffer.from(world.otherFrames.OutdatedCursor, 'base64');
  t.equal(peek(outdated, peeked), 'info');
  t.equal(decodeControl(outdated, control), undefined);
  const message = 'Requested cursor exceeded limit. Possibly missing events';
  t.match(control, { isError: false, name: 'OutdatedCursor', message });
});
