/** A takedown from the request to the reader: in which order, and when something is not there. */
import t from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import { HiddenDids } from '../../lib/log/hidden-dids.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import type { Control } from '../../lib/ring/control-record.ts';
import type { Database } from '../../lib/store/pool.ts';
import { TakedownDesk } from '../../lib/threads/takedowns.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { tempDir } from '../helpers/postgres.ts';

const DID = 'did:plc:z52sr6waagn6igaywwlmmmed';

type Row = { local: string | null; hostId: number };

/** The desk, with rows in memory that follow a decision when the test says so. */
class Bench {
  readonly clock = new ManualClock();
  readonly metrics = new MetricWriter();
  readonly rows = new Map<string, Row>();
  readonly steps: string[] = [];
  readonly offered: Control[] = [];
  readonly hidden: HiddenDids;
  readonly desk: TakedownDesk;
  isRingFull = false;
  isDown = false;

  constructor(directory: string) {
    this.hidden = new HiddenDids(directory);
    this.desk = new TakedownDesk({
      database: () => this.#database,
      hidden: this.hidden,
      hideTail: () => this.steps.push(`readers: ${this.hidden.has(DID) ? 'hidden' : 'shown'}`),
      offer: (control) => {
        if (this.isRingFull) return false;
        this.offered.push(control);
        this.steps.push(`offered ${control.localStatus}`);
        return true;
      },
      clock: this.clock,
      logger: silentLogger,
      metrics: this.metrics,
    });
  }

  /** What was offered last is durable, and its row written. */
  settle(): void {
    const { did, localStatus } = this.offered.at(-1) as Control;
    this.rows.set(did, { local: localStatus, hostId: 1 });
    this.steps.push('durable');
  }

  async advance(ms: number): Promise<void> {
    for (let i = 0; i < ms; i += 25) {
      await this.clock.advance(25);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  readonly #database = {
    query: async (_: unknown, [first]: readonly unknown[]) => {
      if (this.isDown) throw new RelayFault('database_down', 'test', { isRetryable: true });
      const isPage = typeof first === 'number';
      const found = isPage
        ? [...this.rows].filter(([, row]) => row.local === 'takendown')
        : [...this.rows].filter(([did]) => (first as string[]).includes(did));
      const rows = found.map(([did, row], index) => ({
        id: index + 1,
        did,
        host_id: row.hostId,
        is_upstream_active: true,
        upstream_status: null,
        local_status: row.local,
        rev: null,
        commit_cid: null,
        data_cid: null,
        seq: 5,
        state: null,
      }));
      return { rows, rowCount: rows.length };
    },
  } as unknown as Database;
}

function start(t: Parameters<typeof tempDir>[0]): Bench {
  const bench = new Bench(tempDir(t));
  bench.rows.set(DID, { local: null, hostId: 1 });
  return bench;
}

t.test('G28: told first, durable, hidden then, answered last', async (t) => {
  const bench = start(t);
  const answer = bench.desk.change(DID, true).then((result) => bench.steps.push(result));
  await bench.advance(200);
  t.same(bench.steps, ['offered takendown'], 'nothing before it is durable');
  t.equal(bench.hidden.has(DID), false);
  bench.settle();
  await bench.advance(200);
  await answer;
  t.same(bench.steps, ['offered takendown', 'durable', 'readers: hidden', 'done']);
  t.equal(bench.metrics.read('relay_log_hidden_dids_count'), 1);
  const again = new HiddenDids(bench.hidden.directory);
  again.load();
  t.ok(again.has(DID), 'by the answer it is on the disk');
});

t.test('G28: the answer waits for the disk', async (t) => {
  const bench = start(t);
  const saved = Promise.withResolvers<void>();
  bench.hidden.save = () => saved.promise;
  const answer = bench.desk.change(DID, true).then((result) => bench.steps.push(result));
  await bench.advance(100);
  bench.settle();
  await bench.advance(200);
  t.same(bench.steps, ['offered takendown', 'durable', 'readers: hidden'], 'no answer yet');
  saved.resolve();
  await answer;
  t.equal(bench.steps.at(-1), 'done');
});

t.test('G28: a stop before it is durable hides nothing', async (t) => {
  const bench = start(t);
  const answer = bench.desk.change(DID, true);
  await bench.advance(100);
  t.equal(bench.offered.length, 1);
  bench.desk.stop();
  await bench.advance(100);
  t.equal(await answer, 'pending');
  t.notOk(bench.hidden.has(DID), 'the next start asks the rows');
});

t.test('twice is once; reversing it shows again', async (t) => {
  const bench = start(t);
  const both = Promise.all([bench.desk.change(DID, true), bench.desk.change(DID, true)]);
  await bench.advance(100);
  bench.settle();
  await bench.advance(200);
  t.same(await both, ['done', 'done']);
  t.equal(bench.offered.length, 1);
  const lifted = bench.desk.change(DID, false);
  await bench.advance(100);
  bench.settle();
  await bench.advance(200);
  t.equal(await lifted, 'done');
  t.same(bench.steps.slice(-3), ['offered null', 'durable', 'readers: shown']);
  t.equal(bench.metrics.read('relay_log_hidden_dids_count'), 0);
});

t.test('an account that no host has spoken for is not known, a new one soon is', async (t) => {
  const bench = start(t);
  bench.rows.clear();
  const unknown = bench.desk.change(DID, true);
  await bench.advance(1500);
  t.equal(await unknown, 'unknown');
  bench.rows.set(DID, { local: null, hostId: 0 });
  const unclaimed = bench.desk.change(DID, true);
  await bench.advance(500);
  t.equal(bench.offered.length, 0, 'not before a host has spoken for it');
  bench.rows.set(DID, { local: null, hostId: 1 });
  await bench.advance(200);
  bench.settle();
  await bench.advance(200);
  t.equal(await unclaimed, 'done');
});

t.test('G17: full rings and a database that goes away only make it late', async (t) => {
  const bench = start(t);
  bench.isRingFull = true;
  const late = bench.desk.change(DID, true);
  await bench.advance(500);
  bench.isRingFull = false;
  await bench.advance(100);
  t.equal(bench.offered.length, 1);
  bench.isDown = true;
  await bench.advance(10_500);
  t.equal(await late, 'pending');
  bench.isDown = false;
  bench.settle();
  await bench.advance(1500);
  t.ok(bench.hidden.has(DID), 'it goes on although nobody waits');
  t.equal(bench.offered.length, 1);
  bench.isDown = true;
  await t.rejects(bench.desk.change(DID, false), { code: 'database_down' });
});

t.test('G26: so many decisions at a time', async (t) => {
  const bench = start(t);
  bench.isRingFull = true;
  for (let i = 0; i < 256; i++) {
    bench.rows.set(`did:web:n${i}.net`, { local: null, hostId: 1 });
    void bench.desk.change(`did:web:n${i}.net`, true);
  }
  t.equal(await bench.desk.change(DID, true), 'busy');
  bench.desk.stop();
});

t.test('at the start the rows have the last word', async (t) => {
  const bench = start(t);
  bench.hidden.set('did:web:shown-again.net', true);
  bench.rows.set(DID, { local: 'takendown', hostId: 1 });
  await bench.desk.recover();
  t.same([bench.hidden.count, bench.hidden.has(DID)], [1, true]);
  t.same(bench.steps, ['readers: hidden']);
  const again = new HiddenDids(bench.hidden.directory);
  again.load();
  t.same([again.count, again.has(DID)], [1, true], 'for a start without the database, too');
  await bench.desk.recover();
  t.equal(bench.steps.length, 1, 'nothing new, nothing done');
});
