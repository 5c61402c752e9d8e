/** A consumer's writes: which callback tells that the kernel has taken a piece. */
import { EventEmitter, once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
import { KiB } from '../../lib/base/units.ts';
import { Chunk, ChunkMemory } from '../../lib/broadcast/chunk.ts';
import { Consumer } from '../../lib/broadcast/consumer.ts';

const BYTES = 256 * KiB;

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
