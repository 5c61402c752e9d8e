/**
 * Three ways to get committed frames to consumers, each woken by the bell of a feeding thread and
 * reading the commit cell: the relay's hub, `ws.send` frame by frame, bare gathered writes.
 */
import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { type WebSocket, WebSocketServer } from 'ws';
import { nextTurn, SystemClock } from '../../lib/base/clock.ts';
import { KiB, MiB } from '../../lib/base/units.ts';
import { ADMISSION_DEFAULTS, Admission } from '../../lib/broadcast/admission.ts';
import { Hub } from '../../lib/broadcast/hub.ts';
import { HUB_DEFAULTS } from '../../lib/broadcast/hub-options.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { ReportReader } from '../../lib/shard/router.ts';
import {
  COMMIT_BYTES,
  CommitReader,
  CommitView,
  CommitWriter,
} from '../../lib/shared/commit-cell.ts';
import { allocateShared } from '../../lib/shared/memory.ts';
import { allocateWords, Words } from '../../lib/shared/regions.ts';
import { allocateTailRing, TailReader } from '../../lib/shared/tail-ring.ts';
import { MainLoop } from '../../lib/threads/main-loop.ts';
import { wrapMessage } from '../../lib/wire/ws-frame.ts';

const MESSAGE_BYTES = 5 * KiB;
/** As it goes over the wire. */
const WIRE_FRAME = wrapMessage(Buffer.alloc(MESSAGE_BYTES, 0x61));
export const WIRE_BYTES = WIRE_FRAME.length;
const HEADER_BYTES = WIRE_BYTES - MESSAGE_BYTES;
const TAIL_BYTES = 64 * MiB;
const BELL_MS = 100;

export type FeedMemory = {
  readonly commit: SharedArrayBuffer;
  readonly tail: SharedArrayBuffer;
  readonly words: SharedArrayBuffer;
  readonly frame: Uint8Array;
};

/** So many commits of so many frames, and a pause after each. */
export type FeedOrder = {
  readonly commits: number;
  readonly frames: number;
  readonly pauseMs: number;
};

/** The thread that commits frames; in a relay it is persist. */
class Feed {
  readonly commit = allocateShared(COMMIT_BYTES);
  readonly tail = allocateTailRing(TAIL_BYTES);
  readonly words = new Words(allocateWords());
  readonly #worker: Worker;

  constructor() {
    const view = new CommitView();
    view.segmentFirstSeq = 1;
    const commits = new CommitWriter(this.commit);
    commits.fill(view);
    commits.publish();
    const { commit, tail, words } = this;
    const workerData = { commit, tail, words: words.memory, frame: WIRE_FRAME };
    this.#worker = new Worker(new URL('./fanout-feed.ts', import.meta.url), { workerData });
  }

  append(order: FeedOrder): void {
    this.#worker.postMessage(order);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Something that sends a frame to all its consumers. */
export interface Sender {
  readonly server: Server;
  /** More frames are to become durable. */
  append(order: FeedOrder): void;
  /** Bytes that wait in the fullest socket. */
  waitingBytes(): number;
  /** Over all its life: how well it gathers. */
  framesPerWrite(): number;
  stop(): Promise<void>;
}

export class HubSender implements Sender {
  readonly server = createServer();
  readonly #feed = new Feed();
  readonly #hub: Hub;
  readonly #metrics = new MetricWriter();
  readonly #loop: MainLoop;

  constructor() {
    const clock = new SystemClock();
    const metrics = this.#metrics;
    const { commit, tail, words } = this.#feed;
    const bell = words.bell('bellMain');
    this.#hub = new Hub(HUB_DEFAULTS, {
      clock,
      logger: silentLogger,
      metrics,
      commits: new CommitReader(commit),
      tail: new TailReader(tail),
      log: {
        open: () => {
          throw new Error('a consumer fell off the tail ring');
        },
      },
      oldestSeq: () => 1,
      onPublished: () => {},
      wake: () => bell.ring(),
    });
    const open = { connectsPerSecond: 1e6, connectsBurst: 1e6, consumersPerAddressMax: 1e6 };
    const admission = new Admission(
      { ...ADMISSION_DEFAULTS, ...open },
      { clock, metrics, hub: this.#hub, oldestSeq: () => 1 },
    );
    this.server.on('upgrade', (request, socket, head) => {
      admission.handleUpgrade(request, socket, head, '127.0.0.1');
    });
    const reports = new ReportReader([]);
    this.#loop = new MainLoop({ clock, words, commit, hub: this.#hub, reports, onReport() {} });
  }

  append(order: FeedOrder): void {
    this.#feed.append(order);
  }

  waitingBytes(): number {
    let most = 0;
    for (const consumer of this.#hub.consumers) most = Math.max(most, consumer.waitingBytes);
    return most;
  }

  framesPerWrite(): number {
    const frames = this.#metrics.read('relay_broadcast_frames_total');
    return frames / this.#metrics.read('relay_broadcast_writes_total');
  }

  async stop(): Promise<void> {
    for (const consumer of this.#hub.consumers) consumer.reset('admin');
    await this.#loop.stop();
    await this.#feed.stop();
  }
}

/** What the other two share: a plain loop around the bell, and websockets that `ws` has opened. */
abstract class PlainSender implements Sender {
  readonly server = createServer();
  readonly sockets: Socket[] = [];
  readonly clients: WebSocket[] = [];
  readonly #feed = new Feed();
  readonly #commits = new CommitReader(this.#feed.commit);
  readonly #tail = new TailReader(this.#feed.tail);
  readonly #wakeTail = this.#feed.words.writer('wakeTail');
  readonly #view = new CommitView();
  readonly #ended: Promise<void>;
  #sentSeq = 0;
  #isStopping = false;

  constructor() {
    const upgrader = new WebSocketServer({ noServer: true, perMessageDeflate: false });
    this.server.on('upgrade', (request, socket, head) => {
      upgrader.handleUpgrade(request, socket, head, (ws) => {
        ws.on('error', () => {});
        this.clients.push(ws);
        this.sockets.push(socket as Socket);
      });
    });
    this.#ended = this.#run();
  }

  /** Sends `count` new frames; returns the tail position from which on it wants to be woken. */
  protected abstract send(count: number, tail: TailReader): number;
  abstract framesPerWrite(): number;

  append(order: FeedOrder): void {
    this.#feed.append(order);
  }

  waitingBytes(): number {
    let most = 0;
    for (const socket of this.sockets) most = Math.max(most, socket.writableLength);
    return most;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const ws of this.clients) ws.terminate();
    this.#feed.words.bell('bellMain').ring();
    await this.#ended;
    await this.#feed.stop();
  }

  /** Sends what is new; false where nothing is. */
  protected poll(): boolean {
    this.#commits.read(this.#view);
    const count = this.#view.lastSeq - this.#sentSeq;
    if (count === 0) return false;
    this.#sentSeq = this.#view.lastSeq;
    this.#wakeTail.publish(this.send(count, this.#tail));
    return true;
  }

  async #run(): Promise<void> {
    const bell = this.#feed.words.bell('bellMain');
    while (!this.#isStopping) {
      if (this.poll()) {
        await nextTurn();
        continue;
      }
      bell.arm();
      if (this.#commits.hasNew()) bell.disarm();
      else await bell.wait(BELL_MS);
    }
  }
}

/**
 * `ws.send` of every frame to every consumer. A frame is copied out of the ring once, as the hub's
 * pieces are: a socket keeps what it is given, and shared memory will not do.
 */
export class EachSender extends PlainSender {
  #end = 0;

  framesPerWrite(): number {
    return 1;
  }

  protected send(count: number, tail: TailReader): number {
    for (let i = 0; i < count; i++) {
      const message = Buffer.allocUnsafeSlow(MESSAGE_BYTES);
      const end = (this.#end + WIRE_BYTES) | 0;
      tail.copy((this.#end + HEADER_BYTES) | 0, end, message);
      this.#end = end;
      for (const ws of this.clients) ws.send(message);
    }
    return this.#end;
  }
}

/** The least there is: the hub's gathered pieces, ready made, and no look at who gets them. */
export class BareSender extends PlainSender {
  #frames = Buffer.alloc(0);
  #end = 0;
  #newCount = 0;
  #frameCount = 0;
  #writeCount = 0;
  #flushedMs = 0;
  #timer: NodeJS.Timeout | undefined;

  framesPerWrite(): number {
    return this.#frameCount / this.#writeCount;
  }

  override async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await super.stop();
  }

  protected send(count: number): number {
    const { gatherMs, gatherBytes, gatherRoundBytes, chunkBytesMax } = HUB_DEFAULTS;
    this.#newCount += count;
    this.#end = (this.#end + count * WIRE_BYTES) | 0;
    const readerCount = this.sockets.length;
    const bytes = Math.min(chunkBytesMax * 0.75, gatherRoundBytes / readerCount);
    const enough = Math.max(gatherBytes, Math.ceil(bytes));
    const waitMs = this.#flushedMs + gatherMs - performance.now();
    if (waitMs <= 0 || this.#newCount * WIRE_BYTES >= enough) this.#flush();
    else this.#timer ??= setTimeout(() => this.#onTime(), waitMs);
    return (this.#end - this.#newCount * WIRE_BYTES + enough) | 0;
  }

  /** Commits since the last wake-up have not been looked at. */
  #onTime(): void {
    this.#timer = undefined;
    if (!this.poll()) this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flushedMs = performance.now();
    const pieceFrames = Math.floor(HUB_DEFAULTS.chunkBytesMax / WIRE_BYTES);
    for (; this.#newCount > 0; this.#newCount -= Math.min(pieceFrames, this.#newCount)) {
      this.#write(Math.min(pieceFrames, this.#newCount));
    }
  }

  #write(count: number): void {
    const bytes = count * WIRE_BYTES;
    if (bytes > this.#frames.length) {
      this.#frames = Buffer.concat(new Array<Buffer>(count).fill(WIRE_FRAME));
    }
    const piece = this.#frames.subarray(0, bytes);
    this.#frameCount += count;
    this.#writeCount += 1;
    for (const socket of this.sockets) socket.write(piece);
  }
}
