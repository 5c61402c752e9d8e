/** Memory of pieces: used again, but never while a socket still needs it. */
import type { Socket } from 'node:net';
import t from 'tap';
import { KiB, MiB } from '../../lib/base/units.ts';
import { Chunk, ChunkMemory } from '../../lib/broadcast/chunk.ts';
import { messageOf, rawClient, until, World } from './world.ts';

const MESSAGE_BYTES = 10_000;
const WIRE_BYTES = 4 + MESSAGE_BYTES;
const PLACE = { end: 100, lastSeq: 1, isAtHead: false };

t.test('memory is used again once nobody holds the piece', async (t) => {
  const memory = new ChunkMemory();
  const first = memory.take(100 * KiB);
  t.equal(first.length, 128 * KiB, 'the next power of two');
  const chunk = new Chunk(first, 100 * KiB, PLACE, memory);
  t.equal(chunk.bytes.length, 100 * KiB);
  chunk.hold();
  chunk.release();
  t.not(memory.take(100 * KiB), first, 'one still holds it');
  chunk.release();
  t.equal(memory.take(128 * KiB), first);
  t.throws(() => chunk.release(), /twice/);
  t.throws(() => chunk.hold(), /given back/);
});

t.test('what is kept for later is bounded, and large pieces are not kept', async (t) => {
  const memory = new ChunkMemory();
  const many = Array.from({ length: 20 }, () => memory.take(256 * KiB));
  for (const buffer of many) memory.giveBack(buffer);
  t.equal(memory.idleBytes, 2 * MiB);
  const large = memory.take(300 * KiB);
  memory.giveBack(large);
  t.equal(memory.idleBytes, 2 * MiB);
  t.equal(memory.take(10).length, 16 * KiB);
});

/** Everything a raw client gets, and how many of the events 1 … `last` are not what they were. */
async function wrongFrames(socket: Socket, last: number): Promise<number> {
  const parts: Buffer[] = [];
  let bytes = 0;
  socket.on('data', (data: Buffer) => {
    parts.push(data);
    bytes += data.length;
  });
  socket.resume();
  await until(() => bytes > last * WIRE_BYTES);
  const all = Buffer.concat(parts);
  let at = all.indexOf('\r\n\r\n') + 4;
  let wrong = 0;
  for (let seq = 1; seq <= last; seq++) {
    const message = all.subarray(at + 4, at + WIRE_BYTES);
    if (!message.equals(messageOf(seq, MESSAGE_BYTES))) wrong++;
    at += WIRE_BYTES;
  }
  return wrong;
}

t.test('G2: bytes of a stalled consumer stay what they were while others are served', async (t) => {
  const world = await new World({ tailBytes: 16 * MiB, hub: { gatherMs: 0 } }).listen();
  t.teardown(() => world.stop());
  const socket = await rawClient(world.port);
  await until(() => world.hub.size === 1);
  socket.pause();
  const [stalled] = world.hub.consumers;
  while ((stalled?.waitingBytes ?? 0) === 0) {
    world.append(10, MESSAGE_BYTES);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const live = await rawClient(world.port);
  live.resume();
  await until(() => world.hub.size === 2);
  // Enough for the memory in hand to be used again many times.
  for (let i = 0; i < 100; i++) {
    world.append(10, MESSAGE_BYTES);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const last = world.log.lastSeq;
  t.equal(await wrongFrames(socket, last), 0, `${last} frames, every byte`);
  socket.destroy();
  live.destroy();
});

t.test('G2: of several pieces in one turn, the one that waits keeps its memory', async (t) => {
  const hub = { gatherMs: 0, chunkBytesMax: 32 * KiB };
  const world = await new World({ tailBytes: 32 * MiB, hub }).listen();
  t.teardown(() => world.stop());
  const socket = await rawClient(world.port);
  await until(() => world.hub.size === 1);
  socket.pause();
  world.isHeld = true;
  world.append(2000, MESSAGE_BYTES);
  const [stalled] = world.hub.consumers;
  const waits = (): boolean => (stalled?.waitingBytes ?? 0) > 0;
  // In one turn each time, so that no callback of a write comes before the last of them waits;
  // until the kernel takes no more at all.
  for (let quiet = 0; quiet < 5; quiet = waits() ? quiet + 1 : 0) {
    while (!waits()) world.hub.poll(world.clock.monoMs());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  world.isHeld = false;
  const live = await rawClient(world.port);
  live.resume();
  await until(() => world.hub.size === 2);
  for (let i = 0; i < 100; i++) {
    world.append(3, MESSAGE_BYTES);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const last = world.log.lastSeq;
  t.equal(await wrongFrames(socket, last), 0, `${last} frames, every byte`);
  socket.destroy();
  live.destroy();
});
