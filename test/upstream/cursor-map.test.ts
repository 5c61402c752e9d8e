import fc from 'fast-check';
import t from 'tap';
import { CursorMap, type CursorSlot } from '../../lib/upstream/cursor-map.ts';

function claim(map: CursorMap, hostId: number, cursor: number | null = null): CursorSlot {
  const slot = map.claim(hostId, cursor);
  if (slot === undefined) throw new Error('no slot');
  return slot;
}

t.test('D20: whoever held the slot before writes into the void', async (t) => {
  const map = new CursorMap({ slotsMax: 4 });
  const old = claim(map, 1, 10);
  map.release(old);
  const fresh = claim(map, 2, 500);
  t.equal(fresh.index, old.index, 'the slot is used again');
  t.equal(map.setRouted(old, 999), false);
  map.setStored(old, 999);
  map.release(old);
  t.equal(map.last(fresh), 500);
  t.equal(map.last(old), null);
  t.equal(map.usedCount, 1);
  t.same(map.takeChanged(), []);
});

t.test('D19: 50,000 hosts come and go through 4,096 slots', async (t) => {
  const map = new CursorMap({ slotsMax: 4096 });
  const held: CursorSlot[] = [];
  for (let hostId = 0; hostId < 50_000; hostId++) {
    if (held.length === 4096) map.release(held.shift() as CursorSlot);
    held.push(claim(map, hostId));
  }
  t.equal(map.usedCount, 4096);
  t.equal(map.claim(99_999, null), undefined, 'a full map says so');
  map.release(held[0] as CursorSlot);
  t.ok(map.claim(99_999, null));
});

t.test('G9: only what changed is handed out, once, with its last value', async (t) => {
  const map = new CursorMap({ slotsMax: 8 });
  const a = claim(map, 1, 10);
  const b = claim(map, 2, 20);
  claim(map, 3, 30);
  map.setRouted(a, 11);
  map.setRouted(b, 25);
  map.setRouted(a, 12);
  t.same(map.takeChanged(), [
    { hostId: 1, hostSeq: 12 },
    { hostId: 2, hostSeq: 25 },
  ]);
  t.same(map.takeChanged(), []);
  map.setRouted(b, 3);
  t.same(map.takeChanged(), [{ hostId: 2, hostSeq: 3 }], 'a host that renumbered goes back');
});

t.test('a stored cursor is no change; none at all is null', async (t) => {
  const map = new CursorMap({ slotsMax: 8 });
  const slot = claim(map, 1);
  t.equal(map.last(slot), null);
  map.setStored(slot, 0);
  t.equal(map.last(slot), 0);
  t.same(map.takeChanged(), []);
});

t.test('C3: the cursor of a released slot still goes to the next checkpoint', async (t) => {
  const map = new CursorMap({ slotsMax: 8 });
  const slot = claim(map, 1, 10);
  map.setRouted(slot, 15);
  map.release(slot);
  const again = claim(map, 1, 10);
  t.same(map.takeChanged(), [{ hostId: 1, hostSeq: 15 }]);
  map.setRouted(again, 16);
  t.same(map.takeChanged(), [{ hostId: 1, hostSeq: 16 }]);
});

t.test('property: like a plain map of host to last seq', async () => {
  const step = fc.tuple(
    fc.constantFrom('claim', 'route', 'release', 'take'),
    fc.nat(9),
    fc.nat(99),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const map = new CursorMap({ slotsMax: 100 });
      const slots = new Map<number, CursorSlot>();
      const changed = new Map<number, number>();
      for (const [what, hostId, hostSeq] of steps) {
        const slot = slots.get(hostId);
        if (what === 'claim' && slot === undefined) slots.set(hostId, claim(map, hostId));
        if (what === 'route' && slot !== undefined) {
          map.setRouted(slot, hostSeq);
          changed.set(hostId, hostSeq);
          if (map.last(slot) !== hostSeq) return false;
        }
        if (what === 'release' && slot !== undefined) {
          map.release(slot);
          slots.delete(hostId);
        }
        if (what === 'take') {
          const taken = new Map(map.takeChanged().map((row) => [row.hostId, row.hostSeq]));
          if (taken.size !== changed.size) return false;
          for (const [id, seq] of changed) if (taken.get(id) !== seq) return false;
          changed.clear();
        }
      }
      return map.usedCount === slots.size;
    }),
    { numRuns: 500 },
  );
});
