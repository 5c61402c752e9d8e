/** What a shard knows of its accounts after its thread died, or after the process did. */
import t from 'tap';
import type { AccountState } from '../../lib/store/account-rows.ts';
import { Actor } from './actors.ts';
import { emptyRow, HOST_ID, ShardBench } from './shard-world.ts';

/** How far an event has come when the shard ends. */
const STAGES = ['published', 'durable', 'read back'] as const;

/** An account with a status of our own; nothing that comes is ever written to PostgreSQL. */
async function startWith(row: Partial<AccountState>): Promise<{ bench: ShardBench; actor: Actor }> {
  const bench = new ShardBench();
  const actor = new Actor('alice').enrol(bench);
  bench.rows.set(actor.did, { ...emptyRow(actor.did), hostId: HOST_ID, ...row });
  await bench.start();
  return { bench, actor };
}

/** Works until nothing is left to do, without a write of an account. */
async function workUnwritten(bench: ShardBench, stage: (typeof STAGES)[number]): Promise<void> {
  for (let i = 0; i < 20; i++) {
    bench.shard?.poll();
    const asked = bench.questions.splice(0);
    for (const question of asked) {
      if (question.what === 'upsert' || question.what === 'identities') question.fail();
      else question.answer();
    }
    await bench.clock.advance(10);
  }
  if (stage === 'published') return;
  bench.persist();
  if (stage === 'read back') bench.shard?.poll();
}

for (const stage of STAGES) {
  t.test(`AC-3, G10: the host’s word survives under our own; the event was ${stage}`, async (t) => {
    const { bench, actor } = await startWith({ localStatus: 'takendown' });
    bench.route(actor.make('off').frame);
    await workUnwritten(bench, stage);
    t.equal(bench.rows.get(actor.did)?.isUpstreamActive, true, 'not written yet');
    await bench.start();
    await bench.rounds(40);
    t.match(bench.rows.get(actor.did), {
      isUpstreamActive: false,
      upstreamStatus: 'deactivated',
      localStatus: 'takendown',
      seq: 1,
    });
    const [event] = await bench.records();
    t.same(event?.shown, [false, 'takendown'], 'consumers were told ours');
    await bench.stop();
  });

  t.test(`AC-3, G10: so does its active; the event was ${stage}`, async (t) => {
    const { bench, actor } = await startWith({
      localStatus: 'suspended',
      isUpstreamActive: false,
      upstreamStatus: 'deactivated',
    });
    bench.route(actor.make('on').frame);
    await workUnwritten(bench, stage);
    await bench.start();
    await bench.rounds(40);
    t.match(bench.rows.get(actor.did), {
      isUpstreamActive: true,
      upstreamStatus: null,
      localStatus: 'suspended',
    });
    await bench.stop();
  });

  t.test(`AC-8, G9: an account that is gone is said to be so once; it was ${stage}`, async (t) => {
    const { bench, actor } = await startWith({});
    bench.directory.set(actor.did, { kind: 'tombstoned', did: actor.did });
    bench.route(actor.make('commit').frame);
    await workUnwritten(bench, stage);
    await bench.start();
    bench.route(actor.make('commit').frame);
    await bench.rounds(40);
    const events = await bench.records();
    t.equal(events.length, 1);
    t.match(events[0], {
      did: actor.did,
      hostId: HOST_ID,
      hostSeq: 0,
      upstreamCrc: 0,
      shown: [false, 'deleted'],
    });
    t.match(bench.rows.get(actor.did), { isUpstreamActive: false, upstreamStatus: 'deleted' });
    t.equal(bench.completedNo, bench.routedNo);
    await bench.stop();
  });
}

t.test('AC-12, H155: a missed reactivation heals, and is said before the commit', async (t) => {
  const bench = new ShardBench();
  const actor = new Actor('alice', 'missed').enrol(bench);
  await bench.start();
  const inputs = (['commit', 'off', 'commit', 'commit'] as const).map((kind) => actor.make(kind));
  for (const { frame } of inputs) bench.route(frame);
  await bench.rounds(40);
  const events = await bench.records();
  t.same(
    events.map(({ hostSeq, shown }) => shown ?? hostSeq),
    [
      inputs[0]?.hostSeq,
      [false, 'deactivated'],
      [true, null],
      inputs[2]?.hostSeq,
      inputs[3]?.hostSeq,
    ],
  );
  t.match(events[2], { hostSeq: 0, upstreamCrc: 0, hostId: HOST_ID, did: actor.did });
  t.equal(bench.rejected.size, 0);
  t.equal(bench.metrics.read('relay_verify_own_events_total:reactivated'), 1);
  t.equal(bench.metrics.read('relay_accounts_status_checks_total:active'), 1);
  t.equal(bench.completedNo, 4);
  await bench.stop();
});

t.test(
  'AC-12: a host that does not say so gets its commits dropped, and is asked once',
  async (t) => {
    for (const answer of ['inactive', 'unknown', 'failed'] as const) {
      const bench = new ShardBench();
      const actor = new Actor('alice').enrol(bench);
      bench.repoStatus.set(actor.did, answer);
      await bench.start();
      bench.route(actor.make('off').frame);
      await bench.rounds(20);
      for (let i = 0; i < 5; i++) {
        bench.route(actor.make('commit').frame);
        await bench.rounds(20);
      }
      t.equal((await bench.records()).length, 1, answer);
      t.same([...bench.rejected.values()], Array(5).fill(['account_inactive']));
      t.equal(bench.metrics.read(`relay_accounts_status_checks_total:${answer}`), 1);
      await bench.stop();
    }
  },
);
