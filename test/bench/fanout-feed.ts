/** The other thread of fanout.bench.ts: commits what it is told to, as persist does. */
import { parentPort, workerData } from 'node:worker_threads';
import { distance } from '../../lib/base/units.ts';
import { CommitView, CommitWriter } from '../../lib/shared/commit-cell.ts';
import { Words } from '../../lib/shared/regions.ts';
import { TailWriter } from '../../lib/shared/tail-ring.ts';
import type { FeedMemory, FeedOrder } from './fanout-senders.ts';

const memory = workerData as FeedMemory;
const frame = Buffer.from(memory.frame);
const tail = new TailWriter(memory.tail);
const commits = new CommitWriter(memory.commit);
const words = new Words(memory.words);
const bell = words.bell('bellMain');
const view = new CommitView();
view.segmentFirstSeq = 1;

const wakeTail = words.reader('wakeTail');
const never = new Int32Array(new SharedArrayBuffer(4));

function commit(count: number): void {
  for (let i = 0; i < count; i++) tail.write(frame, 0, frame.length);
  view.lastSeq += count;
  view.tailEnd = tail.end;
  commits.fill(view);
  commits.publish();
  // As lib/log/persist-words.ts does.
  if (distance(view.tailEnd, wakeTail.observe()) >= 0) bell.ring();
}

parentPort?.on('message', (order: FeedOrder) => {
  const startMs = performance.now();
  for (let i = 1; i <= order.commits; i++) {
    commit(order.frames);
    const waitMs = startMs + i * order.pauseMs - performance.now();
    if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
  }
});
