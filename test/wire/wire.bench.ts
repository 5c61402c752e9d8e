/**
 * Cost per frame of peek, decode and the walk over the log, over the recorded session.
 * Run by hand: node test/wire/wire.bench.ts. Ratios within one run mean something, numbers do not.
 */
import { decode, decodeFirst } from '@atcute/cbor';
import { bench, do_not_optimize, group, run, summary } from 'mitata';
import { didHash } from '../../lib/wire/did-hash.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { NormalFrame, normalizeFrame } from '../../lib/wire/normalize.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { wireFrameBytes, writeWireFrame } from '../../lib/wire/resequence.ts';
import { readSessionFrames } from '../helpers/real-session.ts';
import { readWireFrame, WireFrame } from '../helpers/wire-frame.ts';

const ROUND = 128;
const peeked = new Peek();
const view = new EventView();
const normal = new NormalFrame();
const hash = { lo: 0, hi: 0 };
const all = readSessionFrames();
const isSmallCommit = (bytes: Buffer): boolean => {
  return peek(bytes, peeked) === 'event' && peeked.kind === 1 && bytes.length < 6000;
};
const commits = all.filter(({ bytes }) => isSmallCommit(bytes)).slice(-ROUND);
const large = all.filter(({ bytes }) => bytes.length > 50_000).slice(0, 1);
const others = all.filter(({ bytes }) => peek(bytes, peeked) === 'event' && peeked.kind > 1);

function log(frames: readonly { bytes: Buffer }[]): { bytes: Buffer; end: number } {
  const bytes = Buffer.alloc(16_000_000);
  let end = 0;
  for (const { bytes: frame } of frames) {
    peek(frame, peeked);
    decodeEvent(frame, peeked.kind, view);
    const { seqStart, seqEnd } = view;
    end = writeWireFrame(bytes, end, frame, 0, frame.length, seqStart, seqEnd, 1_000_000);
  }
  return { bytes, end };
}

function perFrame(name: string, frames: readonly { bytes: Buffer }[]): void {
  const list = frames.slice(0, ROUND).map(({ bytes }) => bytes);
  const kinds = list.map((bytes) => {
    peek(bytes, peeked);
    return peeked.kind;
  });
  const mean = Math.round(list.reduce((sum, bytes) => sum + bytes.length, 0) / list.length);
  const { bytes: stored, end } = log(frames.slice(0, ROUND));
  const found = new WireFrame();
  const target = Buffer.alloc(100_000);
  let turn = 0;
  const next = (): number => {
    turn = (turn + 1) % list.length;
    return turn;
  };
  let at = 0;
  group(`${name}, mean ${mean} B`, () => {
    summary(() => {
      bench('peek', () => do_not_optimize(peek(list[next()] as Buffer, peeked)));
      bench('peek and DID hash', () => {
        const bytes = list[next()] as Buffer;
        peek(bytes, peeked);
        didHash(bytes, peeked.didStart, peeked.didEnd, hash);
        do_not_optimize(hash.lo);
      });
      bench('decode', () => {
        const index = next();
        do_not_optimize(decodeEvent(list[index] as Buffer, kinds[index] ?? 1, view));
      });
      bench('decode and normalise', () => {
        const index = next();
        const bytes = list[index] as Buffer;
        decodeEvent(bytes, kinds[index] ?? 1, view);
        do_not_optimize(normalizeFrame(bytes, view, undefined, normal));
      });
      bench('wire frame with our seq', () => {
        const bytes = list[next()] as Buffer;
        do_not_optimize(wireFrameBytes(bytes.length, 20, 23, 1_000_000));
        do_not_optimize(writeWireFrame(target, 0, bytes, 0, bytes.length, 20, 23, 1_000_000));
      });
      bench('one step of the log walk', () => {
        at = at >= end ? 0 : readWireFrame(stored, at, end, found);
        do_not_optimize(at);
      });
      bench('@atcute/cbor decode', () => {
        const [, rest] = decodeFirst(list[next()] as Buffer);
        do_not_optimize(decode(rest));
      });
    });
  });
}

perFrame('small commits', commits);
perFrame('other events', others);
perFrame('commit of 200 operations', large);
await run();
