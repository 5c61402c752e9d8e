/** A consumer's writes: which callback tells that the kernel has taken a piece. */
import { EventEmitter, once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
import { KiB } from '../../lib/base/units.ts';
import { Chunk, ChunkMemory } from '../../lib/broadcast/chunk.ts';
import { Consumer } from '../../lib/broadcast/consumer.ts';

const BYTES = 256 * KiB;

/** A socket whose kernel takes what the test says. */
class StillSocket extends EventEmitter {
  writableLength = 0;
  readonly callbacks: ((error?: Error) => void)[] = [];
  isFull = false;

  write(bytes: Buffer, onWritten: (error?: Error) => void): void {
    if (this.isFull) this.writableLength += bytes.length;
    this.callbacks.push(onWritten);
  }
}

function still() {
  const socket = new StillSocket();
  const sent: string[] = [];
  const ws = Object.assign(new EventEmitter(), {
    readyState: WebSocket.OPEN as number,
    send: () => void sent.push('frame'),
    close: () => void sent.push('close'),
  });
  const events = { onFrame: () => {}, onGone: () => {}, onWritable: () => {} };
  const info = { id: 1 } as never;
  const consumer = new Consumer(info, ws as never, socket as never, 0, 0, events);
  return { socket, ws, sent, consumer };
}

t.test('G20, G26: nothing more is written while something waits', async (t) => {
  const { socket, consumer } = still();
  t.ok(consumer.isWritable);
  consumer.write(Buffer.alloc(10), 1);
  t.ok(consumer.isWritable, 'the kernel has it');
  socket.isFull = true;
  consumer.write(Buffer.alloc(10), 2);
  t.notOk(consumer.isWritable);
  socket.writableLength = 0;
  t.ok(consumer.isWritable);
});

t.test('FR-9: nothing is written behind a close frame, whoever sent it', async (t) => {
  const ours = still();
  const frame = Buffer.from('why');
  ours.consumer.end('too_slow', { code: 1008, reason: 'x', frame }, 1000);
  t.same(ours.sent, ['frame', 'close']);
  t.notOk(ours.consumer.isWritable);
  ours.consumer.writeInfo(frame);
  ours.consumer.end('admin', { code: 1000, reason: 'x', frame }, 1000);
  t.same(ours.sent, ['frame', 'close'], 'said once');
  t.equal(ours.consumer.endCause, 'too_slow');
  const theirs = still();
  theirs.ws.readyState = WebSocket.CLOSING;
  t.notOk(theirs.consumer.isWritable);
  t.ok(theirs.consumer.isClosing);
  theirs.consumer.end('too_slow', { code: 1008, reason: 'x', frame }, 1000);
  t.same(theirs.sent, []);
});

t.test('G2: memory of a piece whose write failed is not used again', async (t) => {
  const { socket, consumer } = still();
  const memory = new ChunkMemory();
  const bytes = memory.take(BYTES);
  const chunk = new Chunk(bytes, BYTES, { end: BYTES, lastSeq: 1, isAtHead: false }, memory);
  socket.isFull = true;
  consumer.writeChunk(chunk);
  chunk.release();
  socket.callbacks[0]?.(new Error('reset'));
  t.not(memory.take(BYTES), bytes);
});

t.test('G2: what an earlier write says does not give back a piece in flight', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const client = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  t.teardown(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  // Nobody reads what the client gets.
  client.pause();
  const ws = Object.assign(new EventEmitter(), { readyState: WebSocket.OPEN });
  let writableCount = 0;
  const events = { onFrame: () => {}, onGone: () => {}, onWritable: () => void writableCount++ };
  const consumer = new Consumer({ id: 1 } as never, ws as never, socket, 0, 0, events);
  const memory = new ChunkMemory();
  let inFlight: Buffer | undefined;
  // In one turn: the kernel takes the first of them at once, and says so in the next.
  for (let seq = 1; consumer.isWritable; seq++) {
    inFlight = memory.take(BYTES);
    const place = { end: seq * BYTES, lastSeq: seq, isAtHead: false };
    const chunk = new Chunk(inFlight, BYTES, place, memory);
    consumer.writeChunk(chunk);
    chunk.release();
  }
  await new Promise((resolve) => setImmediate(resolve));
  t.ok(consumer.waitingBytes > 0, 'the kernel has not taken all of it');
  t.equal(writableCount, 0);
  t.not(memory.take(BYTES), inFlight, 'and its memory is not used again');
  client.resume();
  while (consumer.waitingBytes > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(writableCount, 1);
  t.equal(memory.take(BYTES), inFlight, 'now it is');
});
