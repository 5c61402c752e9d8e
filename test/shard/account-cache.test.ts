/** What stays in memory, and what may go. */
import fc from 'fast-check';
import t from 'tap';
import { Account } from '../../lib/shard/account.ts';
import { AccountCache } from '../../lib/shard/account-cache.ts';

type Pin = (account: Account) => void;
const PINS: Readonly<Record<string, Pin>> = {
  pendingCount: (account) => {
    account.pendingCount = 1;
  },
  isDirty: (account) => {
    account.isDirty = true;
  },
  isQueued: (account) => {
    account.isQueued = true;
  },
  flushCount: (account) => {
    account.flushCount = 1;
  },
  isHeld: (account) => {
    account.isHeld = true;
  },
  isResolving: (account) => {
    account.isResolving = true;
  },
};

for (const [name, pin] of Object.entries(PINS)) {
  t.test(`G10: an account with ${name} set stays`, async (t) => {
    const cache = new AccountCache(3);
    const pinned = new Account('did:plc:pinned');
    pin(pinned);
    cache.add(pinned);
    for (let i = 0; i < 50; i++) cache.add(new Account(`did:plc:${i}`));
    t.equal(cache.get(pinned.did), pinned);
    t.equal(cache.count, 3);
  });
}

t.test('an account that is used stays longer than one that is not', async (t) => {
  const cache = new AccountCache(4);
  for (let i = 0; i < 4; i++) cache.add(new Account(`did:plc:${i}`));
  // One lap clears the marks.
  cache.add(new Account('did:plc:4'));
  const kept = [0, 1, 2, 3].filter((i) => cache.get(`did:plc:${i}`) !== undefined);
  t.equal(kept.length, 3);
  cache.add(new Account('did:plc:5'));
  t.ok(kept.filter((i) => cache.get(`did:plc:${i}`) !== undefined).length >= 2);
});

t.test('the same account twice is a bug of ours', async (t) => {
  const cache = new AccountCache(4);
  cache.add(new Account('did:plc:a'));
  t.throws(() => cache.add(new Account('did:plc:a')), { message: 'account is cached already' });
});

t.test('G26: never more than the bound and what is pinned; nothing pinned is lost', async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.array(fc.record({ is: fc.constantFrom('add', 'pin', 'unpin', 'get'), n: fc.nat(30) }), {
        maxLength: 120,
      }),
      (countMax, steps) => {
        const cache = new AccountCache(countMax);
        const pinned = new Map<string, Account>();
        let pinnedMost = 0;
        for (const { is, n } of steps) {
          const did = `did:plc:${n}`;
          const account = cache.get(did);
          if (is === 'add' && account === undefined) cache.add(new Account(did));
          if (is === 'pin' && account !== undefined) {
            account.isDirty = true;
            pinned.set(did, account);
          }
          if (is === 'unpin' && account !== undefined) {
            account.isDirty = false;
            pinned.delete(did);
          }
          pinnedMost = Math.max(pinnedMost, pinned.size);
          for (const [pinnedDid, one] of pinned) {
            if (cache.get(pinnedDid) !== one) throw new Error(`${pinnedDid} went`);
          }
          if (cache.count > Math.max(countMax, pinnedMost + 1)) throw new Error('too many');
        }
      },
    ),
    { numRuns: 300 },
  );
});
