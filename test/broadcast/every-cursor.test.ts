/**
 * G5 as a property: over any log, for every N, what a consumer gets is the smallest retained seq
 * above N and all that follow, each once, while new events arrive. Seeds: TEST_CURSOR_SEED on,
 * TEST_CURSOR_SEEDS of them.
 */
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { KiB } from '../../lib/base/units.ts';
import { RealLog, startOver } from './real-log.ts';
import { Client, until, type World } from './world.ts';

const SEED_FIRST = Number(process.env['TEST_CURSOR_SEED'] ?? 1);
const SEEDS = Number(process.env['TEST_CURSOR_SEEDS'] ?? 3);
const LARGE_BYTES = 30_000;

function below(prng: Prng, limit: number): number {
  return prng.nextUint32() % limit;
}

/** A few batches of events of all sizes; now and then a proof, as after a silence. */
function grow(world: World, log: RealLog, prng: Prng, batches: number): void {
  for (let i = 0; i < batches; i++) {
    const isLarge = below(prng, 12) === 0;
    world.append(1 + below(prng, 6), () => 20 + below(prng, isLarge ? LARGE_BYTES : 3000));
    if (below(prng, 15) > 0) continue;
    log.prove(world.view);
    world.publish();
  }
}

for (let seed = SEED_FIRST; seed < SEED_FIRST + SEEDS; seed++) {
  t.test(`G5 G6 every cursor of a log, seed ${seed}`, { timeout: 120_000 }, async (t) => {
    const prng = new Prng(seed);
    const log = new RealLog();
    t.teardown(() => log.close());
    // Two earlier lives, so that segments are resumed, each ended with or without a proof.
    let lastSeq = 0;
    for (let life = 0; life < 2; life++) {
      const world = await startOver(t, log, 8 * KiB, lastSeq);
      grow(world, log, prng, 30 + below(prng, 30));
      lastSeq = world.log.lastSeq;
      await world.stop();
      log.restart();
    }
    const tailBytes = (16 << below(prng, 3)) * KiB;
    const world = await startOver(t, log, tailBytes, lastSeq);
    grow(world, log, prng, 20 + below(prng, 20));
    await log.retire(1 + below(prng, Math.min(4, log.writer.sealed.length)));
    const oldest = log.writer.oldestSeq;
    const head = world.log.lastSeq;
    const borders = log.writer.sealed.flatMap(({ firstSeq, lastSeq }) => [firstSeq, lastSeq]);
    t.ok(oldest > 1 && borders.length >= 4, `${borders.length / 2} sealed, from ${oldest}`);

    const clients = new Map<number, Client>();
    const cursors = Array.from({ length: head - oldest + 2 }, (_, i) => oldest - 1 + i);
    // In no order, and while events arrive: each finds the log at another moment.
    while (cursors.length > 0) {
      const [cursor = 0] = cursors.splice(below(prng, cursors.length), 1);
      clients.set(cursor, new Client(world.port, `?cursor=${cursor}`));
      if (below(prng, 4) === 0) grow(world, log, prng, 1);
      if (below(prng, 3) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const old = new Client(world.port, `?cursor=${Math.max(1, oldest - 2)}`);
    const all = new Client(world.port, '?cursor=0');
    await until(() => world.hub.size === clients.size + 2, 30_000);
    grow(world, log, prng, 10);
    const end = world.log.lastSeq;
    const everyone = [...clients.values(), old, all];
    await until(() => everyone.every((client) => client.lastSeq === end), 30_000);
    const faults = [...clients].flatMap(([cursor, client]) => client.faults(cursor + 1, end));
    t.same(faults, [], `${clients.size} cursors, ${end - head} events came meanwhile`);
    const missing = borders.filter((seq) => seq >= oldest && !clients.has(seq));
    t.same(missing, [], 'first and last seq of every segment among them');
    t.same([...old.faults(oldest, end), ...all.faults(oldest, end)], []);
    t.equal(old.messages.length, oldest > 2 ? 1 : 0, 'OutdatedCursor below the window');
    t.equal(all.messages.length, 0);
    const reads = world.metrics.read('relay_broadcast_reads_total:segment');
    t.ok(reads > 5, `${reads} pieces from segments`);
  });
}
