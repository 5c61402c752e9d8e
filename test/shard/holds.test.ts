/** What waits for a key is counted apart from what waits for a row. */
import t from 'tap';
import { allocateRing } from '../../lib/ring/descriptor.ts';
import { HeldArena } from '../../lib/ring/held-arena.ts';
import { Holds } from '../../lib/shard/holds.ts';

t.test('bytes of identity holds follow what each queue waits for', async (t) => {
  const holds = new Holds(new HeldArena(allocateRing(4096)));
  const frame = Buffer.alloc(100);
  const row = holds.hold('did:a', 'state', frame, 0, 100);
  const key = holds.hold('did:b', 'identity', frame, 0, 100);
  holds.hold('did:b', 'identity', frame, 0, 50);
  if (row === undefined || key === undefined) throw new Error('the arena has room');
  t.equal(holds.identityBytes, 150);
  holds.setCause(row, 'identity');
  t.equal(holds.identityBytes, 250);
  holds.setCause(key, 'state');
  t.equal(holds.identityBytes, 100);
  holds.setCause(key, 'identity');
  holds.finishFirst(key);
  t.equal(holds.identityBytes, 150);
  holds.finishFirst(key);
  holds.finishFirst(row);
  t.equal(holds.identityBytes, 0);
  t.equal(holds.queueCount, 0);
});
