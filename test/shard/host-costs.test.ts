/** What hosts cost, summed up and reported: every sum arrives once, whatever room there is. */
import t from 'tap';
import { RingConsumer } from '../../lib/ring/consumer.ts';
import { allocateRing } from '../../lib/ring/descriptor.ts';
import { readReport, type UsageReport } from '../../lib/ring/report-record.ts';
import { HostCosts } from '../../lib/shard/host-costs.ts';
import { Reports } from '../../lib/shard/reports.ts';
import { allocateWords, Words } from '../../lib/shared/regions.ts';

const NO_MARKS = { isDiscontinuous: false, isWaived: false, isNewAccount: false };

class Bench {
  readonly reports: UsageReport[] = [];
  roomLeft = Number.POSITIVE_INFINITY;
  dropped = 0;
  readonly costs = new HostCosts(
    (report) => {
      if (this.roomLeft <= 0) return false;
      this.roomLeft--;
      this.reports.push(report);
      return true;
    },
    () => {
      this.dropped++;
    },
  );

  sum(hostId: number): number {
    const ofHost = this.reports.filter((report) => report.hostId === hostId);
    return ofHost.reduce((sum, report) => sum + report.verifyMs, 0);
  }
}

t.test('one report per host and 100 ms, with everything since the last', async (t) => {
  const { costs, reports } = new Bench();
  costs.poll(0);
  t.same(reports, [], 'nothing to say');
  costs.addTime(7, 2);
  costs.poll(1);
  t.same(reports, [
    {
      kind: 'usage',
      hostId: 7,
      verifyMs: 2,
      frameCount: 1,
      discontinuousCount: 0,
      waivedCount: 0,
      newAccountCount: 0,
    },
  ]);
  for (let i = 0; i < 1000; i++) {
    costs.addTime(7, 0.5);
    costs.addMarks(7, { ...NO_MARKS, isDiscontinuous: i % 2 === 0, isNewAccount: i % 5 === 0 });
    costs.addTime(8, 0.25);
    costs.addMarks(8, { ...NO_MARKS, isWaived: i % 4 === 0 });
    costs.poll(1 + i / 11);
  }
  t.equal(reports.length, 1, 'not before 100 ms have passed');
  costs.poll(101);
  t.match(reports.slice(1), [
    { hostId: 7, verifyMs: 500, frameCount: 1000, discontinuousCount: 500, newAccountCount: 200 },
    { hostId: 8, verifyMs: 250, frameCount: 1000, waivedCount: 250, discontinuousCount: 0 },
  ]);
  costs.poll(1000);
  t.equal(reports.length, 3, 'sums start anew');
});

t.test('without room in the ring the sums are kept, and come later', async (t) => {
  const bench = new Bench();
  const { costs } = bench;
  for (const hostId of [1, 2, 3]) costs.addTime(hostId, hostId);
  bench.roomLeft = 1;
  costs.poll(0);
  t.equal(costs.hostCount, 2);
  for (const hostId of [1, 2, 3]) costs.addTime(hostId, 10);
  bench.roomLeft = 0;
  costs.poll(200);
  t.equal(bench.reports.length, 1);
  bench.roomLeft = 10;
  costs.poll(400);
  t.same(
    [1, 2, 3].map((hostId) => bench.sum(hostId)),
    [11, 12, 13],
  );
  t.equal(bench.dropped, 0);
});

t.test('more hosts than places: reported early; lost only when main takes nothing', async (t) => {
  const bench = new Bench();
  for (let hostId = 1; hostId <= 5000; hostId++) bench.costs.addTime(hostId, 1);
  bench.costs.flush();
  t.equal(bench.reports.length, 5000);
  t.ok(bench.reports.every(({ hostId, verifyMs }) => hostId > 0 && verifyMs === 1));
  bench.roomLeft = 0;
  for (let hostId = 1; hostId <= 2000; hostId++) bench.costs.addTime(hostId, 1);
  t.equal(bench.costs.hostCount, 1024, 'memory is bounded');
  t.equal(bench.dropped, 2000 - 1024, 'and the rest is counted');
});

t.test('both kinds of reports through the ring', async (t) => {
  const memory = allocateRing(4096);
  const words = new Words(allocateWords());
  let dropped = 0;
  const reports = new Reports(memory, words.bell('bellMain'), () => dropped++);
  const usage: UsageReport = {
    kind: 'usage',
    hostId: 4_000_000_000,
    verifyMs: 12.375,
    frameCount: 3,
    discontinuousCount: 4,
    waivedCount: 5,
    newAccountCount: 6,
  };
  const reject = { kind: 'reject', hostId: 7, codeIndex: 3, hostSeq: 2 ** 53 - 1 } as const;
  t.ok(reports.offerUsage(usage));
  reports.reject({ ...reject, crc: 0xffffffff, did: 'did:plc:a'.padEnd(300, 'b') });
  const ring = new RingConsumer(memory);
  t.same(readReport(ring.bytes, ring.poll()), usage);
  t.same(readReport(ring.bytes, ring.poll()), {
    ...reject,
    crc: 0xffffffff,
    did: 'did:plc:a'.padEnd(256, 'b'),
  });
  while (reports.offerUsage(usage));
  t.equal(dropped, 0, 'sums are kept by whoever has them');
  reports.reject({ ...reject, crc: 0, did: '' });
  t.equal(dropped, 1, 'a reject is not');
});
