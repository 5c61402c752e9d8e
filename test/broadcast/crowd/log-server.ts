/**
 * The downstream half of a relay in a process of its own: the persist thread with its log, and the
 * hub with its sockets. Where verify threads would be, a feeder makes events.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import { SystemClock } from '../../../lib/base/clock.ts';
import { DAY_MS, MiB } from '../../../lib/base/units.ts';
import { ADMISSION_DEFAULTS, Admission } from '../../../lib/broadcast/admission.ts';
import { Hub } from '../../../lib/broadcast/hub.ts';
import { HUB_DEFAULTS, type HubOptions } from '../../../lib/broadcast/hub-options.ts';
import { LogCursors } from '../../../lib/log/cursor.ts';
import { realLogFiles } from '../../../lib/log/files.ts';
import { LogReader } from '../../../lib/log/reader.ts';
import type { PersistTask } from '../../../lib/log/run-persist.ts';
import { realRemovalFiles, SegmentRemover } from '../../../lib/log/unlink.ts';
import { silentLogger } from '../../../lib/logging/logger.ts';
import { CATALOG } from '../../../lib/metrics/catalog.ts';
import { MetricWriter } from '../../../lib/metrics/slots.ts';
import { allocateRegions, metricPage, PAGE_MAIN } from '../../../lib/ring/regions.ts';
import { ReportReader } from '../../../lib/shard/router.ts';
import { CommitReader, CommitView } from '../../../lib/shared/commit-cell.ts';
import { Words } from '../../../lib/shared/regions.ts';
import { TailReader } from '../../../lib/shared/tail-ring.ts';
import { MainLoop } from '../../../lib/threads/main-loop.ts';
import type { FeedOrder } from './feeder-thread.ts';

export type ServerOptions = {
  readonly directory: string;
  readonly hub?: Partial<HubOptions>;
  readonly framesPerSecondMax?: number;
  readonly segmentBytesMax?: number;
  readonly retentionBytesMax?: number;
  readonly tailRingBytes?: number;
};

export type ServerOrder =
  | { readonly kind: 'feed'; readonly feed: FeedOrder }
  | { readonly kind: 'stats' }
  | { readonly kind: 'close' };

export type ServerStats = {
  readonly rssBytes: number;
  readonly consumers: number;
  readonly waitingBytes: number;
  readonly headSeq: number;
  readonly oldestSeq: number;
  readonly feedsDone: number;
  readonly ends: Readonly<Record<string, number>>;
  readonly segmentReads: number;
};

const options = JSON.parse(process.argv[2] ?? '') as ServerOptions;
const REMOVE_MS = 200;

const clock = new SystemClock();
const regions = allocateRegions({
  shardCount: 1,
  ingestRingBytes: MiB,
  verifiedRingBytes: 16 * MiB,
  heldBytes: MiB,
  tailRingBytes: options.tailRingBytes ?? 16 * MiB,
});
const words = new Words(regions.words);
const metrics = new MetricWriter(metricPage(regions, PAGE_MAIN));
const task: PersistTask = {
  regions,
  logLevel: 'error',
  logDirectory: options.directory,
  segmentBytesMax: options.segmentBytesMax ?? 64 * MiB,
  segmentAgeMsMax: DAY_MS,
  retentionAgeMsMax: DAY_MS,
  retentionBytesMax: options.retentionBytesMax ?? 0,
  isEmergencyRetention: false,
  nextSeqMin: 1,
  chaos: null,
};
const persist = new Worker(new URL('./persist-thread.ts', import.meta.url), { workerData: task });
const feeder = new Worker(new URL('./feeder-thread.ts', import.meta.url), { workerData: regions });
let feedsDone = 0;
feeder.on('message', () => {
  feedsDone++;
});

const commits = new CommitReader(regions.commit);
const view = new CommitView();
const readView = (): CommitView => {
  commits.read(view);
  return view;
};
const oldest = words.wideReader('oldestSeq');
const oldestSeq = (): number => oldest.observe();
const reader = new LogReader({
  directory: options.directory,
  files: realLogFiles,
  view: readView,
  oldestSeq,
});
const bell = words.bell('bellMain');
const published = words.wideWriter('published');
const hub = new Hub(
  { ...HUB_DEFAULTS, ...options.hub },
  {
    clock,
    logger: silentLogger,
    metrics,
    commits: new CommitReader(regions.commit),
    tail: new TailReader(regions.tail),
    log: new LogCursors(reader),
    oldestSeq,
    onPublished: (seq) => published.publish(seq),
    wake: () => bell.ring(),
  },
);
const open = { connectsPerSecond: 1e6, connectsBurst: 1e6, consumersPerAddressMax: 1e6 };
const { framesPerSecondMax = ADMISSION_DEFAULTS.framesPerSecondMax } = options;
const admission = new Admission(
  { ...ADMISSION_DEFAULTS, ...open, framesPerSecondMax },
  { clock, metrics, hub, oldestSeq },
);
const server = createServer();
server.on('upgrade', (request, socket, head) => {
  admission.handleUpgrade(request, socket, head, '127.0.0.1');
});
const loop = new MainLoop({
  clock,
  words,
  commit: regions.commit,
  hub,
  reports: new ReportReader([]),
  onReport: () => {},
});
const remover = new SegmentRemover({
  directory: options.directory,
  files: realRemovalFiles,
  metrics,
  oldestSeq,
  activeBytes: () => readView().byteEnd,
  retire: (seq) => reader.retire(seq),
});
const checkpoint = words.wideWriter('checkpointSeq');
const keeper = setInterval(() => {
  // Nothing is to be kept for a database.
  checkpoint.publish(readView().lastSeq);
  void remover.pass().catch(() => {});
}, REMOVE_MS);

function stats(): ServerStats {
  let waitingBytes = 0;
  for (const consumer of hub.consumers) waitingBytes += consumer.waitingBytes;
  const ends: Record<string, number> = {};
  for (const cause of CATALOG.relay_broadcast_consumer_ends_total.label.values) {
    ends[cause] = metrics.read(`relay_broadcast_consumer_ends_total:${cause}`);
  }
  return {
    rssBytes: process.memoryUsage.rss(),
    consumers: hub.size,
    waitingBytes,
    headSeq: readView().lastSeq,
    oldestSeq: oldestSeq(),
    feedsDone,
    ends,
    segmentReads: metrics.read('relay_broadcast_reads_total:segment'),
  };
}

async function close(): Promise<void> {
  clearInterval(keeper);
  await feeder.terminate();
  for (const consumer of hub.consumers) consumer.reset('admin');
  await loop.stop();
  const ended = new Promise((resolve) => persist.once('exit', resolve));
  words.writer('stop').publish(1);
  words.bell('bellPersist').ring();
  await ended;
  await reader.close();
  process.exit(0);
}

process.on('message', (order: ServerOrder) => {
  if (order.kind === 'feed') feeder.postMessage(order.feed);
  else if (order.kind === 'stats') process.send?.(stats());
  else void close();
});
process.on('disconnect', () => process.exit(0));
const ready = setInterval(() => {
  if (!hub.isLogOpen()) return;
  clearInterval(ready);
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
}, 5);
