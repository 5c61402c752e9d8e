/**
 * G28: what is taken down is hidden from every reader by then, wherever it stands; told to the
 * network; kept over a clean restart, kill -9 and a start without a database; and reversible.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_ACCOUNT, KIND_COMMIT, KIND_SYNC } from '../../lib/wire/kinds.ts';
import { type Received, RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, eventually } from '../helpers/stream-checker.ts';
import { message } from '../verdicts/drafts.ts';
import { ADMIN, ask, post, sync } from '../verdicts/http.ts';
import type { Scene, SceneAccount } from '../verdicts/scene.ts';
import { World } from '../verdicts/world.ts';

const world = await World.start();
t.teardown(() => world.stop());
const scene: Scene = await world.newScene();
const target: SceneAccount = scene.account();
const { did } = target;

async function change(action: 'takeDown' | 'reverseTakedown', of = did): Promise<string> {
  return (await post(world.relay, `/admin/repo/${action}`, { did: of }, ADMIN)).words;
}

async function takedowns(): Promise<unknown> {
  return (await ask(world.relay, '/admin/repo/takedowns', { headers: ADMIN })).body['dids'];
}

/** Everything from a cursor up to the present head. */
async function readFrom(cursor: number): Promise<readonly Received[]> {
  const reader = new RecordingConsumer(() => world.relay.streamUrl, cursor);
  const head = world.consumer.lastSeq;
  t.ok(await eventually(() => reader.lastSeq >= head, 20_000), `all up to ${head} is read`);
  reader.stop();
  return reader.received;
}

function contentOf(received: readonly Received[], of = did): readonly Received[] {
  return received.filter((got) => {
    return got.did === of && (got.kind === KIND_COMMIT || got.kind === KIND_SYNC);
  });
}

/** Other accounts write, so that there is a head that everybody can see. */
async function othersWrite(): Promise<void> {
  for (const account of [scene.subject, scene.neighbour]) scene.good(account);
  await scene.settled();
}

/** What the account's `#account` events said, in order. */
const said: string[] = [];
const view = new EventView();
const { onFrame } = world.consumer;
world.consumer.onFrame = (bytes, received) => {
  const isSaid = received.did === did && received.kind === KIND_ACCOUNT;
  if (isSaid && decodeEvent(bytes, KIND_ACCOUNT, view) === undefined) {
    said.push(`${view.active ? 'active' : 'inactive'} ${view.hasStatus ? view.status : ''}`.trim());
  }
  onFrame(bytes, received);
};

t.test('G28 taken down: the log no longer shows what is in it', async (t) => {
  for (let i = 0; i < 30; i++)
    scene.good([target, scene.subject, scene.neighbour][i % 3] ?? target);
  await scene.settled();
  t.same(contentOf(await readFrom(0)), contentOf(world.consumer.received));
  t.equal(await change('takeDown', 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'), '404 RepoNotFound');
  t.equal(await change('takeDown', 'nonsense'), '400 InvalidRequest');
  t.equal(await change('takeDown'), '200');
  t.same(await takedowns(), [did]);
  await othersWrite();
  const middle = world.consumer.received[10]?.seq ?? 0;
  for (const cursor of [0, middle, world.consumer.lastSeq - 4]) {
    const got = await readFrom(cursor);
    t.same(contentOf(got), [], `from ${cursor}`);
    t.same(checkSame(world.consumer.received, got), []);
    const others = world.consumer.received.filter(({ seq }) => seq > cursor);
    t.equal(got.length, others.length - contentOf(others).length, 'nothing else is missing');
  }
  t.same(said, ['inactive takendown']);
  t.equal((await sync(world.relay, 'getLatestCommit', `?did=${did}`)).words, '403 RepoTakendown');
  t.equal(await change('takeDown'), '200', 'twice is once');
});

t.test('G28 commits and the host do not bring it back', async (t) => {
  const before = await world.relay.rejects();
  const parts = target.repo.fork().commit([scene.post()], { epochMs: Date.now() });
  t.equal(await scene.verdictOf(message(parts)), 'DROP account_takendown');
  const after = await world.relay.rejects();
  t.equal((after['account_takendown'] ?? 0) - (before['account_takendown'] ?? 0), 1);
});

const RESTARTS = {
  'kill -9': () => world.killAndRestart(),
  'a clean stop, and the file is lost: the rows say it': () =>
    world.restart((dataDir) => rmSync(join(dataDir, 'log', 'hidden-dids'))),
};
for (const [manner, restart] of Object.entries(RESTARTS)) {
  t.test(`G28 after ${manner}`, async (t) => {
    await restart();
    await othersWrite();
    t.same(await takedowns(), [did]);
    t.same(contentOf(await readFrom(0)), []);
    t.same(said, ['inactive takendown'], 'and not told again');
  });
}

t.test('G28 reversed: shown again, told, and commits pass', async (t) => {
  t.equal(await change('reverseTakedown'), '200');
  t.same(await takedowns(), []);
  scene.good(target);
  await othersWrite();
  t.same(said, ['inactive takendown', 'active']);
  t.same(contentOf(await readFrom(0)), contentOf(world.consumer.received));
});

t.test('G28 a database that is not there at the start changes nothing', async (t) => {
  t.equal(await change('takeDown'), '200');
  await othersWrite();
  const { dataDir } = world.relay;
  await world.relay.kill('SIGTERM');
  // Nobody listens there.
  const relay = RelayProcess.launch({
    dataDir,
    env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:9/none' },
  });
  t.teardown(() => relay.kill());
  await relay.until('started');
  const reader = new RecordingConsumer(() => relay.streamUrl, 0);
  t.ok(await eventually(() => reader.lastSeq >= world.consumer.lastSeq, 20_000));
  reader.stop();
  t.same(contentOf(reader.received), []);
  t.equal((await post(relay, '/admin/repo/takeDown', { did }, ADMIN)).status, 503);
});
