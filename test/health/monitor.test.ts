import t from 'tap';
import { HealthMonitor } from '../../lib/health/monitor.ts';
import { pauseCauseNo } from '../../lib/log/append-fault.ts';
import { type Logger, silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { HealthReader } from '../../lib/shared/health-words.ts';
import {
  allocateWords,
  BallastState,
  DatabaseState,
  PersistState,
  Phase,
  Words,
} from '../../lib/shared/regions.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

function rig() {
  const memory = allocateWords();
  const words = new Words(memory);
  const clock = new ManualClock();
  const metrics = new MetricWriter();
  const lines: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (_, message) => void lines.push(message) };
  words.writer('phase').publish(Phase.running);
  words.writer('persistState').publish(PersistState.running);
  const monitor = new HealthMonitor(new HealthReader(memory, 2), clock, logger, metrics);
  /** Moves time in sample periods; the named threads beat in each. */
  const run = async (ms: number, beating: readonly ('beatMain' | 'beatPersist')[]) => {
    for (let at = 0; at < ms; at += 200) {
      await clock.advance(200);
      for (const name of beating) words.writer(name).publish(words.writer(name).last() + 1);
      words.shardWriter('beatVerify', 0).publish(at);
      monitor.sample();
    }
  };
  return { words, clock, metrics, lines, monitor, run };
}

t.test('A9: a stall of main is logged while it lasts, and counted', async (t) => {
  const { lines, metrics, run } = rig();
  await run(1000, ['beatMain', 'beatPersist']);
  t.same(lines, []);
  await run(3000, ['beatPersist']);
  t.same(lines, ['main stalled for 1 s', 'main stalled for 2 s']);
  await run(400, ['beatMain', 'beatPersist']);
  t.equal(lines.at(-1), 'main runs again after 3 s');
  t.equal(metrics.read('relay_thread_stalls_total:main'), 1);
  t.equal(metrics.read('relay_thread_stall_seconds_total:main'), 3);
  t.equal(metrics.read('relay_thread_stalls_total:persist'), 0);
});

t.test('a stall of the log writer is logged, its recovery and its end are not', async (t) => {
  const { lines, words, run } = rig();
  words.writer('persistState').publish(PersistState.recovering);
  await run(3000, ['beatMain']);
  t.same(lines, []);
  words.writer('persistState').publish(PersistState.running);
  await run(400, ['beatMain', 'beatPersist']);
  await run(1200, ['beatMain']);
  t.same(lines, ['persist stalled for 1 s']);
});

t.test('the body tells phase, ages, seqs and PostgreSQL, which gates nothing (A7)', async (t) => {
  const { words, monitor, metrics, run } = rig();
  words.wideWriter('durable').publish(2 ** 40);
  words.wideWriter('published').publish(7);
  words.writer('databaseState').publish(DatabaseState.down);
  words.writer('pauseCause').publish(pauseCauseNo('quota'));
  words.writer('ballast').publish(BallastState.given);
  await run(600, ['beatMain', 'beatPersist']);
  const { verdict, body } = monitor.report();
  t.match(verdict, { isLive: true, isReady: true });
  t.match(body, {
    live: true,
    ready: true,
    reasons: [],
    phase: 'running',
    main_age_ms: 0,
    writer_age_ms: 0,
    verify_age_ms_max: 600,
    log: 'running',
    log_pause: 'quota',
    ballast: 'given',
    db: 'down',
    durable_seq: 2 ** 40,
    published_seq: 7,
  });
  t.equal(metrics.read('relay_process_ready'), 1);
  await run(31_000, ['beatPersist']);
  t.match(monitor.report(), { verdict: { isLive: false }, body: { live: false } });
  t.equal(metrics.read('relay_process_live'), 0);
  t.ok(metrics.read('relay_thread_heartbeat_age_seconds:main') > 30);
});
