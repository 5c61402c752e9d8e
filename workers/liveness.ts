/**
 * The thread that answers whether the others work. Reads: control words, metric pages. Writes: its
 * own metric page, stderr (never blocking). Needs nothing from main to answer, and says that main
 * stands still while it does.
 * @role liveness
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../lib/base/assert.ts';
import { SystemClock } from '../lib/base/clock.ts';
import { errorText } from '../lib/base/fault.ts';
import type { LivenessData, LivenessMessage } from '../lib/health/liveness-data.ts';
import { HealthMonitor, SAMPLE_PERIOD_MS } from '../lib/health/monitor.ts';
import { ProbeServer } from '../lib/health/probe-server.ts';
import { createLogger } from '../lib/logging/logger.ts';
import { MetricsView } from '../lib/metrics/prometheus.ts';
import { MetricWriter } from '../lib/metrics/slots.ts';
import { HealthReader } from '../lib/shared/health-words.ts';

const STDERR = 2;

const data = workerData as LivenessData;
assert(data.version === 1, 'main and the liveness thread are of different builds');

const clock = new SystemClock();
const pages = data.pages.map(({ thread, memory }) => ({
  thread,
  values: new Float64Array(memory),
}));
const metrics = new MetricWriter(pages.find(({ thread }) => thread === 'liveness')?.values);
const logger = createLogger({
  level: data.logLevel,
  destinationFd: STDERR,
  name: 'liveness',
  clock,
  onDrop: (lineCount) => metrics.add('relay_logging_dropped_lines_total', lineCount),
});
const reader = new HealthReader(data.words, data.shardCount);
const monitor = new HealthMonitor(reader, clock, logger, metrics);
const server = new ProbeServer(monitor, new MetricsView(pages));

function post(message: LivenessMessage): void {
  parentPort?.postMessage(message);
}

server.listen(data.listen).then(
  (port) => {
    clock.every(SAMPLE_PERIOD_MS, () => monitor.sample());
    post({ type: 'listening', port });
  },
  (error: unknown) => post({ type: 'failed', problem: errorText(error) }),
);
