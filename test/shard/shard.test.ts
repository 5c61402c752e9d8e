/** One shard by itself: what it does with frames, rows, look-ups and commits. */
import t from 'tap';
import { Actor } from './actors.ts';
import { ShardBench } from './shard-world.ts';

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
  await bench.stop();
});
