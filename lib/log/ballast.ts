/**
 * A file of no content beside the log that can be given back when the disk is full (G16): then
 * PostgreSQL on the same disk can still write its checkpoint and recover, without which nothing
 * could ever be removed. Until there is more room the log writer waits, or it would take that room
 * too. Filled with random bytes, a step at a time: zeros, or a length alone, hold no room on many
 * file systems. Emptied, not unlinked: an empty one says after a restart that it was given back.
 *
 *   (absent) ──room for twice as much──▶ building ──▶ whole
 *   building, whole ──disk full──▶ given (empty) ──room for twice as much──▶ building
 * @thread main
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, stat, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../base/fault.ts';
import { MiB } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { PositionWriter } from '../shared/position.ts';
import { BallastState } from '../shared/regions.ts';

export const BALLAST_NAME = 'ballast';
/** One pass of the loop writes this much, and waits for the disk: no burst that delays a batch. */
export const BALLAST_STEP_BYTES = 8 * MiB;
const CHUNK_BYTES = MiB;
/** The disk counts as full before it is: PostgreSQL may be the one who meets its end. */
const LOW_BYTES_MAX = 64 * MiB;
const FILE_MODE = 0o600;

export type BallastFacts = {
  /** 0: no ballast is wanted. */
  readonly wantedBytes: number;
  /** What the file holds; undefined where there is none. */
  readonly bytes: number | undefined;
  /** What the file system still gives to a process like ours. */
  readonly freeBytes: number;
  /** The log writer has just been refused room. */
  readonly isLogFull: boolean;
  /** The answer of the last pass. */
  readonly isHolding: boolean;
};

export type BallastDecision = {
  readonly action: 'none' | 'build' | 'give' | 'cut' | 'remove';
  /** Whether the log writer is to leave the room that there is to the database. */
  readonly isHolding: boolean;
};

/** Pure: what a pass does. */
export function decideBallast(facts: BallastFacts): BallastDecision {
  const { wantedBytes, bytes, freeBytes, isLogFull } = facts;
  const held = bytes ?? 0;
  if (wantedBytes === 0) {
    return { action: bytes === undefined ? 'none' : 'remove', isHolding: false };
  }
  const isGiven = bytes === 0;
  // Apart from each other, so that a little room that comes and goes does not start and stop it.
  const roomMin = facts.isHolding ? (3 * wantedBytes) / 4 : wantedBytes / 2;
  const isHolding = isGiven && freeBytes < roomMin;
  if (held > 0 && (isLogFull || freeBytes < Math.min(LOW_BYTES_MAX, wantedBytes / 4))) {
    return { action: 'give', isHolding: false };
  }
  if (held > wantedBytes) return { action: 'cut', isHolding };
  const hasRoom = freeBytes >= wantedBytes - held + wantedBytes;
  const isBuilding = held < wantedBytes && hasRoom && !isLogFull;
  return { action: isBuilding ? 'build' : 'none', isHolding };
}

/** The calls of a pass. Tests put others in their place. */
export interface BallastFiles {
  /** Bytes that the file really has on disk; undefined where there is none. */
  bytes(path: string): Promise<number | undefined>;
  freeBytes(directory: string): Promise<number>;
  /** Writes `chunks` from `byteOffset` on, making the file where there is none, and syncs. */
  write(path: string, byteOffset: number, chunks: readonly Buffer[]): Promise<void>;
  truncate(path: string, bytes: number): Promise<void>;
  unlink(path: string): Promise<void>;
}

export type BallastOptions = {
  readonly directory: string;
  readonly wantedBytes: number;
  readonly files: BallastFiles;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  /** The word `ballast`. */
  readonly state: PositionWriter;
  /** The word `logHold`. */
  readonly hold: PositionWriter;
  readonly isLogFull: () => boolean;
};

export class Ballast {
  readonly #options: BallastOptions;
  readonly #path: string;
  #isHolding = false;
  #chunk: Buffer | undefined;

  constructor(options: BallastOptions) {
    this.#options = options;
    this.#path = join(options.directory, BALLAST_NAME);
  }

  /**
   * One step. Rejects with the system's error; then nothing is held back from the log writer, and
   * the next pass looks again.
   */
  async pass(): Promise<void> {
    const { directory, wantedBytes, files, metrics } = this.#options;
    try {
      const bytes = await files.bytes(this.#path);
      const freeBytes = await files.freeBytes(directory);
      metrics.set('relay_log_free_bytes', freeBytes);
      const isLogFull = this.#options.isLogFull();
      const isHolding = this.#isHolding;
      const decision = decideBallast({ wantedBytes, bytes, freeBytes, isLogFull, isHolding });
      const left = await this.#act(decision.action, bytes, freeBytes);
      // Room that was just given back is the database's until there is enough of it.
      this.#show(left, decision.isHolding);
    } catch (error) {
      this.#hold(false);
      throw error;
    }
  }

  /** Returns what the file holds afterwards. */
  async #act(
    action: BallastDecision['action'],
    bytes: number | undefined,
    freeBytes: number,
  ): Promise<number | undefined> {
    const { wantedBytes, files, logger, metrics } = this.#options;
    if (action === 'build') return await this.#build(bytes ?? 0);
    if (action === 'give') {
      await files.truncate(this.#path, 0);
      metrics.add('relay_log_ballast_releases_total');
      logger.error({ ballastBytes: bytes, freeBytes }, 'disk full: the ballast is given back');
      return 0;
    }
    if (action === 'cut') {
      await files.truncate(this.#path, wantedBytes);
      return wantedBytes;
    }
    if (action !== 'remove') return bytes;
    await files.unlink(this.#path);
    return undefined;
  }

  async #build(held: number): Promise<number> {
    const { wantedBytes, files, logger } = this.#options;
    this.#chunk ??= randomBytes(CHUNK_BYTES);
    const chunks: Buffer[] = [];
    let left = Math.min(BALLAST_STEP_BYTES, wantedBytes - held);
    const end = held + left;
    for (; left > 0; left -= CHUNK_BYTES) chunks.push(this.#chunk.subarray(0, left));
    await files.write(this.#path, held, chunks);
    if (end === wantedBytes) {
      this.#chunk = undefined;
      logger.info({ ballastBytes: end }, 'the ballast file is whole');
    }
    return end;
  }

  #show(bytes: number | undefined, isHolding: boolean): void {
    const { wantedBytes, metrics, state } = this.#options;
    metrics.set('relay_log_ballast_bytes', bytes ?? 0);
    if (bytes === undefined) state.publish(BallastState.none);
    else if (bytes === 0) state.publish(BallastState.given);
    else state.publish(bytes < wantedBytes ? BallastState.building : BallastState.whole);
    this.#hold(isHolding);
  }

  #hold(isHolding: boolean): void {
    this.#isHolding = isHolding;
    this.#options.hold.publish(isHolding ? 1 : 0);
  }
}

const BLOCK_BYTES = 512;

/** The real ones: libuv's threads do the work. */
export const realBallastFiles: BallastFiles = {
  async bytes(path) {
    try {
      const { size, blocks } = await stat(path);
      // A length without blocks holds no room.
      return Math.min(size, blocks * BLOCK_BYTES);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  },
  async freeBytes(directory) {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  },
  async write(path, byteOffset, chunks) {
    const handle = await open(path, constants.O_WRONLY | constants.O_CREAT, FILE_MODE);
    try {
      let at = byteOffset;
      for (const chunk of chunks) {
        for (let done = 0; done < chunk.length; ) {
          const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, at);
          done += bytesWritten;
          at += bytesWritten;
        }
      }
      await handle.datasync();
    } finally {
      await handle.close();
    }
  },
  async truncate(path, bytes) {
    const handle = await open(path, constants.O_WRONLY);
    try {
      await handle.truncate(bytes);
      // Until the file system has committed it, the room is not there for others.
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  unlink: (path) => unlink(path),
};
