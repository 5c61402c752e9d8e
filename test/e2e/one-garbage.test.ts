/** One message that is none, in the middle of a busy host's stream. */
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { encodePost, type RepoWrite } from '../../scripts/fleet/signed-repo.ts';
import { eventually } from '../helpers/stream-checker.ts';
import type { Scene, SceneAccount } from '../verdicts/scene.ts';
import { World } from '../verdicts/world.ts';

const COMMITS = 10_000;
const ACCOUNTS = 20;
const RECORDS_MAX = 6;
const PORTION = 100;

let postCount = 0;

/** Repos stay small: a record is made, or the oldest one goes. */
function nextWrite({ repo }: SceneAccount): RepoWrite {
  const { paths } = repo;
  const [oldest] = paths;
  if (oldest !== undefined && paths.length >= RECORDS_MAX)
    return { action: 'delete', path: oldest };
  postCount += 1;
  const name = postCount.toString(36).padStart(13, '2');
  const record = encodePost(`post ${postCount}`, '2026-09-01T00:00:00.000Z');
  return { action: 'create', path: `app.bsky.feed.post/${name}`, record };
}

/** In portions: the directory and the host live in this process, too, and have to answer. */
async function sendGood(
  scene: Scene,
  accounts: readonly SceneAccount[],
  count: number,
): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (i % PORTION === 0) await setImmediate();
    const account = accounts[i % accounts.length] as SceneAccount;
    scene.good(account, [nextWrite(account)]);
  }
}

t.test('H2 one garbage frame among 10,000 costs one strike', { timeout: 115_000 }, async (t) => {
  const world = await World.start();
  t.teardown(() => world.stop());
  const { consumer, ledger } = world;
  const scene = await world.newScene();
  const accounts = Array.from({ length: ACCOUNTS }, () => scene.account());
  await scene.settled();
  const before = await scene.observe();
  const receivedBefore = consumer.received.length;
  await sendGood(scene, accounts, COMMITS / 2);
  scene.raw(Buffer.from('no frame at all'));
  await sendGood(scene, accounts, COMMITS / 2);
  await eventually(() => ledger.missingCount === 0, 100_000);
  t.equal(ledger.missingCount, 0, `all arrived; ${JSON.stringify(await world.relay.rejects())}`);
  const after = await scene.observe();
  // The ledger has checked each of them: unchanged, in the order of its account.
  t.equal(consumer.received.length - receivedBefore, COMMITS);
  t.same(ledger.strangers, []);
  t.same(consumer.violations, []);
  t.equal(after.since(before, 'relay_verify_events_total:commit'), COMMITS, 'verified');
  t.equal(after.since(before, 'relay_verify_discontinuous_commits_total'), 0);
  t.same(after.rejectsSince(before), ['frame_header_bad']);
  t.equal(after.since(before, 'relay_reject_events_total'), 1);
  t.equal(after.since(before, 'relay_upstream_strikes_total'), 1);
  t.equal(after.since(before, 'relay_upstream_disconnects_total'), 0, 'never closed');
  t.equal(scene.host.cursorsSeen.length, 1);
});
