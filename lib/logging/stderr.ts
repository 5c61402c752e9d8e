/**
 * One line straight to standard error, past every buffer and every other thread: for the last words
 * of a process and for what must be seen while main stands still.
 * @thread any
 */
import { writeSync } from 'node:fs';

/** Never throws: a closed or full pipe must not turn a message into a crash. */
export function writeStderr(line: string): void {
  try {
    writeSync(2, `skyrelay: ${line.replaceAll('\n', ' ')}\n`);
  } catch {
    // Nobody reads it.
  }
}
