/**
 * Puts the persist thread together and runs it: the composition of workers/persist.ts. Opens the
 * log, shows what recovery found, then loops until the stop word is set. Any other end is an error,
 * which the worker turns into the end of its thread; nothing is published after a failed sync.
 * @thread persist
 */
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { type Clock, SystemClock } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { toSeq } from '../base/units.ts';
import { createLogger, type Logger, type LogLevel } from '../logging/logger.ts';
import { MetricWriter } from '../metrics/slots.ts';
import { RingConsumer } from '../ring/consumer.ts';
import { metricPage, PAGE_PERSIST, type Regions } from '../ring/regions.ts';
import { Sequencer } from '../sequence/sequencer.ts';
import { Chaos } from '../shared/chaos.ts';
import { CommitWriter } from '../shared/commit-cell.ts';
import type { SharedMemory } from '../shared/memory.ts';
import { PersistState, Words } from '../shared/regions.ts';
import { TailWriter } from '../shared/tail-ring.ts';
import { type BackgroundSync, SyncThread } from './background-sync.ts';
import { SALT_BYTES } from './descriptor.ts';
import { NodeDisk } from './disk.ts';
import { CRASH_POINTS, type CrashPoint, PersistStage } from './persist-stage.ts';
import { openLog, type RecoveryReport } from './recovery.ts';

/** Everything the persist thread is told. Plain data: it crosses the thread border as a copy. */
export type PersistTask = {
  readonly regions: Regions;
  readonly logLevel: LogLevel;
  readonly logDirectory: string;
  readonly segmentBytesMax: number;
  readonly segmentAgeMsMax: number;
  /** How long events stay replayable. */
  readonly retentionAgeMsMax: number;
  /** 0 for no limit. */
  readonly retentionBytesMax: number;
  /** Whether segments inside the window may go when the disk is full. */
  readonly isEmergencyRetention: boolean;
  /** The next seq is at least this. */
  readonly nextSeqMin: number;
  /** Test seam; null in production. */
  readonly chaos: SharedMemory | null;
};

const STDERR = 2;

/** Runs until the stop word is set and all that was accepted is durable. Blocks its thread. */
export function runPersist(task: PersistTask): void {
  const clock = new SystemClock();
  const words = new Words(task.regions.words);
  const logger = createLogger({
    level: task.logLevel,
    destinationFd: 1,
    name: 'persist',
    clock,
    isLoopless: true,
  });
  try {
    const background = new SyncThread();
    const stage = openStage(task, clock, words, logger.child('log'), background);
    const chaos = new Chaos(task.chaos);
    while (!stage.isStopped) {
      if (stage.poll() === 0) {
        logger.retry();
        stage.park();
      }
      if (chaos.take('persistHang', 1)) Chaos.hang();
      if (chaos.take('persistExit', 1)) throw new Error('ended by a test');
    }
    background.close();
    logger.close();
  } catch (error) {
    const isNewer = error instanceof RelayFault && error.code === 'log_version_unknown';
    const state = isNewer ? PersistState.newer : PersistState.poisoned;
    words.writer('persistState').publish(state);
    words.bell('bellMain').ring();
    logger.flushSync();
    // Not through the logger: its sink may be what stands still, and this is the last line.
    const line = { level: 'fatal', thread: 'persist', error: errorText(error) };
    writeSync(STDERR, `${JSON.stringify({ ...line, message: 'log writer ends' })}\n`);
    throw error;
  }
}

function openStage(
  task: PersistTask,
  clock: Clock,
  words: Words,
  logger: Logger,
  background: BackgroundSync,
): PersistStage {
  const metrics = new MetricWriter(metricPage(task.regions, PAGE_PERSIST));
  const { writer: log, report } = openLog({
    disk: new NodeDisk(),
    directory: task.logDirectory,
    clock,
    segmentBytesMax: task.segmentBytesMax,
    segmentAgeMsMax: task.segmentAgeMsMax,
    makeSalt: () => randomBytes(SALT_BYTES),
    nextSeqMin: task.nextSeqMin,
    background,
  });
  tellRecovery(report, logger, metrics);
  const stage = new PersistStage({
    log,
    sequencer: new Sequencer(toSeq(log.nextSeq)),
    rings: task.regions.verified.map((memory) => new RingConsumer(memory)),
    tail: new TailWriter(task.regions.tail),
    commit: new CommitWriter(task.regions.commit),
    words,
    metrics,
    clock,
    logger,
    retention: {
      ageMsMax: task.retentionAgeMsMax,
      bytesMax: task.retentionBytesMax,
      isEarlyWhenFull: task.isEmergencyRetention,
    },
    ...(task.chaos === null ? {} : { crashPoint: crashPoints(new Chaos(task.chaos)) }),
  });
  stage.start();
  return stage;
}

function tellRecovery(report: RecoveryReport, logger: Logger, metrics: MetricWriter): void {
  const { damaged, ...facts } = report;
  logger.info(facts, 'log opened');
  for (const segment of damaged) {
    metrics.add('relay_log_corrupt_batches_total', segment.damages.length);
    logger.error(segment, 'log segment is damaged');
  }
}

/** The number in the request is the place in CRASH_POINTS, from 1; the whole process ends there. */
function crashPoints(chaos: Chaos): (point: CrashPoint) => void {
  return (point) => {
    if (chaos.take('persistCrash', CRASH_POINTS.indexOf(point) + 1)) {
      process.kill(process.pid, 'SIGKILL');
      Chaos.hang();
    }
  };
}
