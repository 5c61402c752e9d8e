/** The fleet's builder of repos: the same seed gives the same bytes, and all of it is canonical. */
import t from 'tap';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import {
  accountFrame,
  commitFrame,
  errorFrame,
  identityFrame,
  infoFrame,
  syncFrame,
} from '../../scripts/fleet/event-frames.ts';
import { leavesOf } from '../../scripts/fleet/repo-tree.ts';
import { encodePost, SignedRepo } from '../../scripts/fleet/signed-repo.ts';

const DID = 'did:plc:z72i7hdynmk6r22z27h6tvur';
const TIME = '2026-09-21T14:13:20.000Z';
const EPOCH_MS = 1_790_000_000_000;

function history(curve: 'k256' | 'p256', seed: string): Buffer[] {
  const repo = new SignedRepo({ did: DID, seed, curve });
  const record = (text: string): Buffer => encodePost(text, TIME);
  const writes = [
    [{ action: 'create', path: 'a.b.c/1', record: record('one') }],
    [
      { action: 'create', path: 'a.b.c/2', record: record('two') },
      { action: 'update', path: 'a.b.c/1', record: record('first') },
    ],
    [{ action: 'delete', path: 'a.b.c/1' }],
    [],
  ] as const;
  const frames = writes.map((each, seq) =>
    commitFrame(repo.commit(each, { epochMs: EPOCH_MS }), { seq: seq + 1, time: TIME }),
  );
  return [...frames, syncFrame(repo.sync(), { seq: 9, time: TIME })];
}

t.test('the same seed gives the same bytes, another seed others', async (t) => {
  for (const curve of ['k256', 'p256'] as const) {
    t.same(history(curve, 'a'), history(curve, 'a'), curve);
    t.notSame(history(curve, 'a'), history(curve, 'b'), curve);
  }
});

t.test('FR-14: every frame is canonical, with the fields it was given', async (t) => {
  const stamp = { seq: 2 ** 40, time: TIME };
  const frames = [
    ...history('k256', 'a'),
    identityFrame({ did: DID }, stamp),
    identityFrame({ did: DID, handle: 'alice.example.com' }, stamp),
    accountFrame({ did: DID, active: true }, stamp),
    accountFrame({ did: DID, active: false, status: 'takendown' }, stamp),
  ];
  const peeked = new Peek();
  const view = new EventView();
  for (const frame of frames) {
    t.equal(peek(frame, peeked), 'event');
    t.equal(decodeEvent(frame, peeked.kind, view), undefined);
    t.equal(view.did, DID);
    t.ok(view.isCanonical);
  }
  t.equal(peek(infoFrame('OutdatedCursor', 'too old'), peeked), 'info');
  t.equal(peek(errorFrame('FutureCursor', 'too new'), peeked), 'error');
});

t.test('revs rise though the clock stands still, and since is the rev before', async (t) => {
  const repo = new SignedRepo({ did: DID, seed: 'revs' });
  let last: string | null = null;
  for (let i = 0; i < 5; i++) {
    const parts = repo.commit([], { epochMs: EPOCH_MS });
    t.equal(parts.since, last);
    t.ok(last === null || parts.rev > last);
    last = parts.rev;
  }
});

t.test('a write that does not fit the tree is a mistake of the caller', async (t) => {
  const repo = new SignedRepo({ did: DID, seed: 'writes' });
  const record = encodePost('x', TIME);
  const write = (action: 'create' | 'update' | 'delete'): unknown =>
    repo.commit([{ action, path: 'a.b.c/1', record }], { epochMs: EPOCH_MS });
  t.throws(() => write('update'));
  t.throws(() => write('delete'));
  write('create');
  t.throws(() => write('create'));
  t.same(repo.paths, ['a.b.c/1']);
  t.equal(leavesOf(repo.tree).length, 1);
});
