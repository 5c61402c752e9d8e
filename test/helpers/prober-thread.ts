/** The thread of prober.ts. */
import { parentPort, workerData } from 'node:worker_threads';

const { url, ms } = workerData as { url: string; ms: number };
const latencies: number[] = [];
const statuses = new Set<number>();
const endMs = performance.now() + ms;
while (performance.now() < endMs) {
  const sentMs = performance.now();
  const response = await fetch(url);
  await response.text();
  statuses.add(response.status);
  latencies.push(performance.now() - sentMs);
  await new Promise((resolve) => setTimeout(resolve, 20));
}
latencies.sort((a, b) => a - b);
const p99Ms = Math.round((latencies[Math.floor(latencies.length * 0.99)] ?? 0) * 10) / 10;
parentPort?.postMessage({ count: latencies.length, p99Ms, statuses: [...statuses] });
