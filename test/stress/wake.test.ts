/** Two real threads, both asleep most of the time: no wake-up is ever lost, no record changed. */
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { RingConsumer } from '../../lib/ring/consumer.ts';
import { allocateRing } from '../../lib/ring/descriptor.ts';
import { RingProducer } from '../../lib/ring/producer.ts';
import { allocateWords, Words } from '../../lib/shared/regions.ts';

const COUNT = 30_000;
/** Far above any wake-up (10 µs) and below the peer's own limit: reaching it means a lost one. */
const LOST_MS = 20_000;

t.test('ping-pong of 30,000 records through two rings', async (t) => {
  const memory = allocateWords();
  const words = new Words(memory);
  const there = allocateRing(4096);
  const back = allocateRing(4096);
  const worker = new Worker(new URL('./wake-peer.ts', import.meta.url), {
    workerData: { words: memory, input: there, output: back, count: COUNT },
  });
  const output = new RingProducer(there);
  const input = new RingConsumer(back);
  const own = words.bell('bellMain');
  const other = words.bell('bellPersist');
  const keepAlive = setInterval(() => {}, 1000);
  let sent = 0;
  let received = 0;
  let lost = 0;
  while (received < COUNT) {
    // Bursts of 1 to 4, so that both ends sleep and wake all the time.
    const burst = Math.min(1 + (received & 3), COUNT - sent);
    for (let i = 0; i < burst; i++) {
      const at = output.claim(8);
      if (at < 0) break;
      output.bytes.writeDoubleLE(sent, at);
      sent += 1;
    }
    output.commit();
    other.ring();
    while (received < sent) {
      const at = input.poll();
      if (at >= 0) {
        if (input.bytes.readDoubleLE(at) !== received) t.fail(`record ${received} differs`);
        received += 1;
        input.release();
        continue;
      }
      own.arm();
      if (input.pendingBytes() > 0) {
        own.disarm();
        continue;
      }
      const start = performance.now();
      await own.wait(LOST_MS);
      if (performance.now() - start > LOST_MS - 100) lost += 1;
    }
  }
  clearInterval(keepAlive);
  t.equal(lost, 0);
  t.equal(received, COUNT);
  await worker.terminate();
});
