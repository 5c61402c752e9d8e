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
import { BareSender, EachSender, HubSender, type Sender, WIRE_BYTES } from './fanout-senders.ts';
import { type Bench, compare, type Print, type Scale, type Variant } from './rounds.ts';

/** How the frames come: so many in a commit, after some commits a pause. */
type Load = {
  readonly frameCount: number;
  readonly frames: number;
  readonly commits: number;
  readonly pauseMs: number;
};

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
    this.#expectedBytes += load.frameCount * WIRE_BYTES;
    const order = { lane: this.#id, kind: 'expect', bytes: this.#expectedBytes } as const;
    const done = this.#readers.ask(order);
    const start = threadMicros();
    for (let sent = 0; sent < load.frameCount; sent += load.commits * load.frames) {
      for (let i = 0; i < load.commits; i++) this.#sender.append(load.frames);
      await pause(load.pauseMs);
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
      (await lane.measure(load)) / (load.frameCount * readerCount);
    const variants = [
      { name: 'the relay: hub', measure: () => costOf(lanes.hub) },
      { name: 'ws.send, frame by frame', measure: () => costOf(lanes.each) },
      { name: 'bare gathered socket.write', measure: () => costOf(lanes.bare) },
    ];
    const readersText = readerCount === 1 ? 'one consumer' : `${readerCount} consumers`;
    const commits = load.frames === 1 ? 'single commits' : `commits of ${load.frames}`;
    const title = `fan-out: 5 KiB to ${readersText}, ${commits}; CPU of main per frame and consumer`;
    await compare(title, variants, scale, print);
    const gathered = Object.values(lanes).map((lane) => lane.framesPerWrite().toFixed(1));
    print(`  frames per write: ${gathered.join(', ')}`);
  } finally {
    for (const lane of Object.values(lanes)) await lane.stop();
  }
}

/** Nobody listens: what a commit costs, whatever is in it (D39). */
async function runIdle(readers: ReaderProcess, scale: Scale, print: Print): Promise<void> {
  const commitCount = scale.isSmoke ? 4 : 200;
  const lanes = [0, 0, 1].map((count) => new Lane(new HubSender(), readers, count));
  try {
    for (const lane of lanes) await lane.start();
    const variant = (name: string, lane: Lane | undefined, frames: number): Variant => ({
      name,
      measure: async () => {
        const load = { frameCount: commitCount * frames, frames, commits: 1, pauseMs: 2 };
        return ((await lane?.measure(load)) ?? Number.NaN) / commitCount;
      },
    });
    const variants = [
      variant('no consumer, one frame in each', lanes[0], 1),
      variant('no consumer, 100 frames in each', lanes[1], 100),
      variant('one consumer, 100 frames in each', lanes[2], 100),
    ];
    const title = 'fan-out: CPU of main per commit, one each 2 ms, with what orders the commits';
    await compare(title, variants, scale, print);
  } finally {
    for (const lane of lanes) await lane.stop();
  }
}

/** As fast as consumers take it: then commits are large, here half of the largest. */
const BUSY_FRAMES = 100;
const BUSY_PAUSE_MS = 1;
/** With few consumers, more between pauses: what orders the frames costs time of this thread too. */
const BUSY_SIZES: readonly (readonly [readerCount: number, frames: number, commits: number])[] = [
  [1, 20_000, 4],
  [10, 4000, 1],
  [100, 800, 1],
  [1000, 100, 1],
];
const LIVE_READERS = 100;
const SMOKE_READERS_MAX = 10;

async function run(scale: Scale, print: Print): Promise<void> {
  const readers = new ReaderProcess();
  try {
    for (const [readerCount, allFrames, commits] of BUSY_SIZES) {
      if (scale.isSmoke && readerCount > SMOKE_READERS_MAX) continue;
      const frameCount = scale.isSmoke ? BUSY_FRAMES * commits : allFrames;
      const load = { frameCount, frames: BUSY_FRAMES, commits, pauseMs: BUSY_PAUSE_MS };
      await runLoad(readers, readerCount, load, scale, print);
    }
    const live = { frameCount: scale.isSmoke ? 4 : 400, frames: 1, commits: 1, pauseMs: 2 };
    const liveReaders = scale.isSmoke ? SMOKE_READERS_MAX : LIVE_READERS;
    await runLoad(readers, liveReaders, live, scale, print);
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
