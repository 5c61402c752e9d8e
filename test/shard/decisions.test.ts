/** An operator's decision about an account: ordered with its frames, told once, kept (AC-3, AC-6). */
import t from 'tap';
import { decodeControl, encodeControl } from '../../lib/ring/control-record.ts';
import { Actor } from './actors.ts';
import { HOST_ID, ShardBench } from './shard-world.ts';

function decide(bench: ShardBench, did: string, localStatus: string | null): void {
  t.ok(bench.router.offerControl({ did, localStatus }, bench.clock.epochMs()));
}

async function shownBy(bench: ShardBench): Promise<unknown[]> {
  return (await bench.records()).map(({ shown, hostSeq }) => shown ?? hostSeq);
}

/** An account that has sent one commit, and a shard that has done everything. */
async function startWithOne(): Promise<{ bench: ShardBench; actor: Actor }> {
  const bench = new ShardBench();
  const actor = new Actor('alice').enrol(bench);
  await bench.start();
  bench.route(actor.make('commit').frame);
  await bench.rounds(20);
  return { bench, actor };
}

t.test('a decision survives its record', async (t) => {
  for (const localStatus of ['takendown', null]) {
    const control = { did: 'did:web:a.host.net', localStatus };
    const { bytes, didStart } = encodeControl(control);
    t.same(decodeControl(bytes), control);
    t.equal(bytes.toString('latin1', didStart), control.did);
  }
});

t.test('AC-6, H157, G28: taken down, said; overrides the host; lifted, said', async (t) => {
  const { bench, actor } = await startWithOne();
  decide(bench, actor.did, 'takendown');
  // Twice is once.
  decide(bench, actor.did, 'takendown');
  const inputs = (['commit', 'sync', 'on', 'identity'] as const).map((kind) => actor.make(kind));
  for (const { frame } of inputs) bench.route(frame);
  await bench.rounds(20);
  t.same(bench.rejected.get(inputs[0]?.hostSeq ?? 0), ['account_takendown']);
  t.same(bench.rejected.get(inputs[1]?.hostSeq ?? 0), ['account_takendown']);
  t.match(bench.rows.get(actor.did), { localStatus: 'takendown', isUpstreamActive: true });
  decide(bench, actor.did, null);
  await bench.rounds(20);
  const { hostSeq } = inputs[3] ?? {};
  t.same((await shownBy(bench)).slice(1), [
    [false, 'takendown'],
    [false, 'takendown'],
    hostSeq,
    [true, null],
  ]);
  const own = (await bench.records()).filter((event) => event.hostSeq === 0);
  t.equal(own.length, 2);
  for (const event of own) t.match(event, { did: actor.did, hostId: HOST_ID, upstreamCrc: 0 });
  t.match(bench.rows.get(actor.did), { localStatus: null });
  t.equal(bench.metrics.read('relay_verify_own_events_total:decided'), 2);
  t.equal(bench.completedNo, bench.routedNo);
  await bench.stop();
});

t.test('AC-4: lifted while the host says deactivated: that is what is shown', async (t) => {
  const { bench, actor } = await startWithOne();
  decide(bench, actor.did, 'takendown');
  bench.route(actor.make('off').frame);
  decide(bench, actor.did, null);
  await bench.rounds(20);
  t.same((await shownBy(bench)).slice(1), [
    [false, 'takendown'],
    [false, 'takendown'],
    [false, 'deactivated'],
  ]);
  await bench.stop();
});

t.test('an account that was never shown is not spoken of', async (t) => {
  const bench = new ShardBench();
  const actor = new Actor('alice').enrol(bench);
  await bench.start();
  decide(bench, actor.did, 'takendown');
  await bench.rounds(20);
  t.same(await shownBy(bench), []);
  t.equal(bench.rejected.size, 0);
  t.equal(bench.completedNo, bench.routedNo);
  await bench.stop();
});

t.test('it does not wait for keys: what waits is judged by it', async (t) => {
  const { bench, actor } = await startWithOne();
  bench.route(actor.make('identity').frame);
  const late = actor.make('commit');
  bench.route(late.frame);
  decide(bench, actor.did, 'takendown');
  // The directory is asked, and nobody has answered.
  for (let i = 0; i < 5; i++) {
    bench.shard?.poll();
    bench.persist();
    await bench.clock.advance(0);
  }
  t.same((await shownBy(bench)).slice(1), [[false, 'takendown']]);
  await bench.rounds(20);
  t.same(bench.rejected.get(late.hostSeq), ['account_takendown']);
  await bench.stop();
});

type Stage = 'in the ring' | 'held for its row' | 'in the verified ring' | 'durable';

/** Lets the shard and `persist` come so far, and no further. */
async function workTo(bench: ShardBench, stage: Stage): Promise<void> {
  if (stage === 'in the ring') return;
  bench.shard?.poll();
  if (stage === 'held for its row') return;
  // The row is there now.
  for (const question of bench.questions.splice(0)) question.answer();
  await bench.clock.advance(0);
  bench.shard?.poll();
  if (stage === 'durable') bench.persist();
}

for (const stage of [
  'in the ring',
  'held for its row',
  'in the verified ring',
  'durable',
] as const) {
  t.test(`G9, G18: the thread ends with a decision ${stage}: told once, kept`, async (t) => {
    const { bench, actor } = await startWithOne();
    // A successor, which has no row in memory.
    await bench.start();
    decide(bench, actor.did, 'takendown');
    await workTo(bench, stage);
    await bench.start();
    const late = actor.make('commit');
    bench.route(late.frame);
    await bench.rounds(40);
    t.same((await shownBy(bench)).slice(1), [[false, 'takendown']]);
    t.same(bench.rejected.get(late.hostSeq), ['account_takendown']);
    t.match(bench.rows.get(actor.did), { localStatus: 'takendown' });
    t.equal(bench.completedNo, bench.routedNo);
    await bench.stop();
  });
}
