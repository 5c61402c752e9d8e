/**
 * Room for the log on its disk: removes what retention has given up, and keeps the ballast file.
 * When the log writer is refused room, both look at once instead of at their time.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { type SupervisedLoop, supervise } from '../base/supervise.ts';
import { SECOND_MS } from '../base/units.ts';
import { isRoomCause } from '../log/append-fault.ts';
import { Ballast, realBallastFiles } from '../log/ballast.ts';
import type { SegmentRemover } from '../log/unlink.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { Words } from '../shared/regions.ts';

const RETENTION_MS = 30 * SECOND_MS;
const BALLAST_MS = SECOND_MS;

export type LogRoomOptions = {
  readonly directory: string;
  readonly ballastBytes: number;
  readonly remover: SegmentRemover;
  readonly words: Words;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
};

export class LogRoom {
  readonly #retention: SupervisedLoop;
  readonly #ballast: SupervisedLoop;

  /** Starts at once: the log must be open. */
  constructor(options: LogRoomOptions) {
    const { directory, remover, words, clock, metrics } = options;
    const logger = options.logger.child('retention');
    const pauseCause = words.reader('pauseCause');
    const isLogFull = (): boolean => isRoomCause(pauseCause.observe());
    const remove = async (): Promise<void> => {
      const report = await remover.pass();
      if (report.segments_removed > 0) logger.info(report, 'segments removed');
    };
    const ballast = new Ballast({
      directory,
      wantedBytes: options.ballastBytes,
      files: realBallastFiles,
      logger,
      metrics,
      state: words.writer('ballast'),
      hold: words.writer('logHold'),
      isLogFull,
    });
    const nowSeconds = (): number => clock.epochMs() / SECOND_MS;
    const succeeded = 'relay_loop_success_timestamp_seconds';
    this.#retention = supervise('retention', clock, logger, remove, {
      periodMs: RETENTION_MS,
      onBeat: () => metrics.set(`${succeeded}:retention`, nowSeconds()),
      onFailure: () => metrics.add('relay_loop_failures_total:retention'),
    });
    const look = async (): Promise<void> => {
      if (isLogFull()) this.#retention.wake();
      await ballast.pass();
    };
    this.#ballast = supervise('ballast', clock, logger, look, {
      periodMs: BALLAST_MS,
      onBeat: () => metrics.set(`${succeeded}:ballast`, nowSeconds()),
      onFailure: () => metrics.add('relay_loop_failures_total:ballast'),
    });
  }

  async stop(): Promise<void> {
    await Promise.all([this.#retention.stop(), this.#ballast.stop()]);
  }
}
