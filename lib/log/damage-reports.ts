/**
 * What happens once per damaged segment when a reader runs into it: a copy for a human, a log line
 * with the range, a count. However many consumers run into it later, there is no second line (A6).
 * @thread main
 */
import { constants } from 'node:fs';
import { access, copyFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText } from '../base/fault.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { segmentName } from './descriptor.ts';
import { corruptName } from './quarantine.ts';
import type { LogDamage } from './reader.ts';

export type DamageReportsOptions = {
  readonly directory: string;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
};

export class DamageReports {
  readonly #options: DamageReportsOptions;
  readonly #known = new Set<string>();
  readonly #copies = new Map<number, Promise<void>>();

  constructor(options: DamageReportsOptions) {
    this.#options = options;
  }

  /** Reports the piece if it is new. Never throws. */
  note(found: LogDamage): void {
    const { segmentFirstSeq, damage } = found;
    const key = `${segmentFirstSeq} ${damage.byteOffset}`;
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.#options.metrics.add('relay_log_corrupt_batches_total');
    const segment = segmentName(segmentFirstSeq);
    this.#options.logger.error({ segment, ...damage }, 'log segment is damaged');
    if (!this.#copies.has(segmentFirstSeq)) {
      this.#copies.set(segmentFirstSeq, this.#keep(segment));
    }
  }

  /** Resolves when the copies begun so far are complete. */
  async settled(): Promise<void> {
    await Promise.all(this.#copies.values());
  }

  async #keep(segment: string): Promise<void> {
    const { directory, logger } = this.#options;
    const path = join(directory, segment);
    const copyPath = join(directory, corruptName(segment));
    try {
      const isKept = await access(copyPath).then(
        () => true,
        () => false,
      );
      if (isKept) return;
      await copyFile(path, `${copyPath}.part`, constants.COPYFILE_FICLONE);
      await rename(`${copyPath}.part`, copyPath);
    } catch (error) {
      logger.warn({ segment, error: errorText(error) }, 'damaged segment was not copied');
    }
  }
}
