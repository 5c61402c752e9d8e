/**
 * A verify thread of the pool: one long task per shard.
 * Reads: its ingest ring, the commit cell, the log (when it rebuilds), PostgreSQL, DID directories.
 * Writes: its verified ring, held arena, report ring and shard words; account and identity rows.
 * Any abnormal end is the end of the thread: timers and promises of a failed task must not run on
 * beside its successor.
 * @role verify
 */
import { errorText } from '../lib/base/fault.ts';
import { writeStderr } from '../lib/logging/stderr.ts';
import { runShard } from '../lib/shard/run.ts';
import type { VerifyTask } from '../lib/shard/task.ts';

function end(error: unknown): never {
  writeStderr(`verify thread failed: ${errorText(error)}`);
  process.exit(1);
}

export default async function verify(task: VerifyTask): Promise<void> {
  process.on('unhandledRejection', end);
  process.on('uncaughtException', end);
  try {
    await runShard(task);
  } catch (error) {
    end(error);
  }
}
