/** The other thread of fanout.bench.ts: commits what it is told to, as persist does. */
import { parentPort, workerData } from 'node:worker_threads';
import { CommitView, CommitWriter } from '../../lib/shared/commit-cell.ts';
import { Words } from '../../lib/shared/regions.ts';
import { TailWriter } from '../../lib/shared/tail-ring.ts';
import type { FeedMemory } from './fanout-senders.ts';

const memory = workerData as FeedMemory;
const frame = Buffer.from(memory.frame);
const tail = new TailWriter(memory.tail);
const commits = new CommitWriter(memory.commit);
const bell = new Words(memory.words).bell('bellMain');
const view = new CommitView();
view.segmentFirstSeq = 1;

parentPort?.on('message', (count: number) => {
  for (let i = 0; i < count; i++) tail.write(frame, 0, frame.length);
  view.lastSeq += count;
  view.tailEnd = tail.end;
  commits.fill(view);
  commits.publish();
  bell.ring();
});
