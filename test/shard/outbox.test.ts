/** Accepted events on their way out, and their seq on the way back. */
import t from 'tap';
import { KiB } from '../../lib/base/units.ts';
import { RingConsumer } from '../../lib/ring/consumer.ts';
import { allocateRing } from '../../lib/ring/descriptor.ts';
import { SEQ_REFUSED, VERIFIED_SEQ } from '../../lib/ring/verified-record.ts';
import { Account } from '../../lib/shard/account.ts';
import { Outbox } from '../../lib/shard/outbox.ts';
import { allocateWords, Words } from '../../lib/shared/regions.ts';

const META = {
  kind: 1,
  statusCode: 0,
  hostId: 7,
  ingestNo: 1,
  upstreamCrc: 0,
  didHashLo: 0,
  didHashHi: 0,
  hostSeq: 1,
  arrivalMs: 0,
  seqStart: 0,
  seqEnd: 1,
};

/** An outbox, and `persist` at the other end of its ring. */
class Scene {
  readonly memory = allocateRing(16 * KiB);
  readonly persist = new RingConsumer(this.memory);
  readonly durable: string[] = [];
  outbox = this.open();
  nextSeq = 1;

  open(): Outbox {
    return new Outbox(this.memory, new Words(allocateWords()).bell('bellPersist'));
  }

  publish(account: Account, rev: string, ingestNo = 1, frame = Buffer.from('frame')): void {
    account.live.rev = rev;
    this.outbox.add({ ...META, ingestNo }, frame, account, account.live);
    this.outbox.publishAdded();
  }

  /** Gives the next record its seq; returns the head that the commit cell would show. */
  commit(seq = this.nextSeq++): number {
    const at = this.persist.poll();
    if (at < 0) throw new Error('nothing there');
    this.persist.bytes.writeDoubleLE(seq, at + VERIFIED_SEQ);
    return this.persist.position;
  }

  readBack(head: number): number {
    return this.outbox.readBack(head, (account) =>
      this.durable.push(`${account.did} ${account.durable.rev} ${account.seq}`),
    );
  }
}

t.test(
  'G10: durable state follows in the order of the events, only as far as the commit',
  async (t) => {
    const scene = new Scene();
    const [a, b] = [new Account('a'), new Account('b')];
    scene.publish(a, 'a1');
    scene.publish(b, 'b1');
    scene.publish(a, 'a2');
    t.same([a.live.rev, a.durable.rev, a.pendingCount], ['a2', '', 2]);
    t.equal(scene.readBack(scene.commit()), 1);
    t.same([a.live.rev, a.durable.rev, a.pendingCount, a.seq], ['a2', 'a1', 1, 1]);
    t.equal(a.isDirty, true);
    t.equal(b.isDirty, false);
    scene.commit();
    t.equal(scene.readBack(scene.commit()), 2);
    t.same(scene.durable, ['a a1 1', 'b b1 2', 'a a2 3']);
    t.equal(a.pendingCount + b.pendingCount, 0);
  },
);

t.test('a refused output changes nothing that is durable', async (t) => {
  const scene = new Scene();
  const account = new Account('a');
  scene.publish(account, 'one');
  scene.publish(account, 'two');
  t.equal(scene.readBack(scene.commit(SEQ_REFUSED)), 1);
  t.same([account.durable.rev, account.isDirty, account.seq], ['', false, 0]);
  t.same(scene.durable, []);
  t.equal(account.pendingCount, 1);
  scene.readBack(scene.commit());
  t.same(scene.durable, ['a two 1']);
});

t.test('G18: a successor gives back what is durable and waits for the rest', async (t) => {
  const scene = new Scene();
  for (let i = 1; i <= 5; i++) scene.publish(new Account('a'), `rev${i}`, i);
  scene.commit();
  const head = scene.commit();
  scene.outbox = scene.open();
  const seen: string[] = [];
  scene.outbox.forEachUnread(head, (record, _, isDurable) =>
    seen.push(`${record.ingestNo} ${isDurable}`),
  );
  t.same(seen, ['1 true', '2 true', '3 false', '4 false', '5 false']);
  const account = new Account('a');
  scene.outbox.restore(head, (record) => {
    account.live.rev = `again${record.ingestNo}`;
    return account;
  });
  t.equal(account.pendingCount, 3);
  t.equal(scene.readBack(head), 0, 'the log has these: not a second time');
  scene.readBack(scene.commit());
  scene.commit();
  scene.readBack(scene.commit());
  t.same(scene.durable, ['a again3 3', 'a again4 4', 'a again5 5']);
  t.equal(scene.outbox.usedBytes(), 0);
  scene.publish(account, 'next');
  scene.readBack(scene.commit());
  t.equal(account.durable.rev, 'next');
});

t.test('G26: it says no before the ring is full, for any size, and yes again', async (t) => {
  const scene = new Scene();
  const account = new Account('a');
  for (let lap = 0; lap < 200; lap++) {
    const frame = Buffer.alloc(1 + ((lap * 737) % 4000), lap);
    let count = 0;
    while (scene.outbox.hasRoom(frame.length)) {
      scene.publish(account, `${lap}`, lap, frame);
      count += 1;
    }
    t.ok(count > 0 || scene.outbox.pendingCount > 0, 'an empty ring has room');
    let head = 0;
    for (let i = 0; i < count; i++) head = scene.commit();
    t.equal(scene.readBack(head), count);
  }
  t.equal(scene.outbox.pendingCount, 0);
});

t.test(
  'G18: the events of one input leave with one store, each with the state after it',
  async (t) => {
    const scene = new Scene();
    const account = new Account('a');
    const before = { ...account.live, rev: 'one' };
    scene.outbox.add({ ...META, hostSeq: 0 }, Buffer.from('ours'), account, before);
    account.live.rev = 'two';
    scene.outbox.add(META, Buffer.from('the host’s'), account, account.live);
    t.equal(scene.persist.poll(), -1, 'nobody sees half of it');
    t.equal(scene.open().position, 0, 'nor does a successor');
    scene.outbox.publishAdded();
    const first = scene.commit();
    const second = scene.commit();
    t.equal(scene.readBack(first), 1);
    t.same([account.durable.rev, account.seq, account.pendingCount], ['one', 1, 1]);
    scene.readBack(second);
    t.same([account.durable.rev, account.seq, account.pendingCount], ['two', 2, 0]);
  },
);

t.test('G26: there is room for an event of our own beside any frame', async (t) => {
  const scene = new Scene();
  const account = new Account('a');
  let count = 0;
  for (let lap = 0; lap < 300; lap++) {
    const frame = Buffer.alloc(40 + ((lap * 737) % 3000), lap);
    const own = Buffer.alloc(Math.min(frame.length, 2048) + 400);
    while (scene.outbox.hasRoom(frame.length)) {
      scene.outbox.add({ ...META, hostSeq: 0 }, own, account, account.live);
      scene.outbox.add(META, frame, account, account.live);
      scene.outbox.publishAdded();
      count += 2;
    }
    t.ok(count > 0);
    let head = 0;
    for (; count > 0; count--) head = scene.commit();
    scene.readBack(head);
  }
  t.equal(scene.outbox.pendingCount, 0);
});
