/**
 * A log with everything around it on one thread: verified rings on one side, what was published on
 * the other. `World.poll` is the persist thread's duty cycle over any disk and clock.
 */
import type { Clock, Timer } from '../../lib/base/clock.ts';
import { Prng } from '../../lib/base/prng.ts';
import { KiB, MiB, toEpochMs, toMonoMs, toSeq } from '../../lib/base/units.ts';
import type { BackgroundSync } from '../../lib/log/background-sync.ts';
import type { Disk } from '../../lib/log/disk.ts';
import type { LogFiles } from '../../lib/log/files.ts';
import { type CrashPoint, PersistStage } from '../../lib/log/persist-stage.ts';
import { LogReader } from '../../lib/log/reader.ts';
import { LogRecords } from '../../lib/log/records.ts';
import { type OpenLogOptions, openLog, type RecoveryReport } from '../../lib/log/recovery.ts';
import type { RetentionPolicy } from '../../lib/log/retention.ts';
import type { LogWriter } from '../../lib/log/writer.ts';
import { type Logger, silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { RingConsumer } from '../../lib/ring/consumer.ts';
import { allocateRing } from '../../lib/ring/descriptor.ts';
import { RingProducer } from '../../lib/ring/producer.ts';
import { VERIFIED_HEADER_BYTES, writeVerifiedHeader } from '../../lib/ring/verified-record.ts';
import { Sequencer } from '../../lib/sequence/sequencer.ts';
import {
  COMMIT_BYTES,
  CommitReader,
  CommitView,
  CommitWriter,
} from '../../lib/shared/commit-cell.ts';
import { allocateShared } from '../../lib/shared/memory.ts';
import { allocateWords, Words } from '../../lib/shared/regions.ts';
import { allocateTailRing, TailReader, TailWriter } from '../../lib/shared/tail-ring.ts';
import { readWsHeader, wsHeaderBytes } from '../../lib/wire/ws-frame.ts';
import { simFiles } from './sim-disk.ts';

export const DIRECTORY = '/data/log';

/** Moves only when told to. */
export class ManualClock implements Clock {
  mono = 1000;
  epoch = 1_700_000_000_000;
  monoMs = () => toMonoMs(this.mono);
  epochMs = () => toEpochMs(this.epoch);
  pass(ms: number): void {
    this.mono += ms;
    this.epoch += ms;
  }
  after(): Timer {
    throw new Error('no timers here');
  }
  every(): Timer {
    throw new Error('no timers here');
  }
  sleep(): Promise<void> {
    throw new Error('no timers here');
  }
}

export type WorldOptions = {
  readonly disk: Disk;
  readonly clock?: ManualClock;
  readonly directory?: string;
  readonly ringCount?: number;
  readonly ringBytes?: number;
  readonly tailBytes?: number;
  readonly segmentBytesMax?: number;
  readonly segmentAgeMsMax?: number;
  readonly nextSeqMin?: number;
  readonly retention?: RetentionPolicy;
  readonly saltSeed?: number;
  readonly background?: BackgroundSync | undefined;
  readonly backlogBytesMin?: number;
  readonly logger?: Logger;
};

export type Offer = { readonly ring?: number; readonly kind?: number; readonly didHashLo?: number };

/** Bytes before the seq of a test message, and the seq it has before it gets ours. */
const HEAD = Buffer.from('head of message ');
const OLD_SEQ = Buffer.from([0x01]);

export class World {
  readonly clock: ManualClock;
  readonly directory: string;
  readonly words = new Words(allocateWords());
  readonly metrics = new MetricWriter();
  readonly report: RecoveryReport;
  readonly log: LogWriter;
  readonly stage: PersistStage;
  readonly commit: CommitReader;
  readonly view = new CommitView();
  readonly producers: RingProducer[];
  readonly tailReader: TailReader;
  /** Every frame that was published since the start, by seq. */
  readonly published = new Map<number, Buffer>();
  /** Called at every crash point. */
  onPoint: (point: CrashPoint) => void = () => {};
  #tailSeen = 0;
  #publishedSeq: number;

  constructor(options: WorldOptions) {
    this.clock = options.clock ?? new ManualClock();
    this.directory = options.directory ?? DIRECTORY;
    const { writer, report } = openLog(logOptions(options, this.clock));
    this.log = writer;
    this.report = report;
    const ringCount = options.ringCount ?? 1;
    const memories = Array.from({ length: ringCount }, () =>
      allocateRing(options.ringBytes ?? 4 * MiB),
    );
    const commit = allocateShared(COMMIT_BYTES);
    const tail = allocateTailRing(options.tailBytes ?? 4 * MiB);
    this.commit = new CommitReader(commit);
    this.tailReader = new TailReader(tail);
    this.producers = memories.map((memory, shard) => {
      return new RingProducer(memory, () => {
        this.commit.read(this.view);
        return this.view.heads[shard] ?? 0;
      });
    });
    this.stage = new PersistStage({
      log: writer,
      sequencer: new Sequencer(toSeq(writer.nextSeq)),
      rings: memories.map((memory) => new RingConsumer(memory)),
      tail: new TailWriter(tail),
      commit: new CommitWriter(commit),
      words: this.words,
      metrics: this.metrics,
      clock: this.clock,
      logger: options.logger ?? silentLogger,
      retention: options.retention ?? { ageMsMax: 1e12, bytesMax: 0 },
      crashPoint: (point) => this.onPoint(point),
      backlogBytesMin: options.backlogBytesMin ?? 128 * KiB,
    });
    this.#publishedSeq = writer.nextSeq - 1;
  }

  start(): this {
    this.stage.start();
    this.collect();
    return this;
  }

  /** Puts an event into a verified ring; returns the record's offset there. */
  offer(body: Buffer, { ring = 0, kind = 1, didHashLo = 7 }: Offer = {}): number {
    const producer = this.producers[ring];
    if (producer === undefined) throw new Error('no such ring');
    const frame = Buffer.concat([HEAD, OLD_SEQ, body]);
    const at = producer.claim(VERIFIED_HEADER_BYTES + frame.length);
    if (at < 0) throw new Error('ring full');
    const frameAt = writeVerifiedHeader(producer.bytes, at, {
      kind,
      statusCode: 0,
      hostId: 5 + ring,
      ingestNo: 1,
      upstreamCrc: 0xdeadbeef,
      didHashLo,
      didHashHi: 0xfedcba98,
      hostSeq: 77,
      arrivalMs: 1_700_000_000_123,
      seqStart: HEAD.length,
      seqEnd: HEAD.length + OLD_SEQ.length,
    });
    frame.copy(producer.bytes, frameAt);
    producer.commit();
    return at;
  }

  /** One duty cycle; notes what it published. */
  poll(): number {
    const count = this.stage.poll();
    this.collect();
    return count;
  }

  /** Reads new frames off the tail ring, as the fan-out does. */
  collect(): void {
    this.commit.read(this.view);
    const bytes = (this.view.tailEnd - this.#tailSeen) | 0;
    if (bytes === 0) {
      this.#publishedSeq = this.view.lastSeq;
      return;
    }
    const piece = Buffer.alloc(bytes);
    if (!this.tailReader.copy(this.#tailSeen, this.view.tailEnd, piece)) throw new Error('overrun');
    this.#tailSeen = this.view.tailEnd;
    for (const frame of splitFrames(piece)) this.published.set(++this.#publishedSeq, frame);
    if (this.#publishedSeq !== this.view.lastSeq) throw new Error('frames and seqs disagree');
  }

  reader(files: LogFiles, openSegmentCountMax = 8): LogReader {
    return new LogReader({
      directory: this.directory,
      files,
      view: () => this.view,
      oldestSeq: () => this.words.wideReader('oldestSeq').observe(),
      openSegmentCountMax,
    });
  }
}

function logOptions(options: WorldOptions, clock: ManualClock): OpenLogOptions {
  const prng = new Prng(options.saltSeed ?? 1);
  return {
    disk: options.disk,
    directory: options.directory ?? DIRECTORY,
    clock,
    segmentBytesMax: options.segmentBytesMax ?? MiB,
    segmentAgeMsMax: options.segmentAgeMsMax ?? 3_600_000,
    makeSalt: () => randomBytes(prng, 16),
    nextSeqMin: options.nextSeqMin ?? 1,
    background: options.background,
  };
}

/** The websocket frames that lie one behind the other in `piece`. */
export function splitFrames(piece: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < piece.length; ) {
    const messageBytes = readWsHeader(piece, at, piece.length);
    if (messageBytes < 0) throw new Error(`no websocket frame at ${at}`);
    const end = at + wsHeaderBytes(messageBytes) + messageBytes;
    if (end > piece.length) throw new Error('frame cut off');
    frames.push(Buffer.from(piece.subarray(at, end)));
    at = end;
  }
  return frames;
}

export function randomBytes(prng: Prng, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) buffer[i] = prng.nextUint32();
  return buffer;
}

/** Opens what is on `disk`, as a restart would, without the stage; the view is what it shows. */
export function reopen(disk: Disk, options: Omit<WorldOptions, 'disk'> = {}) {
  const clock = options.clock ?? new ManualClock();
  const { writer, report } = openLog(logOptions({ saltSeed: 99, ...options, disk }, clock));
  const view = {
    segmentFirstSeq: writer.segmentFirstSeq,
    byteEnd: writer.byteEnd,
    lastSeq: writer.nextSeq - 1,
  };
  const reader = new LogReader({
    directory: options.directory ?? DIRECTORY,
    files: simFiles(disk),
    view: () => view,
    oldestSeq: () => writer.oldestSeq,
  });
  return { writer, report, reader, view };
}

/** Every record from `cursor` on, by seq, up to the end or the first trouble. */
export async function readAll(reader: LogReader, cursor = 0): Promise<Map<number, Buffer>> {
  const found = new Map<number, Buffer>();
  let position = await reader.locate(cursor);
  while (position !== undefined) {
    const read = await reader.read(position);
    if (read.kind !== 'chunk') break;
    const firstSeq = read.lastSeq - read.frameCount + 1;
    for (const [i, frame] of splitFrames(read.bytes).entries()) found.set(firstSeq + i, frame);
    position = read.next;
  }
  await reader.close();
  return found;
}

export function recordsOf(disk: Disk, directory = DIRECTORY): LogRecords {
  return new LogRecords(directory, simFiles(disk));
}

/** The value, where a test cannot go on without it. */
export function must<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('missing');
  return value;
}
