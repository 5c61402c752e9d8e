/**
 * What it costs main to send one frame to one consumer: the real hub with its loop and real
 * sockets, against `ws.send` of each frame and against bare gathered writes of the same bytes. CPU
 * time of this thread; frames are committed by another, consumers are another process.
 *
 * All senders wait for consumers that are behind: what waits in a full socket is gathered when it
 * drains, so that under overload `ws.send` would not be frame by frame any more.
 */
import type { AddressInfo } from 'node:net';
import { ReaderProcess } from './fanout-readers.ts';
import {
  BareSender,
  EachSender,
  type FeedOrder,
  HubSender,
  type Sender,
  WIRE_BYTES,
} from './fanout-senders.ts';
import { type Bench, compare, type Print, type Scale, type Variant } from './rounds.ts';

/** How the frames come: orders to the feeding thread, one after another. */
type Load = { readonly orders: number; readonly order: FeedOrder };

function framesOf({ orders, order }: Load): number {
  return orders * order.commits * order.frames;
}

const BEHIND_PAUSE_MS = 1;

/** A sender with its readers. */
class Lane {
  readonly #sender: Sender;
  readonly #readers: ReaderProcess;
  readonly #readerCount: number;
  readonly #id: number;
  #expectedBytes = 0;

  constructor(sender: Sender, readers: ReaderProcess, readerCount: number) {
    this.#sender = sender;
    this.#readers = readers;
    this.#readerCount = readerCount;
    this.#id = readers.nextLane();
  }

  async start(): Promise<void> {
    const { server } = this.#sender;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await this.#readers.ask({ lane: this.#id, kind: 'open', port, count: this.#readerCount });
  }

  framesPerWrite(): number {
    return this.#sender.framesPerWrite();
  }

  /** CPU µs of this thread, in all. */
  async measure(load: Load): Promise<number> {
    this.#expectedBytes += framesOf(load) * WIRE_BYTES;
    const order = { lane: this.#id, kind: 'expect', bytes: this.#expectedBytes } as const;
    const done = this.#readers.ask(order);
    const start = threadMicros();
    for (let i = 0; i < load.orders; i++) {
      this.#sender.append(load.order);
      await pause(Math.max(1, load.order.commits * load.order.pauseMs));
      // Not turn by turn: looking costs time of the thread that is measured.
      while (this.#sender.waitingBytes() > 0) await pause(BEHIND_PAUSE_MS);
    }
    await done;
    return threadMicros() - start;
  }

  async stop(): Promise<void> {
    await this.#sender.stop();
    this.#readers.tell({ lane: this.#id, kind: 'close' });
    this.#sender.server.closeAllConnections();
    await new Promise((resolve) => this.#sender.server.close(resolve));
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
  readers: ReaderProcess,
  readerCount: number,
  load: Load,
  scale: Scale,
  print: Print,
): Promise<void> {
  const lanes = {
    hub: new Lane(new HubSender(), readers, readerCount),
    each: new Lane(new EachSender(), readers, readerCount),
    bare: new Lane(new BareSender(), readers, readerCount),
  };
  try {
    for (const lane of Object.values(lanes)) await lane.start();
    const costOf = async (lane: Lane): Promise<number> =>
      (await lane.measure(load)) / (framesOf(load) * readerCount);
    const variants = [
      { name: 'the relay: hub', measure: () => costOf(lanes.hub) },
      { name: 'ws.send, frame by frame', measure: () => costOf(lanes.each) },
      { name: 'bare gathered socket.write', measure: () => costOf(lanes.bare) },
    ];
    const readersText = readerCount === 1 ? 'one consumer' : `${readerCount} consumers`;
    const { frames, pauseMs } = load.order;
    const pace = pauseMs > 0 ? `one each ${pauseMs} ms` : `commits of ${frames}`;
    const title = `fan-out: 5 KiB to ${readersText}, ${pace}; CPU of main per frame and consumer`;
    await compare(title, variants, scale, print);
    const gathered = Object.values(lanes).map((lane) => lane.framesPerWrite().toFixed(1));
    print(`  frames per write: ${gathered.join(', ')}`);
  } finally {
    for (const lane of Object.values(lanes)) await lane.stop();
  }
}

/** Nobody listens: what a commit costs, whatever is in it (D39). */
async function runIdle(readers: ReaderProcess, scale: Scale, print: Print): Promise<void> {
  const orders = scale.isSmoke ? 1 : 5;
  const commits = scale.isSmoke ? 4 : 100;
  const lanes = [0, 0, 1].map((count) => new Lane(new HubSender(), readers, count));
  try {
    for (const lane of lanes) await lane.start();
    const variant = (name: string, lane: Lane | undefined, frames: number): Variant => ({
      name,
      measure: async () => {
        const load = { orders, order: { commits, frames, pauseMs: IDLE_PAUSE_MS } };
        return ((await lane?.measure(load)) ?? Number.NaN) / (orders * commits);
      },
    });
    const variants = [
      variant('no consumer, one frame in each', lanes[0], 1),
      variant('no consumer, 100 frames in each', lanes[1], 100),
      variant('one consumer, 100 frames in each', lanes[2], 100),
    ];
    const title = `fan-out: nobody listens; CPU of main per commit, one each ${IDLE_PAUSE_MS} ms`;
    await compare(title, variants, scale, print);
  } finally {
    for (const lane of lanes) await lane.stop();
  }
}

type Row = Load & { readonly readerCount: number };

/** Live: 2,000 single commits a second, so far as consumers take them. */
function live(readerCount: number, frames: number): Row {
  const order = { commits: 100, frames: 1, pauseMs: 0.5 };
  return { readerCount, orders: frames / order.commits, order };
}

/** As fast as consumers take it: then commits are large, here half of the largest. */
function busy(readerCount: number, frames: number): Row {
  const order = { commits: 1, frames: 100, pauseMs: 0 };
  return { readerCount, orders: frames / order.frames, order };
}

const ROWS: readonly Row[] = [
  live(1, 2000),
  live(10, 1000),
  live(100, 400),
  busy(10, 8000),
  busy(100, 800),
  busy(1000, 100),
];
const SMOKE_ROWS: readonly Row[] = [live(1, 100), busy(10, 100)];
const IDLE_PAUSE_MS = 2;

async function run(scale: Scale, print: Print): Promise<void> {
  const readers = new ReaderProcess();
  try {
    for (const row of scale.isSmoke ? SMOKE_ROWS : ROWS) {
      await runLoad(readers, row.readerCount, row, scale, print);
    }
    await runIdle(readers, scale, print);
  } finally {
    readers.stop();
  }
}

export const fanoutBench: Bench = {
  name: 'fanout',
  about: 'sending frames to consumers, against ws.send and bare gathered writes',
  run,
};
