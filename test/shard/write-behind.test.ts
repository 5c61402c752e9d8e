/** Rows behind the log, and how far `completed` may go. */
import t from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { Account } from '../../lib/shard/account.ts';
import { WriteBehind } from '../../lib/shard/write-behind.ts';
import { allocateWords, Words } from '../../lib/shared/regions.ts';
import type { AccountState } from '../../lib/store/account-rows.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

class Scene {
  readonly words = new Words(allocateWords());
  readonly clock = new ManualClock();
  readonly written: AccountState[] = [];
  readonly progress = {
    taken: 0,
    held: undefined as number | undefined,
    published: 0,
    readBack: 0,
  };
  isDown = false;
  gate: Promise<void> | undefined;
  readonly writes: WriteBehind;

  constructor() {
    const { progress } = this;
    this.writes = new WriteBehind({
      sink: {
        upsertAccounts: async (rows) => {
          const copies = rows.map((row) => ({ ...row }));
          await this.gate;
          if (this.isDown) throw new RelayFault('database_down', 'test', { isRetryable: true });
          this.written.push(...copies);
        },
        upsertIdentities: async () => {},
      },
      progress: {
        takenNo: () => progress.taken,
        oldestHeldNo: () => progress.held,
        publishedPosition: () => progress.published,
        readBackPosition: () => progress.readBack,
      },
      completed: this.words.shardWriter('completed', 0),
      clock: this.clock,
      logger: silentLogger,
      metrics: new MetricWriter(),
      periodMs: 50,
    });
  }

  get completed(): number {
    return this.words.shardReader('completed', 0).observe();
  }

  /** An account whose event `seq` is durable. */
  dirty(did: string, seq: number): Account {
    const account = new Account(did);
    this.touch(account, seq);
    return account;
  }

  touch(account: Account, seq: number): void {
    account.durable.rev = `rev${seq}`;
    account.live.rev = 'not durable yet';
    account.seq = seq;
    account.isDirty = true;
    this.writes.add(account);
  }
}

t.test('G10: what is durable is written, what is not is not', async (t) => {
  const scene = new Scene();
  scene.dirty('a', 5);
  await scene.clock.advance(200);
  t.match(scene.written, [{ did: 'a', rev: 'rev5', seq: 5 }]);
  await scene.writes.stop();
});

t.test('G9: completed does not pass an input that is held', async (t) => {
  const scene = new Scene();
  scene.progress.taken = 9;
  scene.progress.held = 4;
  await scene.clock.advance(200);
  t.equal(scene.completed, 3);
  scene.progress.held = 8;
  await scene.clock.advance(200);
  t.equal(scene.completed, 7);
  scene.progress.held = undefined;
  await scene.clock.advance(200);
  t.equal(scene.completed, 9);
  await scene.writes.stop();
});

t.test('G9: nor one whose event is not durable', async (t) => {
  const scene = new Scene();
  await scene.clock.advance(200);
  scene.progress.taken = 3;
  scene.progress.published = 1000;
  await scene.clock.advance(5000);
  t.equal(scene.completed, 0);
  // More is published meanwhile: it need not wait for that.
  scene.progress.taken = 8;
  scene.progress.published = 2000;
  scene.progress.readBack = 1000;
  await scene.clock.advance(20);
  t.equal(scene.completed, 3);
  scene.progress.readBack = 2000;
  await scene.clock.advance(200);
  t.equal(scene.completed, 8);
  await scene.writes.stop();
});

t.test('G9: nor one whose row is not written; what failed is written again', async (t) => {
  const scene = new Scene();
  await scene.clock.advance(200);
  scene.isDown = true;
  scene.progress.taken = 2;
  const account = scene.dirty('a', 5);
  await scene.clock.advance(10_000);
  t.equal(scene.completed, 0);
  t.equal(account.isPinned(), true);
  t.equal(scene.writes.dirtyCount, 1, 'G26: kept once');
  scene.touch(account, 6);
  t.equal(scene.writes.dirtyCount, 1);
  scene.isDown = false;
  await scene.clock.advance(10_000);
  t.match(scene.written, [{ did: 'a', rev: 'rev6', seq: 6 }]);
  t.equal(scene.completed, 2);
  t.equal(account.isPinned(), false);
  await scene.writes.stop();
});

t.test(
  'an account that changes while it is written is written again, pinned until then',
  async (t) => {
    const scene = new Scene();
    const { promise, resolve } = Promise.withResolvers<void>();
    scene.gate = promise;
    const account = scene.dirty('a', 5);
    await scene.clock.advance(200);
    t.equal(account.isDirty, false);
    t.equal(account.isPinned(), true, 'under way');
    scene.touch(account, 6);
    resolve();
    await scene.clock.advance(500);
    t.same(
      scene.written.map((row) => row.seq),
      [5, 6],
    );
    t.equal(account.isPinned(), false);
    await scene.writes.stop();
  },
);

t.test('2^31: completed compares input numbers by distance', async (t) => {
  const scene = new Scene();
  scene.progress.taken = -2147483640;
  scene.progress.held = 2147483640;
  await scene.clock.advance(200);
  t.equal(scene.completed, 2147483639);
  await scene.writes.stop();
});
