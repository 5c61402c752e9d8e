/** How often a host is asked about accounts that it had declared inactive (AC-12, LM-11). */
import t from 'tap';
import type { RepoStatusAnswer } from '../../lib/accounts/repo-status.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { IngestRecord } from '../../lib/ring/ingest-record.ts';
import { Account } from '../../lib/shard/account.ts';
import { StatusChecks } from '../../lib/shard/status-checks.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { START_MS } from './shard-world.ts';

const INTERVAL_MS = 600_000;

class Desk {
  readonly clock = new ManualClock(1_000_000, START_MS);
  readonly metrics = new MetricWriter();
  readonly asked: { host: string; did: string; answer: (answer: RepoStatusAnswer) => void }[] = [];
  readonly done: string[] = [];
  readonly checks: StatusChecks;

  constructor(limits: { perHost?: number; concurrency?: number } = {}) {
    this.checks = new StatusChecks({
      source: {
        ask: (host, did) =>
          new Promise((answer) => {
            this.asked.push({ host, did, answer });
          }),
      },
      clock: this.clock,
      metrics: this.metrics,
      intervalMs: INTERVAL_MS,
      perHostMinuteMax: limits.perHost ?? 100,
      concurrencyMax: limits.concurrency ?? 100,
      onDone: (account) => this.done.push(account.did),
    });
  }

  verdict(account: Account, mayWait = true, host = 'a.example.com') {
    const record = new IngestRecord();
    record.hostname = host;
    record.arrivalMs = this.clock.epochMs();
    return this.checks.verdict(account, record, mayWait);
  }

  async answer(answer: RepoStatusAnswer): Promise<void> {
    this.asked.shift()?.answer(answer);
    await this.clock.advance(0);
  }
}

t.test('AC-12: one question, whoever waits for it', async (t) => {
  const desk = new Desk();
  const account = new Account('did:plc:a');
  t.equal(desk.verdict(account, false), 'no', 'the last moment is too late to ask');
  t.equal(desk.asked.length, 0);
  t.equal(desk.verdict(account), 'wait');
  t.equal(account.isPinned(), true, 'the account stays in memory for the answer');
  t.equal(desk.verdict(account), 'wait');
  t.equal(desk.verdict(account, false), 'no');
  t.match(desk.asked, [{ host: 'a.example.com', did: 'did:plc:a' }]);
  await desk.answer('active');
  t.same(desk.done, ['did:plc:a']);
  t.equal(desk.verdict(account), 'active');
  t.equal(desk.verdict(account, false), 'active');
  t.equal(account.isPinned(), false);
  t.equal(desk.metrics.read('relay_accounts_status_checks_total:active'), 1);
});

for (const answer of ['inactive', 'unknown', 'failed'] as const) {
  t.test(`AC-12, LM-11: ${answer} is remembered for the interval`, async (t) => {
    const desk = new Desk();
    const account = new Account('did:plc:a');
    desk.verdict(account);
    await desk.answer(answer);
    t.equal(desk.verdict(account), 'no');
    await desk.clock.advance(INTERVAL_MS - 1);
    t.equal(desk.verdict(account), 'no');
    t.equal(desk.asked.length, 0);
    await desk.clock.advance(1);
    t.equal(desk.verdict(account), 'wait');
    await desk.answer('active');
    t.equal(desk.verdict(account), 'active');
  });
}

t.test('LM-11: a host has so many questions a minute, and others have theirs', async (t) => {
  const desk = new Desk({ perHost: 3 });
  const ask = (name: string, host?: string) => desk.verdict(new Account(name), true, host);
  t.same([ask('1'), ask('2'), ask('3'), ask('4')], ['wait', 'wait', 'wait', 'no']);
  t.equal(desk.metrics.read('relay_accounts_status_checks_total:skipped'), 1);
  t.equal(ask('5', 'b.example.com'), 'wait');
  await desk.clock.advance(20_000);
  t.same([ask('6'), ask('7')], ['wait', 'no'], 'three a minute');
  t.equal(desk.asked.length, 5);
});

t.test('LM-11: so many at once, none waits in line', async (t) => {
  const desk = new Desk({ concurrency: 2 });
  const ask = (name: string) => desk.verdict(new Account(name), true, `${name}.example.com`);
  t.same([ask('a'), ask('b'), ask('c')], ['wait', 'wait', 'no']);
  t.equal(desk.checks.activeCount, 2);
  await desk.answer('failed');
  t.same([ask('c'), ask('d')], ['wait', 'no']);
  t.equal(desk.metrics.read('relay_accounts_status_checks_total:skipped'), 2);
});

t.test('a budget of 0 asks nobody', async (t) => {
  const desk = new Desk({ perHost: 0 });
  t.equal(desk.verdict(new Account('a')), 'no');
  t.equal(desk.asked.length, 0);
});
