/** Memory of pieces: used again, but never while a socket still needs it. */
import t from 'tap';
import { KiB, MiB } from '../../lib/base/units.ts';
import { Chunk, ChunkMemory } from '../../lib/broadcast/chunk.ts';
import { messageOf, rawClient, until, World } from './world.ts';

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

t.test('G2: bytes of a stalled consumer stay what they were while others are served', async (t) => {
  const world = await new World({ tailBytes: 16 * MiB, hub: { gatherMsMin: 0 } }).listen();
  t.teardown(() => world.stop());
  const socket = await rawClient(world.port);
  await until(() => world.hub.size === 1);
  socket.pause();
  const [stalled] = world.hub.consumers;
  while ((stalled?.waitingBytes ?? 0) === 0) {
    world.append(10, 10_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const live = await rawClient(world.port);
  live.resume();
  await until(() => world.hub.size === 2);
  // Enough for the memory in hand to be used again many times.
  for (let i = 0; i < 100; i++) {
    world.append(10, 10_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const last = world.log.lastSeq;
  const parts: Buffer[] = [];
  let bytes = 0;
  socket.on('data', (data: Buffer) => {
    parts.push(data);
    bytes += data.length;
  });
  socket.resume();
  const wireBytes = 4 + 10_000;
  await until(() => bytes > last * wireBytes);
  const all = Buffer.concat(parts);
  let at = all.indexOf('\r\n\r\n') + 4;
  let wrong = 0;
  for (let seq = 1; seq <= last; seq++) {
    const message = all.subarray(at + 4, at + wireBytes);
    if (!message.equals(messageOf(seq, 10_000))) wrong++;
    at += wireBytes;
  }
  t.equal(wrong, 0, `${last} frames, every byte`);
  socket.destroy();
  live.destroy();
});
