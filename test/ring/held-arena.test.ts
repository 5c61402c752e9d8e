/** Frames that wait: finished in any order, found again by a successor. */
import t from 'tap';
import { allocateRing } from '../../lib/ring/descriptor.ts';
import { HeldArena } from '../../lib/ring/held-arena.ts';

function text(arena: HeldArena, entry: number): string {
  const start = arena.recordStart(entry);
  return arena.bytes.toString('latin1', start, start + arena.recordBytes(entry));
}

function held(arena: HeldArena): string[] {
  const all: string[] = [];
  arena.forEachHeld((entry) => all.push(text(arena, entry)));
  return all;
}

t.test('space comes back when the oldest is finished, in whatever order', async (t) => {
  const arena = new HeldArena(allocateRing(1024));
  const entries = ['a', 'b', 'c'].map((name) => {
    const source = Buffer.alloc(200, name);
    return arena.hold(source, 0, source.length);
  });
  const used = arena.usedBytes();
  arena.finish(entries[1] ?? -1);
  t.equal(arena.usedBytes(), used, 'the oldest still pins it');
  t.same(
    held(arena).map((s) => s[0]),
    ['a', 'c'],
  );
  arena.finish(entries[0] ?? -1);
  t.ok(arena.usedBytes() < used / 2);
  arena.finish(entries[2] ?? -1);
  t.equal(arena.usedBytes(), 0);
  t.equal(arena.heldCount, 0);
});

t.test('a full arena says so and keeps what it has', async (t) => {
  const arena = new HeldArena(allocateRing(1024));
  const source = Buffer.alloc(200, 'x');
  let count = 0;
  while (arena.hold(source, 0, 200) >= 0) count += 1;
  t.ok(count >= 4);
  t.equal(held(arena).length, count);
});

t.test('a successor finds every waiting frame, across many laps', async (t) => {
  const memory = allocateRing(4096);
  const arena = new HeldArena(memory);
  const waiting: number[] = [];
  for (let i = 0; i < 500; i++) {
    const source = Buffer.from(`frame ${i} ${'.'.repeat(i % 300)}`);
    const entry = arena.hold(source, 0, source.length);
    if (entry >= 0) waiting.push(entry);
    // Finish something in the middle, then the oldest.
    if (waiting.length > 4) {
      arena.finish(waiting.splice(2, 1)[0] ?? -1);
      arena.finish(waiting.shift() ?? -1);
    }
  }
  const successor = new HeldArena(memory);
  t.same(
    held(successor),
    waiting.map((entry) => text(arena, entry)),
  );
  t.equal(successor.heldCount, waiting.length);
});
