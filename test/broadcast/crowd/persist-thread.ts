/** The persist thread of a relay, by itself. */
import { workerData } from 'node:worker_threads';
import { type PersistTask, runPersist } from '../../../lib/log/run-persist.ts';

runPersist(workerData as PersistTask);
