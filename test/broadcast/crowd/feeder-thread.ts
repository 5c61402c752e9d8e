/** Stands where a verify thread is: hands events to persist, at a pace or as fast as it takes them. */
import { parentPort, workerData } from 'node:worker_threads';
import { RingProducer } from '../../../lib/ring/producer.ts';
import type { Regions } from '../../../lib/ring/regions.ts';
import { VERIFIED_HEADER_BYTES, writeVerifiedHeader } from '../../../lib/ring/verified-record.ts';
import { CommitReader, CommitView } from '../../../lib/shared/commit-cell.ts';
import { Words } from '../../../lib/shared/regions.ts';
import { eventBytes, SEQ_END, SEQ_START, writeEvent } from './event.ts';

/** `total` events in all, then it says `done`; without a pace as fast as they are taken. */
export type FeedOrder = {
  readonly perSecond?: number;
  readonly total: number;
  readonly sizes: readonly number[];
};

const TICK_MS = 5;
const PASS_MAX = 2000;
const regions = workerData as Regions;
const commits = new CommitReader(regions.commit);
const view = new CommitView();
const ring = new RingProducer(regions.verified[0] as SharedArrayBuffer, () => {
  commits.read(view);
  return view.heads[0] ?? 0;
});
const bell = new Words(regions.words).bell('bellPersist');
let order: FeedOrder | undefined;
let startMs = 0;
let madeCount = 0;
let eventNo = 0;

/** False while the ring is full. */
function offer(bytes: number): boolean {
  const at = ring.claim(VERIFIED_HEADER_BYTES + bytes);
  if (at < 0) return false;
  const frameAt = writeVerifiedHeader(ring.bytes, at, {
    kind: 1,
    statusCode: 0,
    hostId: 1,
    ingestNo: ++eventNo | 0,
    upstreamCrc: 0,
    didHashLo: 1,
    didHashHi: 1,
    hostSeq: eventNo,
    arrivalMs: Date.now(),
    seqStart: SEQ_START,
    seqEnd: SEQ_END,
  });
  writeEvent(ring.bytes, frameAt, bytes);
  return true;
}

function tick(): void {
  if (order === undefined) return;
  const { perSecond, total, sizes } = order;
  const elapsedMs = performance.now() - startMs;
  const due = perSecond === undefined ? total : Math.min(total, (elapsedMs * perSecond) / 1000);
  let count = 0;
  while (madeCount < due && count < PASS_MAX) {
    if (!offer(eventBytes(sizes[eventNo % sizes.length] ?? 0))) break;
    madeCount++;
    count++;
  }
  if (count > 0) {
    ring.commit();
    bell.ring();
  }
  if (madeCount >= total) {
    order = undefined;
    parentPort?.postMessage('done');
  } else if (count > 0 && perSecond === undefined) setImmediate(tick);
  else setTimeout(tick, perSecond === undefined ? 1 : TICK_MS);
}

parentPort?.on('message', (next: FeedOrder) => {
  const isIdle = order === undefined;
  order = next;
  startMs = performance.now();
  madeCount = 0;
  if (isIdle) tick();
});
