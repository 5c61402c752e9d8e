/** The byte ring against an array model, around every wrap of its 32-bit positions. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { MiB } from '../../lib/base/units.ts';
import { RingConsumer } from '../../lib/ring/consumer.ts';
import {
  allocateRing,
  DATA_AT,
  HEAD_AT,
  payloadBytesMax,
  TAIL_AT,
} from '../../lib/ring/descriptor.ts';
import { RingProducer } from '../../lib/ring/producer.ts';
import type { SharedMemory } from '../../lib/shared/memory.ts';

const CAPACITY = 1024;

/** A ring whose positions stand at `position`, as after that many bytes. */
function ringAt(capacityBytes: number, position: number): SharedMemory {
  const memory = allocateRing(capacityBytes);
  new Int32Array(memory)[TAIL_AT / 4] = position | 0;
  new Int32Array(memory)[HEAD_AT / 4] = position | 0;
  return memory;
}

function put(ring: RingProducer, payload: Buffer): boolean {
  const at = ring.claim(payload.length);
  if (at < 0) return false;
  payload.copy(ring.bytes, at);
  return true;
}

function take(ring: RingConsumer): Buffer | undefined {
  const at = ring.poll();
  return at < 0 ? undefined : Buffer.from(ring.bytes.subarray(at, at + ring.payloadBytes));
}

/** Inside a property a failure must throw, so that the counter-example is shrunk. */
let polls = 0;

type Model = { claimed: Buffer[]; published: Buffer[]; read: number };
type Real = { producer: RingProducer; consumer: RingConsumer };

class Claim implements fc.Command<Model, Real> {
  readonly payloadBytes: number;
  readonly fill: number;
  constructor(payloadBytes: number, fill: number) {
    this.payloadBytes = payloadBytes;
    this.fill = fill;
  }
  check = (): boolean => true;
  run(model: Model, real: Real): void {
    const payload = Buffer.alloc(this.payloadBytes, this.fill);
    if (put(real.producer, payload)) model.claimed.push(payload);
    else {
      const inUse = real.producer.capacityBytes - real.producer.freeBytes();
      assert.ok(inUse > 0, 'an empty ring takes every record up to the largest');
    }
  }
  toString = (): string => `claim(${this.payloadBytes})`;
}
class Commit implements fc.Command<Model, Real> {
  check = (): boolean => true;
  run(model: Model, real: Real): void {
    real.producer.commit();
    model.published.push(...model.claimed.splice(0));
  }
  toString = (): string => 'commit';
}
class Abandon implements fc.Command<Model, Real> {
  check = (): boolean => true;
  run(model: Model, real: Real): void {
    real.producer.abandon();
    model.claimed.length = 0;
  }
  toString = (): string => 'abandon';
}
class Poll implements fc.Command<Model, Real> {
  check = (): boolean => true;
  run(model: Model, real: Real): void {
    const got = take(real.consumer);
    const want = model.published[model.read];
    polls += 1;
    assert.deepEqual(got, want);
    if (want) model.read += 1;
  }
  toString = (): string => 'poll';
}
class Release implements fc.Command<Model, Real> {
  check = (): boolean => true;
  run(model: Model, real: Real): void {
    real.consumer.release();
    model.published.splice(0, model.read);
    model.read = 0;
  }
  toString = (): string => 'release';
}

const commands = fc.commands(
  [
    fc
      .tuple(
        fc.integer({ min: 0, max: payloadBytesMax(CAPACITY) }),
        fc.integer({ max: 255, min: 1 }),
      )
      .map(([bytes, fill]) => new Claim(bytes, fill)),
    fc.constant(new Commit()),
    fc.constant(new Commit()),
    fc.constant(new Abandon()),
    fc.constant(new Poll()),
    fc.constant(new Poll()),
    fc.constant(new Release()),
  ],
  { maxCommands: 200, size: 'max' },
);

for (const start of [0, 2 ** 31 - 512, 2 ** 32 - 512, 2 ** 31 - 8, 2 ** 32 - 8]) {
  t.test(`any order of calls equals the array model, from position ${start}`, async (t) => {
    fc.assert(
      fc.property(commands, (list) => {
        const memory = ringAt(CAPACITY, start);
        const real = { producer: new RingProducer(memory), consumer: new RingConsumer(memory) };
        fc.modelRun(() => ({ model: { claimed: [], published: [], read: 0 }, real }), list);
      }),
      { numRuns: 300 },
    );
    t.ok(polls > 5000, `${polls} polls compared`);
    polls = 0;
  });
}

t.test('the largest frame fits at every offset class of an empty ring', async (t) => {
  for (const base of [0, 2 ** 31 - CAPACITY, 2 ** 32 - CAPACITY]) {
    for (let offset = 0; offset < CAPACITY; offset += 8) {
      const memory = ringAt(CAPACITY, base + offset);
      const producer = new RingProducer(memory);
      const consumer = new RingConsumer(memory);
      const payload = Buffer.alloc(payloadBytesMax(CAPACITY), offset & 0xff);
      if (!put(producer, payload)) t.fail(`no room at ${base + offset}`);
      producer.commit();
      if (!take(consumer)?.equals(payload)) t.fail(`other bytes at ${base + offset}`);
      consumer.release();
      if (producer.freeBytes() !== CAPACITY) t.fail(`not empty again at ${base + offset}`);
    }
  }
});

t.test('a real-sized ring carries 5 MB frames across its end', async (t) => {
  const memory = ringAt(16 * MiB, 2 ** 31 - 7_000_000 - (7_000_000 % 8));
  const producer = new RingProducer(memory);
  const consumer = new RingConsumer(memory);
  for (let i = 0; i < 40; i++) {
    const payload = Buffer.alloc(5_000_000 - i, i);
    t.ok(put(producer, payload));
    producer.commit();
    const got = take(consumer);
    t.ok(got?.equals(payload), `frame ${i}`);
    consumer.release();
  }
});

t.test(
  'a successor producer goes on after the last commit, not after the last claim',
  async (t) => {
    const memory = allocateRing(CAPACITY);
    const first = new RingProducer(memory);
    put(first, Buffer.from('one'));
    first.commit();
    put(first, Buffer.from('never published'));
    const second = new RingProducer(memory);
    put(second, Buffer.from('two'));
    second.commit();
    const consumer = new RingConsumer(memory);
    t.equal(take(consumer)?.toString(), 'one');
    t.equal(take(consumer)?.toString(), 'two');
    t.equal(take(consumer), undefined);
  },
);

t.test('a successor consumer reads again what was not released', async (t) => {
  const memory = allocateRing(CAPACITY);
  const producer = new RingProducer(memory);
  for (const text of ['a', 'b', 'c']) put(producer, Buffer.from(text));
  producer.commit();
  const first = new RingConsumer(memory);
  take(first);
  first.release();
  take(first);
  const second = new RingConsumer(memory);
  t.equal(take(second)?.toString(), 'b');
});

t.test('a head from elsewhere holds the space until it moves', async (t) => {
  let head = 0;
  const memory = allocateRing(CAPACITY);
  const producer = new RingProducer(memory, () => head);
  const consumer = new RingConsumer(memory);
  t.ok(put(producer, Buffer.alloc(500)));
  t.ok(put(producer, Buffer.alloc(500)));
  producer.commit();
  take(consumer);
  take(consumer);
  consumer.release();
  t.notOk(put(producer, Buffer.alloc(400)), 'released by the consumer, not yet by the commit');
  head = consumer.position;
  t.ok(put(producer, Buffer.alloc(400)));
});

t.test('a corrupt length is an assertion, not a wild read', async (t) => {
  const memory = allocateRing(CAPACITY);
  const producer = new RingProducer(memory);
  put(producer, Buffer.alloc(8));
  producer.commit();
  new Int32Array(memory, DATA_AT)[0] = 4000;
  t.throws(() => new RingConsumer(memory).poll(), /corrupt/);
});
