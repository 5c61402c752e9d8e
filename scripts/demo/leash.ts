/**
 * Loaded into the demo's relay before anything else: ends it in order when the demo is gone, however
 * that ended. Not part of a relay.
 */
import { isMainThread } from 'node:worker_threads';

if (isMainThread) process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
