/**
 * The consumers of fanout.bench.ts, in a process of their own: raw sockets that count bytes and
 * throw them away. Ends with the bench.
 */
import { connect, type Socket } from 'node:net';
import { handshake } from '../broadcast/world.ts';
import type { ReaderOrder } from './fanout-readers.ts';

const HEAD_END = '\r\n\r\n';

/** Consumers of one sender. */
class Lane {
  readonly #id: number;
  readonly #sockets: Socket[] = [];
  readonly #received: number[] = [];
  #wantedBytes = Number.POSITIVE_INFINITY;
  #doneCount = 0;

  constructor(id: number) {
    this.#id = id;
  }

  async open(port: number, count: number): Promise<void> {
    // One after another: a listener's backlog is not endless.
    for (let i = 0; i < count; i++) await this.#openOne(port);
    this.#answer();
  }

  /** Some of it may have come already: this order takes another way than the frames. */
  expect(bytes: number): void {
    this.#wantedBytes = bytes;
    this.#doneCount = this.#received.filter((own) => own >= bytes).length;
    this.#answerIfDone();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #openOne(port: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const index = this.#received.push(0) - 1;
    const socket = connect(port, '127.0.0.1');
    this.#sockets.push(socket);
    let head = '';
    let isOpen = false;
    socket.on('error', () => socket.destroy());
    socket.on('connect', () => socket.write(handshake()));
    socket.on('data', (chunk: Buffer) => {
      if (isOpen) {
        this.#count(index, chunk.length);
        return;
      }
      head += chunk.toString('latin1');
      if (!head.includes(HEAD_END)) return;
      isOpen = true;
      resolve();
    });
    return promise;
  }

  #count(index: number, bytes: number): void {
    const before = this.#received[index] ?? 0;
    this.#received[index] = before + bytes;
    if (before >= this.#wantedBytes || before + bytes < this.#wantedBytes) return;
    this.#doneCount++;
    this.#answerIfDone();
  }

  #answerIfDone(): void {
    if (this.#doneCount < this.#received.length) return;
    this.#wantedBytes = Number.POSITIVE_INFINITY;
    this.#answer();
  }

  #answer(): void {
    process.send?.(this.#id);
  }
}

const lanes = new Map<number, Lane>();

process.on('message', (order: ReaderOrder) => {
  const lane = lanes.get(order.lane) ?? new Lane(order.lane);
  lanes.set(order.lane, lane);
  if (order.kind === 'open') void lane.open(order.port, order.count);
  else if (order.kind === 'expect') lane.expect(order.bytes);
  else {
    lane.close();
    lanes.delete(order.lane);
  }
});
process.on('disconnect', () => process.exit(0));
