/** The other thread of wake.test.ts: echoes every record of one ring into another. */
import { workerData } from 'node:worker_threads';
import { RingConsumer } from '../../lib/ring/consumer.ts';
import { RingProducer } from '../../lib/ring/producer.ts';
import { Words } from '../../lib/shared/regions.ts';

const words = new Words(workerData.words);
const input = new RingConsumer(workerData.input);
const output = new RingProducer(workerData.output);
const own = words.bell('bellPersist');
const other = words.bell('bellMain');
let left: number = workerData.count;

while (left > 0) {
  const at = input.poll();
  if (at < 0) {
    own.arm();
    // No time limit to speak of: a lost wake-up hangs here, and the test sees it.
    if (input.pendingBytes() === 0) own.waitBlocking(60_000);
    else own.disarm();
    continue;
  }
  const to = output.claim(input.payloadBytes);
  input.bytes.copy(output.bytes, to, at, at + input.payloadBytes);
  output.commit();
  other.ring();
  input.release();
  left -= 1;
}
