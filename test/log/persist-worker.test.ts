/** The worker around the duty cycle: how it starts, stops and ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import t from 'tap';
import { MiB } from '../../lib/base/units.ts';
import type { PersistTask } from '../../lib/log/run-persist.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { allocateRegions, metricPage, PAGE_PERSIST } from '../../lib/ring/regions.ts';
import { allocateChaos, Chaos } from '../../lib/shared/chaos.ts';
import { CommitReader, CommitView } from '../../lib/shared/commit-cell.ts';
import { PersistState, Words } from '../../lib/shared/regions.ts';

const WORKER = fileURLToPath(new URL('../../workers/persist.ts', import.meta.url));

function start(t: { teardown(end: () => unknown): void }, change: Partial<PersistTask> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-persist-'));
  const sizes = { ingestRingBytes: MiB, verifiedRingBytes: MiB, heldBytes: MiB };
  const regions = allocateRegions({ shardCount: 2, ...sizes, tailRingBytes: MiB });
  const task: PersistTask = {
    regions,
    logLevel: 'silent',
    logDirectory: join(directory, 'log'),
    segmentBytesMax: MiB,
    segmentAgeMsMax: 3_600_000,
    retentionAgeMsMax: 3_600_000,
    retentionBytesMax: 0,
    isEmergencyRetention: false,
    nextSeqMin: 1,
    chaos: null,
    ...change,
  };
  const options = { atomics: 'disabled', minThreads: 1, maxThreads: 1 } as const;
  const pool = new Piscina({ filename: WORKER, ...options });
  t.teardown(async () => {
    await pool.destroy();
    rmSync(directory, { recursive: true });
  });
  return { directory, regions, words: new Words(regions.words), ending: pool.run(task) };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

t.test('starts, beats while idle, and stops when told', async (t) => {
  const { regions, words, ending } = start(t, { nextSeqMin: 500 });
  const state = words.reader('persistState');
  await until(() => state.observe() === PersistState.running);
  const view = new CommitView();
  new CommitReader(regions.commit).read(view);
  t.match(view, { segmentFirstSeq: 500, byteEnd: 64, lastSeq: 499 });
  t.equal(words.wideReader('oldestSeq').observe(), 500);
  const beat = words.reader('beatPersist').observe();
  await until(() => words.reader('beatPersist').observe() > beat + 1);
  const metrics = new MetricWriter(metricPage(regions, PAGE_PERSIST));
  t.equal(metrics.read('relay_log_durable_seq'), 499);
  words.writer('stop').publish(1);
  words.bell('bellPersist').ring();
  await ending;
  t.equal(state.observe(), PersistState.stopped);
});

t.test('any other end ends the thread and leaves its mark', async (t) => {
  const chaos = allocateChaos();
  const { words, ending } = start(t, { chaos });
  await until(() => words.reader('persistState').observe() === PersistState.running);
  new Chaos(chaos).request('persistExit', 1);
  await t.rejects(ending);
  t.equal(words.reader('persistState').observe(), PersistState.poisoned);
});

t.test('a log that cannot be opened ends the thread', async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'skyrelay-persist-')), 'file');
  writeFileSync(file, '');
  t.teardown(() => rmSync(join(file, '..'), { recursive: true }));
  const { words, ending } = start(t, { logDirectory: join(file, 'log') });
  await t.rejects(ending);
  t.equal(words.reader('persistState').observe(), PersistState.poisoned);
});

/** The log writer on the main thread of a process, which it never leaves. */
const ALONE = `
  const lib = (name) => import(new URL(name, '${new URL('../../lib/', import.meta.url)}'));
  const { runPersist } = await lib('log/run-persist.ts');
  const { allocateRegions } = await lib('ring/regions.ts');
  const MiB = 1024 * 1024;
  const sizes = { ingestRingBytes: MiB, verifiedRingBytes: MiB, heldBytes: MiB };
  runPersist({
    regions: allocateRegions({ shardCount: 1, ...sizes, tailRingBytes: MiB }),
    logLevel: 'info',
    logDirectory: process.argv[1],
    segmentBytesMax: MiB,
    segmentAgeMsMax: 3_600_000,
    retentionAgeMsMax: 3_600_000,
    retentionBytesMax: 0,
    isEmergencyRetention: false,
    nextSeqMin: 1,
    chaos: null,
  });`;

t.test('G24: what it has to say is in a log file at once, not when it ends', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-persist-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, '0000000000000001.seg'), Buffer.alloc(1000, 1));
  const path = join(directory, 'stdout');
  const out = openSync(path, 'w');
  const args = ['--input-type=module-typescript', '-e', ALONE, directory];
  const child = spawn(process.execPath, args, { stdio: ['ignore', out, 'inherit'] });
  const ended = once(child, 'close');
  const messages = (): unknown[] =>
    readFileSync(path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line): unknown => JSON.parse(line).msg);
  await until(() => messages().length === 2 || child.exitCode !== null);
  t.same(messages(), ['log opened', 'log segment is damaged']);
  child.kill('SIGKILL');
  await ended;
});
