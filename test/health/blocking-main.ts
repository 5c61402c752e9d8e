/** A process with a liveness thread whose main blocks when told to; for liveness.test.ts. */
import { SystemClock } from '../../lib/base/clock.ts';
import { LivenessProxy } from '../../lib/health/liveness-proxy.ts';
import { createLogger } from '../../lib/logging/logger.ts';
import { METRIC_PAGE_BYTES, MetricWriter } from '../../lib/metrics/slots.ts';
import { allocateShared } from '../../lib/shared/memory.ts';
import { allocateWords, PersistState, Phase, Words } from '../../lib/shared/regions.ts';

const clock = new SystemClock();
const words = allocateWords();
const control = new Words(words);
control.writer('phase').publish(Phase.running);
control.writer('persistState').publish(PersistState.running);
clock.every(50, () => {
  control.writer('beatMain').publish(control.writer('beatMain').last() + 1);
  control.writer('beatPersist').publish(control.writer('beatPersist').last() + 1);
});

const proxy = new LivenessProxy(
  {
    version: 1,
    words,
    shardCount: 1,
    pages: [{ thread: 'liveness', memory: allocateShared(METRIC_PAGE_BYTES) }],
    listen: { host: '127.0.0.1', port: 0 },
    logLevel: 'info',
  },
  clock,
  createLogger({ level: 'info', destinationFd: 1, name: 'main' }),
  new MetricWriter(),
);
console.log(`port ${await proxy.start()}`);

process.stdin.on('data', () => {
  const endMs = performance.now() + 3000;
  while (performance.now() < endMs);
  console.log('unblocked');
});
process.stdin.on('end', () => process.exit(0));
