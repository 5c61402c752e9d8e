/**
 * Loaded into the demo's relay before anything else: when the demo is gone, however that ended,
 * the relay stops in order and its data directory goes with it. Not part of a relay.
 */
import { rmSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

function onAlone(): void {
  const dataDir = process.env['RELAY_DATA_DIR'] ?? '';
  process.once('exit', () => rmSync(dataDir, { recursive: true, force: true }));
  process.kill(process.pid, 'SIGTERM');
}

if (isMainThread) process.once('disconnect', onAlone);
