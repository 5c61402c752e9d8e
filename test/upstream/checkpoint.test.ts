import fc from 'fast-check';
import t from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { Checkpointer } from '../../lib/upstream/checkpoint.ts';
import { CursorMap, type CursorSlot, type HostCursor } from '../../lib/upstream/cursor-map.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const OPTIONS = { periodMs: 100, pollMs: 10 };

/** A relay in miniature: frames are routed to shards and completed there, in order per shard. */
class World {
  readonly clock = new ManualClock();
  readonly metrics = new MetricWriter();
  readonly cursors = new CursorMap({ slotsMax: 16 });
  readonly slots: readonly CursorSlot[];
  /** Per shard: routed frames that are not completed. */
  readonly pending: { readonly hostId: number; readonly hostSeq: number }[][];
  readonly routed: number[];
  readonly completed: number[];
  readonly saves: { cursors: readonly HostCursor[]; seq: number }[] = [];
  readonly wrong: string[] = [];
  durable = 0;
  savesUnderWay = 0;
  fault: Error | undefined;
  gate: Promise<void> = Promise.resolve();
  readonly checkpointer: Checkpointer;
  #hostSeq = 0;

  constructor(shardCount: number, options: { startNo?: number; isBarrierOff?: boolean } = {}) {
    const startNo = options.startNo ?? 0;
    this.slots = [1, 2, 3].map((hostId) => this.cursors.claim(hostId, 0) as CursorSlot);
    this.pending = Array.from({ length: shardCount }, () => []);
    this.routed = new Array<number>(shardCount).fill(startNo);
    this.completed = new Array<number>(shardCount).fill(startNo);
    this.checkpointer = new Checkpointer(
      0,
      {
        clock: this.clock,
        logger: silentLogger,
        metrics: this.metrics,
        source: {
          shardCount,
          routedNo: (shard) => this.routed[shard] ?? 0,
          completedNo: (shard) =>
            (options.isBarrierOff === true ? this.routed : this.completed)[shard] ?? 0,
          durableSeq: () => this.durable,
          takeChanged: () => this.cursors.takeChanged(),
        },
        save: (cursors, seq) => this.#save(cursors, seq),
      },
      OPTIONS,
    );
  }

  route(hostIndex: number, shard: number): void {
    const hostSeq = ++this.#hostSeq;
    this.pending[shard]?.push({ hostId: hostIndex + 1, hostSeq });
    this.routed[shard] = ((this.routed[shard] ?? 0) + 1) | 0;
    this.cursors.setRouted(this.slots[hostIndex] as CursorSlot, hostSeq);
  }

  complete(shard: number): void {
    if (this.pending[shard]?.shift() === undefined) return;
    this.completed[shard] = ((this.completed[shard] ?? 0) + 1) | 0;
    this.durable++;
  }

  completeAll(): void {
    this.pending.forEach((frames, shard) => {
      while (frames.length > 0) this.complete(shard);
    });
  }

  async #save(cursors: readonly HostCursor[], seq: number): Promise<void> {
    if (++this.savesUnderWay > 1) this.wrong.push('two saves at once');
    for (const { hostId, hostSeq } of cursors) {
      const early = this.pending.flat().find((f) => f.hostId === hostId && f.hostSeq <= hostSeq);
      if (early !== undefined) this.wrong.push(`host ${hostId}: ${hostSeq} saved too early`);
    }
    await this.gate;
    this.savesUnderWay--;
    if (this.fault !== undefined) throw this.fault;
    this.saves.push({ cursors, seq });
  }
}

t.test('SQ-13, G9: cursors wait until every shard has passed the note', async (t) => {
  const world = new World(2);
  world.route(0, 0);
  world.route(1, 1);
  world.durable = 7;
  world.checkpointer.start();
  await world.clock.advance(50);
  t.same(world.saves, []);
  world.complete(0);
  await world.clock.advance(50);
  t.same(world.saves, [], 'one of two shards is not enough');
  world.route(0, 0);
  world.complete(1);
  await world.clock.advance(20);
  const cursors = [
    { hostId: 1, hostSeq: 1 },
    { hostId: 2, hostSeq: 2 },
  ];
  t.same(world.saves, [{ cursors, seq: 7 }], 'what was durable and routed at the note, no more');
  world.completeAll();
  t.equal(await world.checkpointer.stop(1000), true);
  t.match(world.saves[1], { cursors: [{ hostId: 1, hostSeq: 3 }], seq: 10 });
  t.equal(world.checkpointer.savedSeq, 10);
});

t.test('C12, A5: nothing is written while nothing changes', async (t) => {
  const world = new World(1);
  world.checkpointer.start();
  await world.clock.advance(5000);
  t.equal(world.saves.length, 0);
  world.route(0, 0);
  world.complete(0);
  await world.clock.advance(1000);
  t.equal(world.saves.length, 1);
  await world.checkpointer.stop(1000);
});

t.test('C1, G17: a failed save is tried again with the same cursors', async (t) => {
  const world = new World(1);
  world.route(0, 0);
  world.complete(0);
  world.fault = new RelayFault('store_down', 'no database', { isRetryable: true });
  world.checkpointer.start();
  await world.clock.advance(2000);
  t.equal(world.saves.length, 0);
  t.ok(world.metrics.read('relay_store_checkpoints_total:error') >= 2);
  world.fault = undefined;
  await world.clock.advance(5000);
  t.same(world.saves[0], { cursors: [{ hostId: 1, hostSeq: 1 }], seq: 1 });
  await world.checkpointer.stop(1000);
});

t.test('a slow save is never overtaken by a second one', async (t) => {
  const world = new World(1);
  const open = Promise.withResolvers<void>();
  world.gate = open.promise;
  world.route(0, 0);
  world.complete(0);
  world.checkpointer.start();
  await world.clock.advance(1000);
  world.route(0, 0);
  world.complete(0);
  await world.clock.advance(1000);
  t.equal(world.savesUnderWay, 1);
  open.resolve();
  await world.clock.advance(1000);
  t.same(world.wrong, []);
  t.equal(world.saves.length, 2);
  await world.checkpointer.stop(1000);
});

t.test('G25: the last checkpoint is made at the stop, or given up at its deadline', async (t) => {
  const world = new World(1);
  world.route(2, 0);
  const stopping = world.checkpointer.stop(1000);
  await world.clock.advance(500);
  world.completeAll();
  await world.clock.advance(50);
  t.equal(await stopping, true);
  t.same(world.saves, [{ cursors: [{ hostId: 3, hostSeq: 1 }], seq: 1 }]);

  const stuck = new World(1);
  stuck.route(0, 0);
  const givingUp = stuck.checkpointer.stop(1000);
  await stuck.clock.advance(1100);
  t.equal(await givingUp, false);
  t.same(stuck.saves, []);

  const down = new World(1);
  down.fault = new RelayFault('store_down', 'no database', { isRetryable: true });
  down.route(0, 0);
  down.completeAll();
  const retrying = down.checkpointer.stop(2000);
  await down.clock.advance(500);
  down.fault = undefined;
  await down.clock.advance(500);
  t.equal(await retrying, true, 'a fault is tried again until the deadline');
});

t.test('G9: the barrier holds across the wrap of the ingest numbers', async (t) => {
  for (const startNo of [2 ** 31 - 2, -2]) {
    const world = new World(1, { startNo });
    for (let i = 0; i < 4; i++) world.route(0, 0);
    world.checkpointer.start();
    for (let i = 0; i < 4; i++) {
      await world.clock.advance(50);
      t.same(world.saves, [], `${i} of 4 completed`);
      world.complete(0);
    }
    await world.clock.advance(50);
    t.match(world.saves, [{ cursors: [{ hostId: 1, hostSeq: 4 }] }]);
    await world.checkpointer.stop(1000);
  }
});

type Step = readonly ['route' | 'complete' | 'time', number, number];
const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('route' as const, 'complete' as const, 'time' as const),
  fc.nat(2),
  fc.nat(2),
);

/** Runs the steps; gives what was saved too early. */
async function play(steps: readonly Step[], startNo: number, isBarrierOff: boolean) {
  const world = new World(3, { startNo, isBarrierOff });
  world.checkpointer.start();
  for (const [what, a, b] of steps) {
    if (what === 'route') world.route(a, b);
    else if (what === 'complete') world.complete(b);
    else await world.clock.advance(30 * (a + 1));
  }
  world.completeAll();
  const stopping = world.checkpointer.stop(1000);
  await world.clock.advance(100);
  const isSaved = await stopping;
  return { world, isSaved };
}

t.test('G9 property: a cursor is never saved before all up to it is completed', async () => {
  const startNos = fc.constantFrom(0, 2 ** 31 - 2, -2);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), startNos, async (steps, startNo) => {
      const { world, isSaved } = await play(steps, startNo, false);
      const last = new Map(world.saves.flatMap(({ cursors }) => cursors).map((c) => [c.hostId, c]));
      const isComplete = world.slots.every((slot, index) => {
        const seq = world.cursors.last(slot);
        return seq === 0 || last.get(index + 1)?.hostSeq === seq;
      });
      return isSaved && isComplete && world.wrong.length === 0;
    }),
    { numRuns: 60 },
  );
});

t.test('G9 negative control: without the barrier the same check fails', async (t) => {
  const steps: Step[] = [
    ['route', 0, 0],
    ['route', 1, 1],
    ['time', 2, 0],
    ['time', 2, 0],
  ];
  const { world } = await play(steps, 0, true);
  t.match(world.wrong, [/saved too early/]);
  t.same((await play(steps, 0, false)).world.wrong, []);
});
