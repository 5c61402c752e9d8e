/**
 * Frames from main to another thread: the ingest ring as main uses it (route, copy, ring the bell),
 * against `postMessage` one by one and 64 at a time. The other thread reads a byte of each.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { nextTurn } from '../../lib/base/clock.ts';
import { MiB } from '../../lib/base/units.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { allocateRing } from '../../lib/ring/descriptor.ts';
import { type RoutedMeta, Router } from '../../lib/shard/router.ts';
import { allocateWords, Words } from '../../lib/shared/regions.ts';
import { KIND_COMMIT } from '../../lib/wire/kinds.ts';
import { type Bench, compare, type Print, type Scale } from './rounds.ts';

export const FRAME_BYTES = 5 * 1024;
/** Frames in one message of the 64-at-a-time variant. */
export const GROUP_FRAMES = 64;
/** Messages that may be under way: memory is bounded, and no variant is. */
const WINDOW_FRAMES = 1024;
const RING_BYTES = 32 * MiB;

/** What main asks the other thread for: read so many frames and say when. */
export type RingOrder = { readonly kind: 'ring' | 'messages'; readonly frameCount: number };
/** What it answers. */
export type RingAnswer = { readonly readCount: number };

class Lane {
  readonly #worker: Worker;
  readonly #router: Router;
  readonly #words: Words;
  readonly #meta: RoutedMeta = {
    flags: 0,
    kind: KIND_COMMIT,
    hostId: 1,
    hostname: 'host.example.com',
    hostSeq: 1,
    arrivalMs: 1,
    didStart: 0,
    didEnd: 32,
  };
  #readCount = 0;
  #onRead: () => void = () => {};

  constructor() {
    const ring = allocateRing(RING_BYTES);
    const words = allocateWords();
    this.#words = new Words(words);
    this.#router = new Router([ring], [this.#words.shardBell(0)], new MetricWriter());
    const workerData = { ring, words };
    this.#worker = new Worker(new URL('./ring-peer.ts', import.meta.url), { workerData });
    this.#worker.on('message', ({ readCount }: RingAnswer) => {
      this.#readCount = readCount;
      this.#onRead();
    });
  }

  async start(): Promise<void> {
    await once(this.#worker, 'online');
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  async byRing(frame: Buffer, frameCount: number): Promise<number> {
    this.#order({ kind: 'ring', frameCount });
    const startMs = performance.now();
    const bell = this.#words.bell('bellMain');
    for (let sent = 0; sent < frameCount; ) {
      this.#meta.hostSeq = sent;
      if (this.#router.offer(frame, this.#meta)) sent += 1;
      else {
        bell.arm();
        if (this.#router.isHalfEmpty()) bell.disarm();
        else await bell.wait(10);
      }
    }
    await this.#until(frameCount);
    return (1000 * (performance.now() - startMs)) / frameCount;
  }

  async byMessages(frame: Buffer, frameCount: number, framesEach: number): Promise<number> {
    this.#order({ kind: 'messages', frameCount });
    const startMs = performance.now();
    for (let sent = 0; sent < frameCount; sent += framesEach) {
      while (sent - this.#readCount >= WINDOW_FRAMES) await nextTurn();
      if (framesEach === 1) this.#worker.postMessage(frame);
      else {
        const group = new Uint8Array(framesEach * frame.length);
        for (let i = 0; i < framesEach; i++) group.set(frame, i * frame.length);
        this.#worker.postMessage(group, [group.buffer]);
      }
    }
    await this.#until(frameCount);
    return (1000 * (performance.now() - startMs)) / frameCount;
  }

  #order(order: RingOrder): void {
    this.#readCount = 0;
    this.#worker.postMessage(order);
  }

  #until(readCount: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onRead = () => {
      if (this.#readCount >= readCount) resolve();
    };
    this.#onRead();
    return promise;
  }
}

async function run(scale: Scale, print: Print): Promise<void> {
  const lane = new Lane();
  await lane.start();
  // A Buffer from the pool would be cloned with the whole pool.
  const frame = Buffer.from(new Uint8Array(FRAME_BYTES).fill(0x61).buffer);
  const count = (full: number): number => (scale.isSmoke ? 2 * WINDOW_FRAMES : full);
  try {
    await compare(
      'ring: frames of 5 KiB from main to another thread; time per frame',
      [
        { name: 'the relay: ingest ring', measure: () => lane.byRing(frame, count(200_000)) },
        {
          name: 'postMessage, one frame each',
          measure: () => lane.byMessages(frame, count(20_480), 1),
        },
        {
          name: `postMessage, ${GROUP_FRAMES} frames in one transfer`,
          measure: () => lane.byMessages(frame, count(102_400), GROUP_FRAMES),
        },
      ],
      scale,
      print,
    );
  } finally {
    await lane.stop();
  }
}

export const ringBench: Bench = {
  name: 'ring',
  about: 'handing frames to another thread, against postMessage',
  run,
};
