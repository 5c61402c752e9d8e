import { spawnSync } from 'node:child_process';
import t from 'tap';
import { supervise } from '../../lib/base/supervise.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

type Line = { level: string; message: string; fields: Record<string, unknown> };

function recorder() {
  const lines: Line[] = [];
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields: { ...fields } });
  return { lines, warn: at('warn'), info: at('info') };
}

t.test('C1: a loop whose pass throws is logged, counted and runs again', async (t) => {
  const clock = new ManualClock();
  const logger = recorder();
  let passes = 0;
  const seen: unknown[] = [];
  let beats = 0;
  const loop = supervise(
    'retention',
    clock,
    logger,
    () => {
      if (++passes === 2) throw new Error('disk');
    },
    { periodMs: 1000, onFailure: (error) => seen.push(error), onBeat: () => beats++ },
  );
  await clock.advance(1);
  t.equal(passes, 1);
  await clock.advance(1000);
  t.equal(passes, 2);
  t.ok(loop.isFailing());
  t.match(logger.lines, [
    { level: 'warn', message: 'loop pass failed', fields: { loop: 'retention', failures: 1 } },
  ]);
  await clock.advance(100);
  t.equal(passes, 3, 'D8: tick three happens after the back-off');
  t.notOk(loop.isFailing());
  t.equal(loop.failureCount(), 1);
  t.equal(beats, 2);
  t.match(seen, [/disk/]);
  t.equal(logger.lines.at(-1)?.message, 'loop recovered');
  await loop.stop();
  t.equal(clock.waiterCount(), 0, 'nothing is left behind');
});

t.test('C1: a loop that always throws ages, and C13: does not fill the log', async (t) => {
  const clock = new ManualClock();
  const logger = recorder();
  const loop = supervise('checkpoint', clock, logger, async () => {
    throw new Error('down');
  });
  await clock.advance(10 * 60_000);
  t.equal(loop.successAgeMs(), 10 * 60_000);
  t.ok(loop.failureCount() > 20, `${loop.failureCount()} passes`);
  t.ok(logger.lines.length <= 11, `${logger.lines.length} lines`);
  const counted = logger.lines.reduce((sum, line) => sum + Number(line.fields['failures']), 0);
  t.ok(counted > 15, 'the lines account for the failures left out');
  await loop.stop();
});

t.test('a loop that flaps is rate-limited, too', async (t) => {
  const clock = new ManualClock();
  const logger = recorder();
  let passes = 0;
  const pass = (): void => {
    if (++passes % 2 === 0) throw new Error('flap');
  };
  const loop = supervise('host_flush', clock, logger, pass, { periodMs: 100 });
  await clock.advance(60_000);
  t.ok(passes > 200);
  t.ok(logger.lines.length <= 4, `${logger.lines.length} lines`);
  await loop.stop();
});

t.test('C3: stop aborts the signal and waits for the pass in hand', async (t) => {
  const clock = new ManualClock();
  const gate = Promise.withResolvers<void>();
  let isEnded = false;
  const loop = supervise('reconcile', clock, recorder(), async (signal) => {
    await gate.promise;
    t.ok(signal.aborted);
    isEnded = true;
  });
  await clock.advance(1);
  const stopped = loop.stop();
  t.notOk(isEnded);
  gate.resolve();
  await stopped;
  t.ok(isEnded);
});

t.test('wake starts a pass at once, and is not lost while one runs', async (t) => {
  const clock = new ManualClock();
  let passes = 0;
  let gate = Promise.withResolvers<void>();
  const pass = async (): Promise<void> => {
    passes++;
    await gate.promise;
  };
  const loop = supervise('checkpoint', clock, recorder(), pass, { periodMs: 60_000 });
  await clock.advance(0);
  loop.wake();
  gate.resolve();
  gate = Promise.withResolvers();
  gate.resolve();
  await clock.advance(1);
  await clock.advance(1);
  t.equal(passes, 2, 'woken during a pass: one more follows it');
  loop.wake();
  await clock.advance(1);
  await clock.advance(1);
  t.equal(passes, 3, 'woken in its sleep');
  await loop.stop();
});

t.test('a loop that wakes itself leaves the event loop its turns', async (t) => {
  const clock = new ManualClock();
  let passes = 0;
  const loop = supervise('account_flush', clock, recorder(), () => {
    passes++;
    loop?.wake();
  });
  await clock.advance(1);
  await clock.advance(1);
  t.ok(passes < 100, `${passes} passes in a few turns`);
  await loop.stop();
});

t.test('a broken invariant ends the process, it is not retried', async (t) => {
  const script = `
    import { assert } from '${new URL('../../lib/base/assert.ts', import.meta.url)}';
    import { SystemClock } from '${new URL('../../lib/base/clock.ts', import.meta.url)}';
    import { supervise } from '${new URL('../../lib/base/supervise.ts', import.meta.url)}';
    const logger = { warn() {}, info() {} };
    supervise('checkpoint', new SystemClock(), logger, () => assert(false, 'seq went back'));
    setTimeout(() => process.exit(0), 2000);`;
  const args = ['--input-type=module-typescript', '-e', script];
  const { status, stderr } = spawnSync(process.execPath, args);
  t.equal(status, 1);
  t.match(String(stderr), /seq went back/);
});
