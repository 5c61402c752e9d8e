/**
 * Runs a verify thread from its first word to its last: the body of workers/verify.ts. It ends when
 * the stop word says so; any other end is an error, which the worker turns into the end of its
 * thread, and main into a successor.
 * @thread verify
 */
import { type Clock, nextTurn, SystemClock } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { SECOND_MS } from '../base/units.ts';
import { createLogger, type Logger } from '../logging/logger.ts';
import { MetricWriter } from '../metrics/slots.ts';
import { metricPage, PAGE_VERIFY } from '../ring/regions.ts';
import type { PositionWriter } from '../shared/position.ts';
import { Words } from '../shared/regions.ts';
import { initSignature } from '../verify/signature.ts';
import { ShardAssembly } from './assemble.ts';
import type { Waiting } from './rebuild.ts';
import type { Shard } from './shard.ts';
import type { VerifyTask } from './task.ts';

const IDLE_WAIT_MS = 50;
const BEAT_MS = 200;
const REBUILD_RETRY_MS = 500;
/** A frame may end a thread once; the second time it is quarantined. */
const DEATHS_MAX = 2;

export async function runShard(task: VerifyTask): Promise<void> {
  const clock = new SystemClock();
  const metrics = new MetricWriter(metricPage(task.regions, PAGE_VERIFY + task.shard));
  const name = `verify-${task.shard}`;
  const root = createLogger({
    level: task.logLevel,
    destinationFd: 1,
    name,
    clock,
    onDrop: (count) => metrics.add('relay_logging_dropped_lines_total', count),
  });
  const logger = root.child('shard');
  const words = new Words(task.regions.words);
  const poisonNo = countDeath(words, task.shard);
  const beat = words.shardWriter('beatVerify', task.shard);
  const backend = await initSignature();
  metrics.set(`relay_verify_signature_backend:${backend}`, 1);
  const assembly = new ShardAssembly({ task, clock, logger, metrics, words });
  // A referenced timer keeps the event loop alive, here and under `bell.wait`.
  const life = clock.every(BEAT_MS, () => beat.publish((beat.last() + 1) | 0), true);
  const waiting = await rebuildRetrying(assembly, clock, logger, words);
  if (waiting !== undefined) {
    const shard = assembly.finish(waiting, poisonNo);
    words.shardWriter('ready', task.shard).publish(task.generation);
    words.bell('bellMain').ring();
    const { shard: index, generation } = task;
    const held = assembly.holds.count;
    logger.info({ shard: index, generation, held, backend }, 'shard ready');
    const expiry = clock.every(SECOND_MS, () => shard.expireHolds());
    await loop(shard, words, task.shard);
    expiry.cancel();
  }
  await assembly.close();
  life.cancel();
  root.close();
}

/** Counts the end of a predecessor on the frame it had in hand; the frame to give up, or 0. */
function countDeath(words: Words, shard: number): number {
  const processing = words.shardWriter('processing', shard);
  const deathNo = words.shardWriter('deathNo', shard);
  const deaths = words.shardWriter('deaths', shard);
  const no = processing.last();
  if (no === 0) return 0;
  deaths.publish(no === deathNo.last() ? deaths.last() + 1 : 1);
  deathNo.publish(no);
  processing.publish(0);
  return deaths.last() >= DEATHS_MAX ? no : 0;
}

/** Waits for PostgreSQL as long as it takes; undefined when the relay stops meanwhile. */
async function rebuildRetrying(
  assembly: ShardAssembly,
  clock: Clock,
  logger: Logger,
  words: Words,
): Promise<readonly Waiting[] | undefined> {
  const stop = words.reader('stop');
  let isLogged = false;
  while (stop.observe() === 0) {
    try {
      return await assembly.rebuild();
    } catch (error) {
      if (!(error instanceof RelayFault) || !error.isRetryable) throw error;
      if (!isLogged) logger.warn({ error: errorText(error) }, 'shard waits for the database');
      isLogged = true;
      await clock.sleep(REBUILD_RETRY_MS);
    }
  }
  return undefined;
}

async function loop(shard: Shard, words: Words, index: number): Promise<void> {
  const stop = words.reader('stop');
  const bell = words.shardBell(index);
  const beat: PositionWriter = words.shardWriter('beatVerify', index);
  while (stop.observe() === 0) {
    beat.publish((beat.last() + 1) | 0);
    if (shard.poll() > 0) {
      await nextTurn();
      continue;
    }
    bell.arm();
    if (shard.hasWork() || stop.observe() !== 0) bell.disarm();
    else await bell.wait(IDLE_WAIT_MS);
  }
}
