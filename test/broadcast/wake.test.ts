/** While a hub gathers, commits do not wake main: it would find nothing to do (the word wakeTail). */
import t from 'tap';
import { nextTurn } from '../../lib/base/clock.ts';
import { KiB } from '../../lib/base/units.ts';
import { PersistWords } from '../../lib/log/persist-words.ts';
import type { Bell } from '../../lib/shared/bell.ts';
import { allocateWords, Words } from '../../lib/shared/regions.ts';
import { Client, until, World } from './world.ts';

/** Whether a sleeper would have been woken by `work`. */
async function isWoken(bell: Bell, work: () => void): Promise<boolean> {
  bell.arm();
  work();
  let isAwake = false;
  const waiting = bell.wait(60_000).then(() => {
    isAwake = true;
  });
  for (let i = 0; i < 5; i++) await nextTurn();
  const wasWoken = isAwake;
  bell.ring();
  await waiting;
  return wasWoken;
}

t.test('commits below wakeTail do not wake main, all others and the end do', async (t) => {
  const words = new Words(allocateWords());
  const bell = words.bell('bellMain');
  const persist = new PersistWords(words, 1);
  const wakeTail = words.writer('wakeTail');
  t.equal(await isWoken(bell, () => persist.wakeForCommit(0)), true, 'nothing was asked for');
  wakeTail.publish(1000);
  t.equal(await isWoken(bell, () => persist.wakeForCommit(999)), false);
  t.equal(await isWoken(bell, () => persist.wakeForCommit(1000)), true);
  wakeTail.publish(-(2 ** 31) + 10);
  t.equal(await isWoken(bell, () => persist.wakeForCommit(2 ** 31 - 10)), false, 'modular');
  t.equal(await isWoken(bell, () => persist.wakeForCommit(-(2 ** 31) + 10)), true);
  wakeTail.publish(1000);
  t.equal(await isWoken(bell, () => persist.wakeAll()), true, 'the log has ended');
  t.equal(await isWoken(words.shardBell(0), () => persist.wakeForCommit(5)), true, 'verify always');
});

t.test('a hub asks to be woken for a full round, or at all once T is over', async (t) => {
  const world = await new World({ hub: { gatherMs: 600_000 } }).listen();
  t.teardown(() => world.stop());
  const now = (): number => world.clock.monoMs();
  t.equal(world.hub.wakeTail(now()), world.tail.end, 'without a consumer each commit counts');
  const client = await new Client(world.port).open();
  await until(() => world.hub.size === 1);
  world.append(1, 100);
  await until(() => client.lastSeq === 1);
  t.equal(world.hub.wakeTail(now()), world.tail.end + 192 * KiB);
  t.ok(world.hub.waitMs(now()) <= 500, 'the next sweep comes before');
  const later = now() + 600_000;
  t.equal(world.hub.wakeTail(later), world.tail.end, 'T is over');
});
