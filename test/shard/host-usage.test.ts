/** What a shard tells main of hosts, and what main tells it: cost, lenience, fullness. */
import t from 'tap';
import { toMonoMs } from '../../lib/base/units.ts';
import { FLAG_HOST_FULL, FLAG_LENIENT } from '../../lib/ring/ingest-record.ts';
import type { UsageReport } from '../../lib/ring/report-record.ts';
import { commitFrame } from '../../scripts/fleet/event-frames.ts';
import { encodePost } from '../../scripts/fleet/signed-repo.ts';
import { Actor } from './actors.ts';
import { HOST, HOST_ID, ShardBench, START_MS } from './shard-world.ts';

const TIME = '2026-01-01T00:00:00.000Z';
let lastHostSeq = 1_000_000;

/** The next commit of the actor as a host on the old protocol sends it. */
function withoutPrevData(actor: Actor): { frame: Buffer; hostSeq: number } {
  const hostSeq = ++lastHostSeq;
  const path = `app.bsky.feed.post/${hostSeq}`;
  const write = { action: 'create' as const, path, record: encodePost(`${hostSeq}`, TIME) };
  const { prevData: _, ...parts } = actor.repo.commit([write], { epochMs: START_MS });
  return { frame: commitFrame(parts, { seq: hostSeq, time: TIME }), hostSeq };
}

const sum = (reports: readonly UsageReport[], hostId: number, field: keyof UsageReport): number =>
  reports
    .filter((report) => report.hostId === hostId)
    .reduce((total, report) => total + Number(report[field]), 0);

t.test('G19: the time of every frame is charged to its host, whatever became of it', async (t) => {
  const bench = new ShardBench();
  const alice = new Actor('alice').enrol(bench);
  const bob = new Actor('bob').enrol(bench);
  await bench.start();
  bench.route(alice.make('on').frame);
  bench.route(alice.make('garbage').frame);
  await bench.rounds(20);
  bench.usage.length = 0;
  // Every look at the clock is one millisecond later.
  let nowMs: number = bench.clock.monoMs();
  bench.clock.monoMs = () => toMonoMs(++nowMs);
  bench.route(alice.make('on').frame, HOST, HOST_ID);
  bench.route(alice.make('garbage').frame, HOST, HOST_ID);
  bench.route(bob.make('commit').frame, 'other.example.com', 8);
  await bench.rounds(150);
  t.equal(bench.completedNo, bench.routedNo);
  t.ok(sum(bench.usage, HOST_ID, 'verifyMs') >= 2);
  t.equal(sum(bench.usage, HOST_ID, 'frameCount'), 2, 'accepted and rejected');
  t.ok(sum(bench.usage, 8, 'verifyMs') >= 3, 'held, judged again, refused');
  t.ok(sum(bench.usage, 8, 'frameCount') >= 3);
  await bench.stop();
});

t.test('CH-4, H128: discontinuous commits and new accounts are reported by host', async (t) => {
  const bench = new ShardBench();
  const alice = new Actor('alice').enrol(bench);
  const bob = new Actor('bob').enrol(bench);
  await bench.start();
  for (const actor of [alice, bob]) {
    bench.route(actor.make('commit').frame);
    bench.route(actor.make('commit').frame);
  }
  await bench.rounds(30);
  t.equal(sum(bench.usage, HOST_ID, 'newAccountCount'), 2);
  t.equal(sum(bench.usage, HOST_ID, 'discontinuousCount'), 0);
  for (let i = 0; i < 3; i++) {
    alice.make('commit');
    bench.route(alice.make('commit').frame);
  }
  bench.route(alice.make('on').frame);
  bench.route(alice.make('identity').frame);
  await bench.rounds(30);
  t.equal(sum(bench.usage, HOST_ID, 'discontinuousCount'), 3, 'of other events none');
  t.equal(sum(bench.usage, HOST_ID, 'newAccountCount'), 2);
  await bench.stop();
});

t.test('A12, A14: lenience goes with the frame, and what it let through is counted', async (t) => {
  const bench = new ShardBench();
  const alice = new Actor('alice').enrol(bench);
  await bench.start();
  bench.route(alice.make('commit').frame);
  await bench.rounds(20);
  const frames = [0, FLAG_LENIENT, 0, FLAG_LENIENT].map((flags) => {
    const { frame, hostSeq } = withoutPrevData(alice);
    t.ok(bench.route(frame, HOST, HOST_ID, flags));
    return hostSeq;
  });
  bench.route(alice.make('commit').frame, HOST, HOST_ID, FLAG_LENIENT);
  await bench.rounds(30);
  const seqs = (await bench.records()).map(({ hostSeq }) => hostSeq);
  t.same(
    frames.map((hostSeq) => seqs.includes(hostSeq)),
    [false, true, false, true],
  );
  t.same(bench.rejected.get(frames[0] as number), ['commit_prev_data_missing']);
  t.same(bench.rejected.get(frames[2] as number), ['commit_prev_data_missing']);
  t.equal(sum(bench.usage, HOST_ID, 'waivedCount'), 2, 'not the one that is right');
  t.equal(bench.metrics.read('relay_verify_waived_commits_total'), 2);
  await bench.stop();
});

t.test('LM-11, H150: a full host gets no new accounts, and causes no look-up', async (t) => {
  const bench = new ShardBench();
  const alice = new Actor('alice').enrol(bench);
  await bench.start();
  bench.route(alice.make('on').frame);
  await bench.rounds(20);
  const asked: string[] = [];
  const strangers = ['bob', 'carol', 'dave'].map((name) => new Actor(name).enrol(bench));
  const inputs = strangers.flatMap((actor) =>
    (['identity', 'on', 'commit', 'sync'] as const).map((kind) => actor.make(kind)),
  );
  for (const { frame } of inputs) t.ok(bench.route(frame, HOST, HOST_ID, FLAG_HOST_FULL));
  const known = alice.make('commit');
  bench.route(known.frame, HOST, HOST_ID, FLAG_HOST_FULL);
  for (let i = 0; i < 30; i++) {
    asked.push(...bench.questions.filter(({ what }) => what === 'resolve').flatMap((q) => q.dids));
    await bench.round();
  }
  bench.readReports();
  for (const { hostSeq } of inputs) {
    t.same(bench.rejected.get(hostSeq), ['account_host_throttled'], `host seq ${hostSeq}`);
  }
  t.same(asked, []);
  t.notOk(
    strangers.some(({ did }) => bench.rows.has(did)),
    'and leaves no row',
  );
  t.ok(
    (await bench.records()).some(({ hostSeq }) => hostSeq === known.hostSeq),
    'known: goes on',
  );
  // Raised: the same account is taken with its next event.
  const again = strangers[0]?.make('commit');
  bench.route(again?.frame as Buffer);
  await bench.rounds(30);
  t.ok((await bench.records()).some(({ hostSeq }) => hostSeq === again?.hostSeq));
  await bench.stop();
});
