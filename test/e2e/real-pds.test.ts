/**
 * Everything on software that we did not write: two real PDS hosts, a real PLC directory, and the
 * consumers that people use. One host is reached byte by byte, the other through a man in the
 * middle that forges commits.
 */
import t from 'tap';
import { KIND_COMMIT, KIND_NAMES } from '../../lib/wire/kinds.ts';
import { FORGERIES } from '../helpers/forgeries.ts';
import { ForgingDoor } from '../helpers/forging-door.ts';
import { PlainDoor } from '../helpers/plain-door.ts';
import { PlcForms } from '../helpers/plc-forms.ts';
import { RealUser } from '../helpers/real-user.ts';
import {
  type ConsumerReport,
  query,
  RealWorld,
  statusesOf,
  writesOf,
} from '../helpers/real-world.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, checkStream, eventually } from '../helpers/stream-checker.ts';

const NAMES = ['alice', 'bob', 'carol', 'dave'];
const READERS = ['official', 'atcute', 'skyware'];

t.setTimeout(115_000);
const startMs = performance.now();
const plc = await PlcForms.start();
const plain = await PlainDoor.start();
const forging = await ForgingDoor.start();
const starting = RelayProcess.start({ env: { RELAY_PLC_HOST: plc.url } });
const world = await RealWorld.start(plc, [plain, forging]);
let relay = await starting;
/** Asked for its port at each connect, so it follows the relay. */
const live = new RecordingConsumer(() => relay.streamUrl, 0);
const service = `ws://127.0.0.1:${relay.apiPort}`;
t.teardown(async () => {
  live.stop();
  await relay.dispose();
  await world.stop();
  await Promise.all([plain.stop(), forging.stop(), plc.stop()]);
});
lap('all processes are up');
const users: RealUser[] = [];
const deleted = new Set<RealUser>();

function lap(what: string): void {
  t.comment(`${what} at ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
}

/** Asks as a PDS does: no password, its own name. */
async function requestCrawl(hostname: string): Promise<number> {
  const answer = await fetch(`${relay.url}/xrpc/com.atproto.sync.requestCrawl`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ hostname }),
  });
  return answer.status;
}

async function isReadingAll(): Promise<boolean> {
  return (await relay.metric('relay_upstream_connections_count')) === world.pds.length;
}

async function until(isDone: () => Promise<boolean>, msMax = 20_000): Promise<boolean> {
  const endMs = performance.now() + msMax;
  while (!(await isDone())) {
    if (performance.now() > endMs) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return true;
}

/** Every user posts; true when all events up to those posts were sent and have arrived. */
async function settle(writers: readonly RealUser[]): Promise<boolean> {
  const posts = await Promise.all(writers.map((user) => user.post('a mark')));
  const isSent = (): boolean =>
    writers.every(({ pds }, index) => pds.hasSent(posts[index]?.commit.rev ?? ''));
  if (!(await eventually(isSent, 10_000))) return false;
  return eventually(() => live.received.length >= world.sentCount, 20_000);
}

function check() {
  const hosts = world.pds.map(({ sent }) => sent);
  return checkStream(hosts, live.received);
}

/** A life with a bit of everything; the eldest writes much. */
async function lead(user: RealUser): Promise<void> {
  await user.putProfile(user.name);
  const first = await user.post('the first');
  const second = await user.post(`the second, to be deleted: ${'ž'.repeat(250)}`);
  await user.like(first);
  await user.delete(second);
  await user.putProfile(`${user.name} the great`);
  const third = await user.post('the third');
  await user.writeMany(user.name === 'alice' ? 150 : 5, third);
  await user.writeNothing();
  await user.changeHandle(`${user.name}-2`);
  await user.post('under a new name');
}

async function writeFor(user: RealUser, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const post = await user.post(`thought ${index}`);
    if (index % 3 === 0) await user.delete(post);
  }
}

async function comeAndGo(user: RealUser): Promise<void> {
  await user.deactivate();
  await user.activate();
  await user.post('back again');
  await user.takeDown(true);
  await user.takeDown(false);
  await user.post('back once more');
}

t.test('G3 G5 G9 what real hosts send arrives once, unchanged, in order', async (t) => {
  for (const { hostname } of world.pds) t.equal(await requestCrawl(hostname), 200);
  t.ok(await until(isReadingAll), 'both are read');
  const early = { service, cursor: 0, isCaching: false };
  for (const reader of READERS) world.startConsumer({ reader, name: reader, ...early });
  const newcomers = world.pds.flatMap((pds) => NAMES.map((name) => RealUser.create(pds, name)));
  users.push(...(await Promise.all(newcomers)));
  await Promise.all(users.map(lead));
  // The connections break while people go on, and the hosts are asked for the rest.
  plain.cut();
  forging.cut();
  await Promise.all(users.map(comeAndGo));
  t.ok(await settle(users));
  // Now that everything has arrived: a host forgets what it sent about an account it deletes.
  for (const user of users.filter(({ name }) => name === 'bob')) deleted.add(user);
  await Promise.all([...deleted].map((user) => user.deleteAccount()));
  t.ok(await settle(users.filter(({ name }) => name === 'alice')));
  const { problems, expected } = check();
  t.same(problems, []);
  t.same(live.violations, []);
  t.same(await relay.rejects(), {});
  const kinds = new Set(live.received.map(({ kind }) => KIND_NAMES[kind]));
  t.same([...kinds].sort(), ['#account', '#commit', '#identity', '#sync']);
  const statuses = new Set(world.pds.flatMap(({ sent }) => statusesOf(sent)));
  t.same([...statuses].sort(), ['', 'deactivated', 'deleted', 'takendown']);
  t.ok(plc.legacy.size >= 3 && plc.multikey.size >= 3, 'both forms of keys were met');
  lap(`${expected} events have arrived`);
});

t.test('kill -9 while people write: consumers notice a gap in time only', async (t) => {
  const writers = users.filter((user) => !deleted.has(user));
  const writing = Promise.all(writers.map((user) => writeFor(user, 12)));
  await new Promise((resolve) => setTimeout(resolve, 300));
  await relay.kill();
  const env = { RELAY_PLC_HOST: plc.url, RELAY_API_BIND: `127.0.0.1:${relay.apiPort}` };
  relay = await RelayProcess.start({ dataDir: relay.dataDir, env });
  await writing;
  t.ok(await settle(writers));
  t.ok(live.connectCount > 1, 'the consumer had to come back');
  t.same(check().problems, []);
  t.same(live.violations, []);
  t.same(await relay.rejects(), {});
  lap('after kill -9 all is there');
});

for (const { name, code, make } of FORGERIES) {
  t.test(`a forged copy of a commit, ${name}: ${code}`, async (t) => {
    const user = users.findLast((other) => !deleted.has(other)) as RealUser;
    const before = await relay.rejects();
    let forgedCount = 0;
    forging.forge = (frame, view) => {
      if (view.kind !== KIND_COMMIT || forgedCount > 0) return undefined;
      forgedCount += 1;
      return make(frame, view);
    };
    t.ok(await settle([user]), 'the real one arrives');
    t.equal(forgedCount, 1);
    const moved = async (): Promise<Record<string, number>> => {
      const after = Object.entries(await relay.rejects());
      const changes = after.map(([key, value]) => [key, value - (before[key] ?? 0)] as const);
      return Object.fromEntries(changes.filter(([, change]) => change !== 0));
    };
    // The account of the copy may be another one, which is asked for first.
    await until(async () => Object.keys(await moved()).length > 0, 5000);
    t.same(await moved(), { [code]: 1 });
  });
}

t.test('no forged copy arrived, and nothing else is missing', async (t) => {
  t.same(check().problems, []);
  t.same(live.violations, []);
  lap('forged copies are refused');
});

t.test('the relay and the hosts say the same of every account', async (t) => {
  await Promise.all(
    users.map(async (user) => {
      const { did, pds } = user;
      const gone = { did, active: false, status: 'deleted' };
      for (const method of ['com.atproto.sync.getRepoStatus', 'com.atproto.sync.getLatestCommit']) {
        const isStatus = method.endsWith('Status');
        let theirs = await query(pds.origin, method, { did });
        // The host has forgotten the account; a relay tells what became of it.
        if (deleted.has(user)) theirs = isStatus ? gone : { error: 'RepoNotFound' };
        let ours: unknown;
        // Rows are written behind the log, so not at once.
        await until(async () => {
          const { message: _, ...answer } = await query(relay.url, method, { did });
          ours = answer;
          return JSON.stringify(ours) === JSON.stringify(theirs);
        }, 2000);
        t.same(ours, theirs, `${method} of ${user.name}`);
      }
    }),
  );
});

t.test('G5 from any cursor exactly the rest', async (t) => {
  const { length } = live.received;
  const seqs = live.received.map(({ seq }) => seq);
  // As many as one address may connect in a short time.
  const step = Math.ceil(length / 28);
  const some = seqs.filter((seq) => seq % step === 0);
  const cursors = new Set([0, 1, 2, ...some, length - 1, length]);
  const problems: string[] = [];
  const late = [...cursors].map((cursor) => {
    const consumer = new RecordingConsumer(() => relay.streamUrl, cursor);
    return { cursor, consumer };
  });
  const isWhole = (): boolean =>
    late.every(({ cursor, consumer }) => consumer.received.length >= length - cursor);
  t.ok(await eventually(isWhole, 10_000));
  for (const { cursor, consumer } of late) {
    consumer.stop();
    const got = consumer.received.map(({ seq }) => seq);
    if (got.join() !== seqs.slice(cursor).join()) problems.push(`cursor ${cursor}: ${got.join()}`);
    problems.push(...checkSame(live.received, consumer.received), ...consumer.violations);
  }
  t.same(problems, []);
  lap(`${cursors.size} cursors are read`);
});

/** What is in one list and not in the other, as often as it is. */
function differences(got: readonly string[], wanted: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const item of wanted) counts.set(item, (counts.get(item) ?? 0) - 1);
  for (const item of got) counts.set(item, (counts.get(item) ?? 0) + 1);
  const wrong = [...counts].filter(([, count]) => count !== 0);
  return wrong.map(([item, count]) => `${item}: ${count > 0 ? 'too often' : 'missing'}`);
}

t.test('the consumers that people use read it all without an error', async (t) => {
  const { length } = live.received;
  const middle = Math.floor(length / 2);
  const late = { service, cursor: 0, isCaching: true };
  for (const reader of READERS) {
    world.startConsumer({ reader, name: `${reader}, late`, ...late });
  }
  world.startConsumer({ reader: 'official', name: 'official, middle', ...late, cursor: middle });
  let reports: Record<string, ConsumerReport> = {};
  // A skyware reader does not come back when its relay was killed.
  const readers = (): [string, ConsumerReport][] =>
    Object.entries(reports).filter(([name]) => name !== 'skyware');
  await until(async () => {
    reports = await world.reports();
    return readers().every(([, { seqs, pendingCount }]) => {
      return seqs.includes(length) && pendingCount === 0;
    });
  }, 30_000);
  t.equal(readers().length, 6);
  const writes = world.pds.flatMap(({ sent }) => writesOf(sent));
  const seqs = Array.from({ length }, (_, index) => index + 1);
  for (const [name, report] of readers()) {
    const start = name === 'official, middle' ? middle : 0;
    const sorted = [...report.seqs].sort((a, b) => a - b);
    t.same(report.errors, [], `${name}: no error`);
    t.equal(sorted.join(), seqs.slice(start).join(), `${name}: each seq once`);
    if (!name.startsWith('skyware')) t.same(report.seqs, sorted, `${name}: in order`);
    if (start > 0) continue;
    t.same(differences(report.writes, writes), [], `${name}: every write, with its proof`);
  }
  const { errors, seqs: early } = reports['skyware'] ?? { errors: [''], seqs: [] };
  t.same(errors, [], 'skyware: no error before the relay was killed');
  const sorted = [...early].sort((a, b) => a - b);
  t.ok(early.length > 0 && sorted.join() === seqs.slice(0, early.length).join());
  const confirmed = new Set(reports['official, late']?.handles);
  const handles = users
    .filter((user) => !deleted.has(user))
    .map(({ name, pds }) => {
      return `${name}-2${pds.handleDomain}`;
    });
  t.same([...confirmed].sort(), handles.sort(), 'handles are confirmed');
  lap('consumers have read');
});
