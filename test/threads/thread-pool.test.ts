/** The pool with a real log writer: its end, in order and not, is told. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SystemClock } from '../../lib/base/clock.ts';
import { MiB } from '../../lib/base/units.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { allocateRegions } from '../../lib/ring/regions.ts';
import { allocateChaos, Chaos } from '../../lib/shared/chaos.ts';
import { PersistState, Words } from '../../lib/shared/regions.ts';
import { ThreadPool } from '../../lib/threads/thread-pool.ts';

const clock = new SystemClock();

function startPool(t: Test, options: { isBroken?: boolean } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-pool-'));
  const logDirectory = join(directory, options.isBroken === true ? 'file' : '.');
  if (options.isBroken === true) writeFileSync(logDirectory, 'not a directory');
  const ringBytes = 16 * MiB;
  const regions = allocateRegions({
    shardCount: 1,
    ingestRingBytes: ringBytes,
    verifiedRingBytes: ringBytes,
    heldBytes: ringBytes,
    tailRingBytes: ringBytes,
  });
  const words = new Words(regions.words);
  const problems: string[] = [];
  const pool = new ThreadPool({
    regions,
    clock,
    logger: silentLogger,
    metrics: new MetricWriter(),
    verifyHangMs: 60_000,
    onPersistEnd: (problem) => problems.push(problem),
  });
  t.teardown(async () => {
    await pool.destroy();
    rmSync(directory, { recursive: true });
  });
  const chaosMemory = allocateChaos();
  pool.startPersist({
    regions,
    logLevel: 'fatal',
    logDirectory,
    segmentBytesMax: MiB,
    segmentAgeMsMax: 3_600_000,
    retentionAgeMsMax: 3_600_000,
    retentionBytesMax: 0,
    isEmergencyRetention: false,
    nextSeqMin: 1,
    chaos: chaosMemory,
  });
  const state = words.reader('persistState');
  const isIn = async (wanted: number): Promise<void> => {
    for (let i = 0; i < 500 && state.observe() !== wanted; i++) await clock.sleep(20);
    t.equal(state.observe(), wanted);
  };
  return { pool, words, problems, chaos: new Chaos(chaosMemory), isIn };
}

t.test('G25: a log writer that is told to end returns, and that is no problem', async (t) => {
  const { pool, words, problems, isIn } = startPool(t);
  await isIn(PersistState.running);
  words.writer('stop').publish(1);
  t.equal(await pool.stopPersist(10_000), true);
  await isIn(PersistState.stopped);
  t.same(problems, []);
});

t.test('G15: a log writer that fails while it is told to end was no clean end', async (t) => {
  const { pool, problems, chaos, isIn } = startPool(t);
  await isIn(PersistState.running);
  chaos.request('persistExit', 1);
  t.equal(await pool.stopPersist(10_000), false);
  t.equal(problems.length, 1);
  await isIn(PersistState.poisoned);
});

t.test('one that hangs is given up after its time', async (t) => {
  const { pool, chaos, isIn } = startPool(t);
  await isIn(PersistState.running);
  chaos.request('persistHang', 1);
  await clock.sleep(200);
  const startMs = clock.monoMs();
  t.equal(await pool.stopPersist(300), false);
  t.ok(clock.monoMs() - startMs < 5000);
});

t.test('one that cannot open the log says so', async (t) => {
  const { problems, isIn } = startPool(t, { isBroken: true });
  await isIn(PersistState.poisoned);
  for (let i = 0; i < 100 && problems.length === 0; i++) await clock.sleep(20);
  t.equal(problems.length, 1);
});
