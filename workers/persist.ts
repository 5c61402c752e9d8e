/**
 * The thread that owns the order of events and their bytes on disk. Reads: verified rings. Writes:
 * segments, the commit cell, the tail ring, its control words and metric page. It has no successor:
 * any end but a clean stop ends the thread here, and main ends the process (a write that is still
 * under way could land after a successor's).
 * @role persist
 */
import { type PersistTask, runPersist } from '../lib/log/run-persist.ts';

/** Exit code of the thread after any end that is not a clean stop. */
const EXIT_FAILED = 70;

export default function persist(task: PersistTask): void {
  try {
    runPersist(task);
  } catch {
    // The reason is on stderr already. In a worker this ends the thread, not the process.
    process.exit(EXIT_FAILED);
  }
}
