/** Which records of the log are what hosts will send again after a crash (G9). */
import t from 'tap';
import type { LogRecord, RecordSource } from '../../lib/log/records.ts';
import { recoverReplays } from '../../lib/threads/recover-replays.ts';
import { ReplayFilter } from '../../lib/upstream/replay-filter.ts';

const VIEW = { segmentFirstSeq: 1, byteEnd: 0, lastSeq: 100 };
const HASH = { lo: 1, hi: 2 };

type Logged = { readonly seq: number; readonly hostId: number; readonly hostSeq: number };

function logOf(records: readonly Logged[]): RecordSource {
  return {
    forEachRecord: async (fromSeq, _view, visit) => {
      for (const record of records) {
        if (record.seq <= fromSeq) continue;
        const row = { ...record, upstreamCrc: 5, didHashLo: HASH.lo, didHashHi: HASH.hi };
        await visit(row as LogRecord);
      }
      return [];
    },
  };
}

t.test('G9: an event of our own is nobody’s to send again', async (t) => {
  const log = logOf([
    { seq: 1, hostId: 7, hostSeq: 0 },
    { seq: 2, hostId: 8, hostSeq: 0 },
    { seq: 3, hostId: 8, hostSeq: 41 },
    { seq: 4, hostId: 8, hostSeq: 0 },
  ]);
  const filter = new ReplayFilter({ entriesMax: 100 });
  const hosts = [
    { id: 7, cursor: null, replayFrom: null },
    { id: 8, cursor: 40, replayFrom: null },
  ];
  const found = await recoverReplays(log, VIEW, 0, 1, hosts, filter);
  t.equal(found.recordCount, 1);
  t.equal(filter.has(7), false, 'a host that has sent nothing is not waited for');
  t.same(found.replays, [{ hostId: 8, logSeq: 0 }]);
  t.equal(filter.entryCount, 1);
  t.equal(
    filter.judge(8, 41, HASH, () => 5),
    'skip',
  );
  t.equal(
    filter.judge(8, 42, HASH, () => 5),
    'pass',
  );
});
