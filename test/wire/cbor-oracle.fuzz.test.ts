/**
 * The scanner against @atcute/cbor, an independent strict decoder, on mutated bytes. Where they
 * may differ is stated; everywhere else they must agree, and neither may throw at us.
 * FUZZ_RUNS and FUZZ_SEED choose more inputs and others.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode, encode, isBytes } from '@atcute/cbor';
import fc from 'fast-check';
import t from 'tap';
import { DEPTH_MAX, RULES_FRAME, RULES_RECORD, scanItem, skipItem } from '../../lib/wire/cbor.ts';
import { Control, decodeControl } from '../../lib/wire/control.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import type { Kind } from '../../lib/wire/kinds.ts';
import { NormalFrame, normalizeFrame } from '../../lib/wire/normalize.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { readSessionFrames } from '../helpers/real-session.ts';
import { readWireFrame, WireFrame } from '../helpers/wire-frame.ts';
import {
  ACCOUNT,
  COMMIT,
  cbor,
  DELETE,
  eventFrame,
  frame,
  Raw,
  SYNC,
  UPDATE,
  type Value,
} from './frames.ts';
import { lexiconErrors } from './lexicon.ts';

const RUNS = {
  numRuns: Number(process.env['FUZZ_RUNS'] ?? 12_000),
  seed: Number(process.env['FUZZ_SEED'] ?? 1),
};

type Fixture = { readonly cbor_base64: string };
const FIXTURES = join(import.meta.dirname, '../fixtures/atproto-interop/data-model');
const fixtures: Fixture[] = JSON.parse(
  readFileSync(join(FIXTURES, 'data-model-fixtures.json'), 'utf8'),
);

type Mutation = { readonly at: number; readonly op: number; readonly byte: number };
const mutations = fc.array(fc.record({ at: fc.nat(0xffff), op: fc.nat(3), byte: fc.nat(255) }), {
  minLength: 1,
  maxLength: 4,
});

/** Sets, flips one bit of, inserts or removes a byte. */
function mutate(bytes: Buffer, list: readonly Mutation[]): Buffer {
  let result = Buffer.from(bytes);
  for (const { at, op, byte } of list) {
    const index = at % (result.length + 1);
    if (op === 2) {
      result = Buffer.concat([
        result.subarray(0, index),
        Buffer.from([byte]),
        result.subarray(index),
      ]);
    } else if (index < result.length) {
      if (op === 0) result[index] = byte;
      if (op === 1) result[index] = (result[index] ?? 0) ^ (1 << (byte & 7));
      if (op === 3) result = Buffer.concat([result.subarray(0, index), result.subarray(index + 1)]);
    }
  }
  return result;
}

/** Whether the oracle takes it, writes the same bytes again, and our two extra rules hold. */
function oracleTakes(bytes: Buffer): boolean {
  let value: unknown;
  try {
    value = decode(bytes);
  } catch {
    return false;
  }
  if (!isOurs(value, 1)) return false;
  if (Buffer.compare(encode(value), bytes) !== 0) throw new Error('the oracle is not canonical');
  return true;
}

/** Ours are stricter: no float (CB-6), no empty key (CB-4), 32 levels (LM-10). */
function isOurs(value: unknown, depth: number): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0);
  if (value === null || typeof value !== 'object' || isBytes(value) || '$link' in value)
    return true;
  if (depth > DEPTH_MAX || Object.hasOwn(value, '')) return false;
  return Object.values(value).every((item) => isOurs(item, depth + 1));
}

const arbitraryValue: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom<Value>(null, true, false),
    fc.maxSafeInteger(),
    fc.string({ unit: 'binary' }),
    fc.uint8Array({ maxLength: 40 }),
    fc.constant(COMMIT['commit'] as Value),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 30 }), tie('value'), { maxKeys: 5 }),
  ),
})).value;

/** Floats that are whole numbers look like integers to the oracle's JS: not comparable. */
function hasFloatByte(bytes: Buffer): boolean {
  return bytes.includes(0xfb);
}

t.test('interop: the data model fixtures', async (t) => {
  t.equal(fixtures.length, 3);
  for (const { cbor_base64 } of fixtures) {
    const bytes = Buffer.from(cbor_base64, 'base64');
    t.equal(scanItem(bytes, 0, bytes.length, RULES_FRAME), bytes.length);
    t.ok(oracleTakes(bytes), 'the oracle thinks so too');
  }
});

t.test('what the oracle writes is accepted', async () => {
  fc.assert(
    fc.property(arbitraryValue, (value) => {
      const bytes = cbor(value);
      const expected = oracleTakes(bytes);
      return (scanItem(bytes, 0, bytes.length, RULES_FRAME) === bytes.length) === expected;
    }),
    RUNS,
  );
});

t.test('mutated items: same verdict as the oracle', async () => {
  const seeds = [
    ...fixtures.map(({ cbor_base64 }) => Buffer.from(cbor_base64, 'base64')),
    ...[COMMIT, SYNC, ACCOUNT].map((fields) => cbor(fields)),
    cbor({ list: [1, -1, 24, 2 ** 32, 'ö😀', [], {}, null, true], ops: [UPDATE, DELETE] }),
  ];
  fc.assert(
    fc.property(fc.constantFrom(...seeds), mutations, (seed, list) => {
      const bytes = mutate(seed, list);
      const isAccepted = scanItem(bytes, 0, bytes.length, RULES_FRAME) === bytes.length;
      if (isAccepted && !oracleTakes(bytes)) return false;
      // Looser rules and looser walks accept whatever stricter ones do.
      if (isAccepted && scanItem(bytes, 0, bytes.length, RULES_RECORD) !== bytes.length)
        return false;
      if (isAccepted && skipItem(bytes, 0, bytes.length) !== bytes.length) return false;
      return hasFloatByte(bytes) || isAccepted === oracleTakes(bytes);
    }),
    RUNS,
  );
});

const seeds: readonly Buffer[] = [
  ...[1, 2, 3, 4].map((kind) => eventFrame(kind)),
  eventFrame(1, { ops: [UPDATE, DELETE], prevData: undefined, extra: { a: [1, 'x'] } }),
  ...readSessionFrames()
    .filter(({ bytes }) => bytes.length < 2000)
    .filter((_, index) => index % 97 === 0)
    .map(({ bytes }) => Buffer.from(bytes)),
];
const peeked = new Peek();
const view = new EventView();
const control = new Control();
const normal = new NormalFrame();
const again = new EventView();
const found = new WireFrame();

/** Everything that reads bytes from outside; a throw fails the run. Returns why it is wrong. */
function drive(bytes: Buffer): string {
  readWireFrame(bytes, 0, bytes.length, found);
  decodeControl(bytes, control);
  const result = peek(bytes, peeked);
  for (const kind of [1, 2, 3, 4] as const) {
    const reject = decodeEvent(bytes, kind, view);
    if (reject !== undefined) continue;
    if (result !== 'event' || peeked.kind !== kind) return `peek says ${result}`;
    if (peeked.hostSeq !== view.hostSeq) return 'peek has another seq';
    if (bytes.toString('utf8', peeked.didStart, peeked.didEnd) !== view.did) return 'another DID';
    if (normalizeFrame(bytes, view, undefined, normal) !== undefined) return 'too large';
    const wrong = judgeOutput(kind);
    if (wrong !== '') return wrong;
  }
  return '';
}

/** The outgoing frame is canonical by the oracle, valid by the lexicon, and stays as it is. */
function judgeOutput(kind: Kind): string {
  const { bytes } = normal;
  const reject = decodeEvent(bytes, kind, again);
  if (reject !== undefined) return `the output is rejected: ${reject}`;
  if (!again.isCanonical) return 'the output is not canonical';
  const header = bytes.subarray(0, again.header.payloadStart);
  const payload = bytes.subarray(again.header.payloadStart);
  if (!oracleTakes(Buffer.from(header))) return 'the oracle refuses the header';
  if (!oracleTakes(Buffer.from(payload))) return 'the oracle refuses the payload';
  return lexiconErrors(kind, payload).join(', ');
}

t.test('D31, A6: mutated frames never throw, and what is accepted goes out valid', async () => {
  fc.assert(
    fc.property(fc.constantFrom(...seeds), mutations, (seed, list) => {
      const wrong = drive(mutate(seed, list));
      if (wrong !== '') throw new Error(wrong);
    }),
    RUNS,
  );
});

const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => {
  return fc.option(arbitrary, { nil: undefined });
};

t.test('D31: envelopes in any order with any of the tolerated faults go out valid', async (t) => {
  const flag = fc.constantFrom<Value | undefined>(true, false, null, undefined);
  let acceptedCount = 0;
  fc.assert(
    fc.property(
      fc.record({
        rebase: flag,
        tooBig: flag,
        blobs: fc.constantFrom<Value | undefined>(null, undefined, [], [COMMIT['commit'] as Value]),
        since: fc.constantFrom<Value | undefined>(null, undefined, COMMIT['since']),
        prevData: fc.constantFrom<Value | undefined>(null, undefined, COMMIT['prevData']),
        extra: optional(arbitraryValue),
      }),
      fc.nat(),
      fc.nat(),
      (fields, rotation, opRotation) => {
        const op = rotated(cbor({ ...UPDATE, note: 'x' }), opRotation);
        const payload = cbor({ ...COMMIT, ...fields, ops: [new Raw(op)] });
        const bytes = frame({ op: 1, t: '#commit' }, new Raw(rotated(payload, rotation)));
        const wrong = drive(bytes);
        if (wrong !== '') throw new Error(wrong);
        if (decodeEvent(bytes, 1, view) === undefined) acceptedCount += 1;
      },
    ),
    { ...RUNS, numRuns: RUNS.numRuns / 4 },
  );
  t.ok(acceptedCount > 50, `${acceptedCount} of them were accepted`);
});

/** The same map with its entries rotated. */
function rotated(map: Buffer, by: number): Buffer {
  const count = (map[0] ?? 0) & 31;
  const parts: Buffer[] = [];
  let at = 1;
  for (let i = 0; i < count; i++) {
    const valueAt = skipItem(map, at, map.length);
    const end = skipItem(map, valueAt, map.length);
    parts.push(map.subarray(at, end));
    at = end;
  }
  const turn = by % Math.max(1, parts.length);
  return Buffer.concat([map.subarray(0, 1), ...parts.slice(turn), ...parts.slice(0, turn)]);
}
