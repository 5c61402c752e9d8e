/**
 * What it costs main to send one frame to one consumer: the real hub with its loop and real
 * sockets, against `ws.send` of each frame and against bare gathered writes of the same bytes. CPU
 * time of this thread; the readers are on another. What hands the frames in is not counted: in a
 * relay it is the persist thread's.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
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
import { allocateTailRing, TailReader, TailWriter } from '../../lib/shared/tail-ring.ts';
import { MainLoop } from '../../lib/threads/main-loop.ts';
import { wrapMessage } from '../../lib/wire/ws-frame.ts';
import { type Bench, compare, type Print, type Scale } from './rounds.ts';

const MESSAGE = Buffer.alloc(5 * KiB, 0x61);
/** As it goes over the wire. */
const WIRE_FRAME = wrapMessage(MESSAGE);
const TAIL_BYTES = 64 * MiB;
/** More than this behind, and the load waits: every variant sends from memory. */
const BEHIND_BYTES_MAX = 8 * MiB;
const BEHIND_PAUSE_MS = 2;
/** What was gathered goes out at this size … */
const GATHER_BYTES = 64 * KiB;
/** … or when this has passed, as in the hub. */
const GATHER_MS_PER_CONSUMER = 0.02;

/** What the other thread is asked: open readers, or say when each has had so many more bytes. */
export type ReaderOrder =
  | { readonly kind: 'open'; readonly port: number; readonly count: number }
  | { readonly kind: 'expect'; readonly bytes: number };

/** Something that sends a frame to all its consumers. */
interface Sender {
  readonly server: Server;
  /** `count` more frames became durable. */
  commit(count: number): void;
  /** Bytes that the slowest consumer has not been sent. */
  behindBytes(): number;
  /** Over all its life: how well it gathers. */
  framesPerWrite(): number;
  stop(): Promise<void>;
}

class HubSender implements Sender {
  readonly server = createServer();
  readonly #hub: Hub;
  readonly #metrics = new MetricWriter();
  readonly #loop: MainLoop;
  readonly #tail: TailWriter;
  readonly #commits: CommitWriter;
  readonly #view = new CommitView();
  readonly #words = new Words(allocateWords());

  constructor() {
    const clock = new SystemClock();
    const metrics = this.#metrics;
    const commit = allocateShared(COMMIT_BYTES);
    const tail = allocateTailRing(TAIL_BYTES);
    this.#tail = new TailWriter(tail);
    this.#commits = new CommitWriter(commit);
    this.#view.segmentFirstSeq = 1;
    this.commit(0);
    const bell = this.#words.bell('bellMain');
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
    this.#loop = new MainLoop({
      clock,
      words: this.#words,
      commit,
      hub: this.#hub,
      reports: new ReportReader([]),
      onReport: () => {},
    });
  }

  commit(count: number): void {
    for (let i = 0; i < count; i++) this.#tail.write(WIRE_FRAME, 0, WIRE_FRAME.length);
    this.#view.lastSeq += count;
    this.#view.tailEnd = this.#tail.end;
    this.#commits.fill(this.#view);
    this.#commits.publish();
    this.#words.bell('bellMain').ring();
  }

  behindBytes(): number {
    let lowest = this.#view.lastSeq;
    for (const { seq } of this.#hub.consumers) lowest = Math.min(lowest, seq);
    return (this.#view.lastSeq - lowest) * WIRE_FRAME.length;
  }

  framesPerWrite(): number {
    const frames = this.#metrics.read('relay_broadcast_frames_total');
    return frames / this.#metrics.read('relay_broadcast_writes_total');
  }

  async stop(): Promise<void> {
    for (const consumer of this.#hub.consumers) consumer.reset('admin');
    await this.#loop.stop();
  }
}

/** `ws.send` of every frame to every consumer. */
class EachSender implements Sender {
  readonly server = createServer();
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

  constructor() {
    upgradeAll(this.server, this.#sockets);
  }

  commit(count: number): void {
    for (let i = 0; i < count; i++) for (const ws of this.#sockets.clients) ws.send(MESSAGE);
  }

  behindBytes(): number {
    let most = 0;
    for (const ws of this.#sockets.clients) most = Math.max(most, ws.bufferedAmount);
    return most;
  }

  framesPerWrite(): number {
    return 1;
  }

  async stop(): Promise<void> {
    for (const ws of this.#sockets.clients) ws.terminate();
  }
}

/** The least there is: the same bytes in gathered writes, with no look at who gets them. */
class BareSender implements Sender {
  readonly server = createServer();
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #raw: Socket[] = [];
  #waitingCount = 0;
  #frameCount = 0;
  #writeCount = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    upgradeAll(this.server, this.#sockets, (_, socket) => this.#raw.push(socket));
  }

  commit(count: number): void {
    this.#waitingCount += count;
    if (this.#waitingCount * WIRE_FRAME.length >= GATHER_BYTES) this.#flush();
    else {
      const gatherMs = GATHER_MS_PER_CONSUMER * this.#raw.length;
      this.#timer ??= setTimeout(() => this.#flush(), gatherMs);
    }
  }

  behindBytes(): number {
    let most = 0;
    for (const socket of this.#raw) most = Math.max(most, socket.writableLength);
    return most;
  }

  framesPerWrite(): number {
    return this.#frameCount / this.#writeCount;
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    for (const socket of this.#raw) socket.destroy();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const piece = Buffer.concat(new Array<Buffer>(this.#waitingCount).fill(WIRE_FRAME));
    this.#frameCount += this.#waitingCount;
    this.#writeCount += 1;
    this.#waitingCount = 0;
    for (const socket of this.#raw) socket.write(piece);
  }
}

function upgradeAll(
  server: Server,
  sockets: WebSocketServer,
  onOpen: (ws: WebSocket, socket: Socket) => void = () => {},
): void {
  server.on('upgrade', (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (ws) => {
      ws.on('error', () => {});
      sockets.emit('connection', ws, request);
      onOpen(ws, socket as Socket);
    });
  });
}

/** How the frames come: so many each time, at once or after a pause. */
type Load = { readonly frameCount: number; readonly frames: number; readonly pauseMs: number };

/** A sender with its readers. */
class Lane {
  readonly #sender: Sender;
  readonly #worker = new Worker(new URL('./fanout-peer.ts', import.meta.url));
  readonly #readerCount: number;

  constructor(sender: Sender, readerCount: number) {
    this.#sender = sender;
    this.#readerCount = readerCount;
  }

  async start(): Promise<void> {
    const { server } = this.#sender;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await this.#ask({ kind: 'open', port, count: this.#readerCount });
  }

  framesPerWrite(): number {
    return this.#sender.framesPerWrite();
  }

  /** CPU µs of this thread per frame and consumer. */
  async measure(load: Load): Promise<number> {
    const done = this.#ask({ kind: 'expect', bytes: load.frameCount * WIRE_FRAME.length });
    const start = threadMicros();
    let handedIn = 0;
    for (let sent = 0; sent < load.frameCount; sent += load.frames) {
      const before = threadMicros();
      this.#sender.commit(load.frames);
      if (this.#sender instanceof HubSender) handedIn += threadMicros() - before;
      if (load.pauseMs > 0) await pause(load.pauseMs);
      else await nextTurn();
      // Not turn by turn: looking costs time of the thread that is measured.
      while (this.#sender.behindBytes() > BEHIND_BYTES_MAX) await pause(BEHIND_PAUSE_MS);
    }
    await done;
    const micros = threadMicros() - start - handedIn;
    return micros / (load.frameCount * this.#readerCount);
  }

  async stop(): Promise<void> {
    await this.#sender.stop();
    await this.#worker.terminate();
    this.#sender.server.closeAllConnections();
    await new Promise((resolve) => this.#sender.server.close(resolve));
  }

  async #ask(order: ReaderOrder): Promise<void> {
    const answer = once(this.#worker, 'message');
    this.#worker.postMessage(order);
    await answer;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function threadMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

async function runLoad(
  readerCount: number,
  load: Load,
  title: string,
  scale: Scale,
  print: Print,
): Promise<void> {
  const lanes = {
    hub: new Lane(new HubSender(), readerCount),
    each: new Lane(new EachSender(), readerCount),
    bare: new Lane(new BareSender(), readerCount),
  };
  try {
    for (const lane of Object.values(lanes)) await lane.start();
    const variants = [
      { name: 'the relay: hub', measure: () => lanes.hub.measure(load) },
      { name: 'ws.send, frame by frame', measure: () => lanes.each.measure(load) },
      { name: 'bare gathered socket.write', measure: () => lanes.bare.measure(load) },
    ];
    await compare(title, variants, scale, print);
    const gathered = Object.values(lanes).map((lane) => lane.framesPerWrite().toFixed(1));
    print(`  frames per write: ${gathered.join(', ')}`);
  } finally {
    for (const lane of Object.values(lanes)) await lane.stop();
  }
}

async function run(scale: Scale, print: Print): Promise<void> {
  const smaller = scale.isSmoke ? 50 : 1;
  const title = (readers: number, how: string): string =>
    `fan-out: frames of 5 KiB to ${readers} consumers, ${how}; CPU of main per frame and consumer`;
  for (const [readerCount, frameCount] of [[10, 4000] as const, [100, 1000] as const]) {
    const load = { frameCount: frameCount / smaller, frames: 20, pauseMs: 0 };
    await runLoad(readerCount, load, title(readerCount, 'as fast as they go'), scale, print);
  }
  const live = { frameCount: 200 / smaller, frames: 1, pauseMs: 2 };
  await runLoad(100, live, title(100, 'one each 2 ms'), scale, print);
}

export const fanoutBench: Bench = {
  name: 'fanout',
  about: 'sending frames to consumers, against ws.send and bare gathered writes',
  run,
};
