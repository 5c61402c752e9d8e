/** One shard by itself: what it does with frames, rows, look-ups and commits. */
import t from 'tap';
import { KiB, MiB } from '../../lib/base/units.ts';
import { RingConsumer } from '../../lib/ring/consumer.ts';
import { HeldArena } from '../../lib/ring/held-arena.ts';
import { INGEST_NO } from '../../lib/ring/ingest-record.ts';
import { accountFrame } from '../../scripts/fleet/event-frames.ts';
import { Actor } from './actors.ts';
import { Killed, ShardBench, StoreSpy } from './shard-world.ts';

const FRAMES_PER_PASS = 256;
const TIME = '2026-01-01T00:00:00.000Z';

t.test('a frame goes the whole way: held, judged, durable, written, completed', async (t) => {
  const bench = new ShardBench();
  const actor = new Actor('alice').enrol(bench);
  await bench.start();
  const inputs = (['commit', 'identity', 'off', 'commit', 'on', 'commit', 'sync'] as const).map(
    (kind) => actor.make(kind),
  );
  for (const { frame } of inputs) t.ok(bench.route(frame));
  await bench.rounds(40);
  const good = inputs.filter((input) => input.isGood);
  t.same(
    (await bench.records()).map((record) => record.hostSeq),
    good.map((input) => input.hostSeq),
  );
  t.same([...bench.rejected.values()], [['account_inactive']]);
  t.match(bench.rows.get(actor.did), { ...inputs.at(-1)?.state, seq: good.length });
  t.equal(bench.completedNo, inputs.length);
  t.notOk(bench.shard?.hasWork(), 'and the thread may sleep');
  await bench.stop();
});

t.test(
  'G17: with PostgreSQL down frames wait, none is rejected, and it is not hammered',
  async (t) => {
    const bench = new ShardBench();
    const actor = new Actor('alice').enrol(bench);
    await bench.start();
    const inputs = Array.from({ length: 50 }, () => actor.make('commit'));
    const others = Array.from({ length: 40 }, (_, i) =>
      new Actor(`b${'abcdefgh'[i % 8]}${'abcde'[i % 5]}`).enrol(bench).make('identity'),
    );
    let queries = 0;
    for (let i = 0; i < 40; i++) {
      t.ok(bench.route(inputs[i]?.frame ?? Buffer.alloc(0)));
      t.ok(bench.route(others[i]?.frame ?? Buffer.alloc(0)));
      bench.shard?.poll();
      for (const question of bench.questions.splice(0)) {
        queries += question.what === 'load' ? 1 : 0;
        question.fail();
      }
      await bench.clock.advance(5);
    }
    bench.readReports();
    t.equal(bench.rejected.size, 0);
    t.equal(bench.completedNo, 0, 'G9: nothing of it is done');
    t.ok(queries <= 10, `${queries} queries for 80 frames in 0.2 s`);
    await bench.rounds(200);
    t.equal((await bench.records()).length >= 40, true, 'then all of it goes on');
    t.equal(bench.completedNo, 80);
    await bench.stop();
  },
);

t.test(
  'G18: a long queue is judged in several passes: the heartbeat must not stand still',
  async (t) => {
    const bench = new ShardBench({ ingest: 4 * MiB, verified: 4 * MiB, held: 4 * MiB });
    const actor = new Actor('alice').enrol(bench);
    const shard = await bench.start();
    const count = 3 * FRAMES_PER_PASS;
    for (let seq = 1; seq <= count; seq++) {
      const frame = accountFrame({ did: actor.did, active: true }, { seq, time: TIME });
      t.ok(bench.route(frame));
      if (seq % FRAMES_PER_PASS === 0) shard.poll();
    }
    await bench.clock.advance(0);
    const load = bench.questions.shift();
    t.equal(load?.what, 'load');
    load?.answer();
    await bench.clock.advance(0);
    shard.poll();
    bench.questions.shift()?.answer();
    await bench.clock.advance(0);
    t.same(
      [shard.poll(), shard.poll(), shard.poll(), shard.poll()],
      [FRAMES_PER_PASS, FRAMES_PER_PASS, FRAMES_PER_PASS, 0],
    );
    await bench.stop();
  },
);

t.test('a large frame that blocks the ring does not disturb what waited', async (t) => {
  const bench = new ShardBench({ ingest: 256 * KiB, verified: 64 * KiB });
  const alice = new Actor('alice').enrol(bench);
  const bob = new Actor('bob').enrol(bench);
  const shard = await bench.start();
  bench.route(alice.make('on').frame);
  bench.route(bob.make('on').frame);
  await bench.rounds(20);
  t.equal(bench.completedNo, 2);
  // Bob waits for his key; Alice's events fill the ring, then a large one finds no room.
  bench.directory.delete(bob.did);
  await bench.clock.advance(60_000);
  bench.route(bob.make('identity').frame);
  bench.route(bob.make('on').frame);
  alice.postBytes = 12_000;
  for (let i = 0; i < 4; i++) t.ok(bench.route(alice.make('commit').frame));
  shard.poll();
  t.equal(bench.metrics.read('relay_ring_verified_full_total'), 1, 'blocked');
  const holds = bench.metrics.read('relay_verify_holds_total:identity');
  t.equal(bench.assembly?.holds.queueCount, 1);
  for (const question of bench.questions.splice(0)) question.fail();
  await bench.clock.advance(0);
  t.equal(bench.assembly?.holds.hasReady(), true);
  t.equal(shard.poll(), 2, 'small events still find room');
  t.equal(bench.assembly?.holds.queueCount, 0);
  t.equal(bench.assembly?.holds.hasReady(), false, 'an empty queue is not looked at again');
  t.equal(shard.hasWork(), false, 'blocked: it sleeps until a commit');
  t.equal(bench.metrics.read('relay_verify_holds_total:identity'), holds);
  await bench.rounds(40);
  t.equal(bench.completedNo, bench.routedNo);
  await bench.stop();
});

t.test('G9: what a pass that did not end had rejected is not taken by its successor', async (t) => {
  const spy = new StoreSpy();
  t.teardown(() => spy.remove());
  let ends = 0;
  for (let at = 0; ; at++) {
    const bench = new ShardBench();
    const actor = new Actor('alice').enrol(bench);
    const shard = await bench.start();
    bench.route(actor.make('garbage').frame);
    bench.route(actor.make('garbage').frame);
    let left = at;
    spy.onStore = () => {
      left -= 1;
      if (left < 0) throw new Killed();
    };
    const isKilled = (() => {
      try {
        shard.poll();
        return false;
      } catch {
        return true;
      }
    })();
    spy.onStore = undefined;
    if (!isKilled) break;
    ends += 1;
    await bench.start();
    const ring = new RingConsumer(bench.memory('ingest'));
    const offset = ring.poll();
    const nextNo = offset < 0 ? bench.routedNo + 1 : ring.bytes.readInt32LE(offset + INGEST_NO);
    t.equal(bench.words.shardReader('taken', 0).observe(), nextNo - 1, `ended at store ${at}`);
    await bench.stop();
  }
  t.ok(ends > 4);
});

t.test('G18: an arena full of answered frames is usable for a successor', async (t) => {
  const bench = new ShardBench({ held: 4 * KiB });
  const arena = new HeldArena(bench.memory('held'));
  const source = Buffer.alloc(400);
  const entries: number[] = [];
  for (let entry = arena.hold(source, 0, 400); entry >= 0; entry = arena.hold(source, 0, 400)) {
    entries.push(entry);
  }
  t.ok(entries.length > 5);
  for (const entry of entries.slice(1)) arena.finish(entry);
  const spy = new StoreSpy();
  let left = 1;
  spy.onStore = () => {
    left -= 1;
    if (left < 0) throw new Killed();
  };
  // Marked as answered; the thread ends before it can free anything.
  t.throws(() => arena.finish(entries[0] ?? -1));
  spy.remove();
  const actor = new Actor('alice').enrol(bench);
  await bench.start();
  const input = actor.make('commit');
  bench.route(input.frame);
  await bench.rounds(20);
  t.equal((await bench.records())[0]?.hostSeq, input.hostSeq);
  await bench.stop();
});

t.test('G12: the report of a quarantined frame names no other account', async (t) => {
  const bench = new ShardBench();
  const [alice, bob] = [new Actor('alice').enrol(bench), new Actor('bob').enrol(bench)];
  await bench.start(2);
  bench.route(alice.make('forged').frame);
  bench.route(bob.make('commit').frame);
  bench.route(alice.make('garbage').frame);
  await bench.rounds(20);
  t.same([...bench.rejected.values()].flat().sort(), [
    'commit_signature_bad',
    'frame_trailing_bytes',
    'verify_quarantined',
  ]);
  t.equal(bench.rejectedDids.get('verify_quarantined'), '', 'nor its own: nobody decodes it');
  t.equal(bench.rejectedDids.get('commit_signature_bad'), alice.did);
  await bench.stop();
});
