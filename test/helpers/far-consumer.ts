/**
 * A recording consumer in a process of its own: `node far-consumer.ts URL`. Writes every event that
 * it gets as a line of JSON, and every violation as a JSON string.
 */
import { RecordingConsumer } from './recording-consumer.ts';

/** A connection is given up after so long without an event, as by any careful client. */
const SILENCE_MS = 1500;
const CHECK_MS = 100;

const [, , url = ''] = process.argv;
let consumer = connect(0);
let lastMs = performance.now();

function connect(cursor: number): RecordingConsumer {
  const made = new RecordingConsumer(() => url, cursor);
  made.onFrame = (_frame, received) => {
    lastMs = performance.now();
    process.stdout.write(`${JSON.stringify(received)}\n`);
  };
  return made;
}

let cursor = 0;
setInterval(() => {
  cursor = Math.max(cursor, consumer.lastSeq);
  for (const text of consumer.violations.splice(0)) {
    process.stdout.write(`${JSON.stringify(text)}\n`);
  }
  if (performance.now() - lastMs < SILENCE_MS) return;
  lastMs = performance.now();
  consumer.stop();
  consumer = connect(cursor);
}, CHECK_MS);
