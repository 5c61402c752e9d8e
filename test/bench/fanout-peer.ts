/** The consumers of fanout.bench.ts: raw sockets that count bytes and throw them away. */
import { connect } from 'node:net';
import { parentPort } from 'node:worker_threads';
import { handshake } from '../broadcast/world.ts';
import type { ReaderOrder } from './fanout.bench.ts';

const HEAD_END = '\r\n\r\n';
const port = parentPort as NonNullable<typeof parentPort>;
const received: number[] = [];
let wantedBytes = Number.POSITIVE_INFINITY;
let doneCount = 0;

function open(target: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const index = received.push(0) - 1;
  const socket = connect(target, '127.0.0.1');
  let head = '';
  let isOpen = false;
  socket.on('error', reject);
  socket.on('connect', () => socket.write(handshake()));
  socket.on('data', (chunk: Buffer) => {
    if (isOpen) {
      count(index, chunk.length);
      return;
    }
    head += chunk.toString('latin1');
    if (!head.includes(HEAD_END)) return;
    isOpen = true;
    resolve();
  });
  return promise;
}

function count(index: number, bytes: number): void {
  const before = received[index] ?? 0;
  received[index] = before + bytes;
  if (before < wantedBytes && before + bytes >= wantedBytes) doneCount += 1;
  if (doneCount === received.length) {
    doneCount = 0;
    wantedBytes = Number.POSITIVE_INFINITY;
    port.postMessage('done');
  }
}

port.on('message', async (order: ReaderOrder) => {
  if (order.kind === 'expect') {
    received.fill(0);
    wantedBytes = order.bytes;
    return;
  }
  // A listener's backlog is not endless.
  for (let i = 0; i < order.count; i++) await open(order.port);
  port.postMessage('open');
});
