/**
 * What one host may do to a relay, and what its operator can do about it: limits, lenience and the
 * account limit, through a running relay and across a restart. Judged by what arrives and by what
 * the admin interface shows, never by a latency.
 */
import t, { type Test } from 'tap';
import { accountFrame, commitFrame } from '../../scripts/fleet/event-frames.ts';
import { FleetHost, type SentFrame } from '../../scripts/fleet/fleet-host.ts';
import { PlcDirectory } from '../../scripts/fleet/plc-directory.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import {
  type CommitParts,
  encodePost,
  type RepoWrite,
  SignedRepo,
  varint,
} from '../../scripts/fleet/signed-repo.ts';
import { describeFrame, RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkStream, eventually } from '../helpers/stream-checker.ts';

const PATIENCE_MS = 30_000;
const TIME = '2026-09-01T00:00:00.000Z';

/** Fields of a host in pds/list that are looked at here. */
type HostInfo = {
  readonly Host: string;
  readonly Status: string;
  readonly RepoLimit: number;
  readonly PauseReason: string | null;
  readonly Slowed: boolean;
  readonly Lenient: boolean;
  readonly AccountsFull: boolean;
  readonly VerifyMs: number;
  readonly DiscontinuousCommits: number;
  readonly WaivedCommits: number;
  readonly Limits: Record<string, { readonly Max: number; readonly Used: number }>;
  readonly LastRejects: readonly { readonly Code: string; readonly Reason: string }[];
};

/** An account that writes what it is told. */
class Writer {
  readonly repo: SignedRepo;
  readonly host: FleetHost;
  #count = 0;

  constructor(host: FleetHost, directory: PlcDirectory, name: string) {
    const did = `did:plc:${name.padEnd(24, 'a')}`;
    this.repo = new SignedRepo({ did, seed: name });
    this.host = host;
    directory.set(did, this.repo.keypair, host.origin, `${name}.test`);
  }

  creates(count: number, textBytes = 0): RepoWrite[] {
    return Array.from({ length: count }, () => {
      this.#count += 1;
      const path = `app.bsky.feed.post/${1_000_000 + this.#count}`;
      const record = encodePost(`post ${this.#count}`.padEnd(textBytes, '.'), TIME);
      return { action: 'create', path, record };
    });
  }

  commit(writes = this.creates(1)): CommitParts {
    return this.repo.commit(writes, { epochMs: Date.now() });
  }

  /** Sends a commit, or anything else, that may or may not pass. */
  send(parts = this.commit()): SentFrame {
    const seq = this.host.nextSeq();
    const bytes = commitFrame(parts, { seq, time: TIME });
    this.host.send(this.repo.did, seq, bytes);
    return { seq, did: this.repo.did, bytes };
  }
}

/** A relay with what the tests ask of it. */
class World {
  relay!: RelayProcess;
  consumer!: RecordingConsumer;
  readonly directory: PlcDirectory;
  readonly hosts: readonly FleetHost[];
  readonly #env: Record<string, string>;

  private constructor(directory: PlcDirectory, hosts: readonly FleetHost[], trusted: number) {
    this.directory = directory;
    this.hosts = hosts;
    const names = hosts.slice(0, trusted).map(({ hostname }) => hostname);
    this.#env = {
      RELAY_PLC_HOST: directory.url,
      RELAY_TRUSTED_DOMAINS: names.join(','),
      RELAY_DISCONTINUOUS_THROTTLE: '2s',
    };
  }

  /** The first `trusted` hosts have the high limits. */
  static async start(t: Test, hostCount: number, trusted: number): Promise<World> {
    const directory = await PlcDirectory.start();
    const hosts: FleetHost[] = [];
    for (let i = 0; i < hostCount; i++) hosts.push(await FleetHost.start(`host-${i}`));
    const world = new World(directory, hosts, trusted);
    world.relay = await RelayProcess.start({ env: world.#env });
    world.consumer = new RecordingConsumer(() => world.relay.streamUrl, 0);
    t.teardown(async () => {
      world.consumer.stop();
      await world.relay.dispose();
      for (const host of hosts) await host.stop();
      await directory.stop();
    });
    for (const host of hosts) await world.relay.crawl(host.hostname);
    t.ok(await eventually(() => hosts.every((host) => host.readerCount === 1), PATIENCE_MS));
    return world;
  }

  async restart(): Promise<void> {
    const { dataDir } = this.relay;
    await this.relay.kill('SIGTERM');
    this.relay = await RelayProcess.start({ dataDir, env: this.#env });
    await eventually(() => this.hosts.every((host) => host.readerCount === 1), PATIENCE_MS);
  }

  async info(host: FleetHost): Promise<HostInfo> {
    const list = (await (await this.relay.admin('pds/list')).json()) as HostInfo[];
    return list.find(({ Host }) => Host === host.hostname) as HostInfo;
  }

  async shows(host: FleetHost, isSo: (info: HostInfo) => boolean): Promise<boolean> {
    return eventuallyAsync(async () => isSo(await this.info(host)));
  }

  has(frame: SentFrame): boolean {
    const { digest } = describeFrame(frame.bytes);
    return this.consumer.received.some((got) => got.digest === digest);
  }

  arrives(...frames: SentFrame[]): Promise<boolean> {
    return eventually(() => frames.every((frame) => this.has(frame)), PATIENCE_MS);
  }

  async rejected(code: string, count: number): Promise<boolean> {
    return eventuallyAsync(async () => (await this.relay.rejects())[code] === count);
  }

  async change(route: string, body: object): Promise<number> {
    return (await this.relay.admin(`pds/${route}`, body)).status;
  }
}

async function eventuallyAsync(isSo: () => Promise<boolean>): Promise<boolean> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > endMs) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return true;
}

/** As many tiny blocks as one CAR may have, which nothing links to. */
function withTinyBlocks(parts: CommitParts, count: number): CommitParts {
  const pieces = [parts.blocks];
  for (let i = 0; i < count; i++) {
    const bytes = Buffer.from([0x19, i >> 8, i & 255]);
    const cid = Buffer.from(cidOf(bytes), 'latin1');
    pieces.push(varint(cid.length + bytes.length), cid, bytes);
  }
  return { ...parts, blocks: Buffer.concat(pieces) };
}

t.test('G19: legal but monstrous frames of one host', { timeout: 120_000 }, async (t) => {
  const world = await World.start(t, 3, 2);
  const [one, two, other] = world.hosts as [FleetHost, FleetHost, FleetHost];
  const good = [one, two].map((host, i) => new Writer(host, world.directory, `good${'bc'[i]}`));
  const monster = new Writer(other, world.directory, 'monster');
  let forms = 0;
  const monstrous = (): SentFrame => {
    const form = forms++ % 3;
    if (form === 0) return monster.send(monster.commit(monster.creates(200)));
    if (form === 1) return monster.send(monster.commit(monster.creates(2, 900_000)));
    return monster.send(withTinyBlocks(monster.commit(), 9_900));
  };
  const { hostname: host } = other;
  const unlimited = { bytesPerSecond: 1e9, bytesPerHour: 1e12, verifyMsPerMinute: 1e9 };
  t.equal(await world.change('changeLimits', { host, limits: unlimited }), 200);
  const first = [monstrous(), monstrous(), monstrous()];
  t.ok(await world.arrives(...first), 'they are legal');

  t.equal(await world.change('changeLimits', { host, limits: { verifyMsPerMinute: 30 } }), 200);
  const sent: SentFrame[] = [];
  // What it costs is known a moment later, so the first frames pass; one of them is too many.
  for (let isPaused = false; !isPaused && sent.length < 40; ) {
    sent.push(monstrous());
    for (const writer of good) writer.send();
    const before = sent.length;
    await eventuallyAsync(async () => {
      isPaused = (await world.info(other)).PauseReason === 'rate';
      return isPaused || world.has(sent[before - 1] as SentFrame);
    });
  }
  t.ok(await world.shows(other, ({ Status }) => Status === 'throttled'), 'visible');
  const info = await world.info(other);
  t.ok(info.VerifyMs >= 30, `counted: ${info.VerifyMs} ms`);
  t.ok((info.Limits['verifyMsPerMinute']?.Used ?? 0) >= 30);
  t.equal(info.Limits['verifyMsPerMinute']?.Max, 30);
  const series = 'relay_hosts_limits_reached_total{limit="verifyMsPerMinute"}';
  t.ok((await world.relay.metric(series)) >= 1);
  const waiting = [monstrous(), monstrous()];
  const between = good.flatMap((writer) => Array.from({ length: 50 }, () => writer.send()));
  t.ok(await world.arrives(...between), 'all of the others arrive');
  t.notOk(
    waiting.some((frame) => world.has(frame)),
    'it is not read meanwhile',
  );
  t.equal((await world.info(one)).Status, 'active');

  t.equal(await world.change('changeLimits', { host, limits: { verifyMsPerMinute: 1e9 } }), 200);
  t.ok(await world.arrives(...sent, ...waiting), 'it was slowed, nothing of it is lost');
  t.ok(await world.shows(other, ({ Status }) => Status === 'active'));

  // Bytes have limits of their own.
  t.equal(await world.change('changeLimits', { host, limits: { bytesPerHour: 1e6 } }), 200);
  const late = [monstrous(), monstrous(), monstrous()];
  t.ok(await world.shows(other, ({ Status }) => Status === 'throttled'));
  t.equal(await world.change('changeLimits', { host, limits: { bytesPerHour: 1e12 } }), 200);
  t.ok(await world.arrives(...late));
  t.equal((await world.info(other)).Limits['bytesPerHour']?.Max, 1e12);

  const all = world.hosts.map(({ sent: frames }) => frames);
  t.same(checkStream(all, world.consumer.received).problems, []);
  t.same(await world.relay.rejects(), {});
});

/** A host under an operator's eyes. */
type Case = { readonly world: World; readonly host: FleetHost; readonly writer: Writer };

async function tooDiscontinuous(t: Test, { world, host, writer }: Case): Promise<void> {
  const limits = { discontinuousPerHour: 3 };
  t.equal(await world.change('changeLimits', { host: host.hostname, limits }), 200);
  const skipping = (): SentFrame => {
    // A commit that the relay never sees, then one on top of it.
    writer.commit();
    return writer.send();
  };
  t.ok(await world.arrives(skipping(), skipping(), skipping()));
  t.ok(await world.shows(host, (info) => info.DiscontinuousCommits === 3));
  t.match(await world.info(host), { Status: 'active', Slowed: false });
  t.ok(await world.arrives(skipping()), 'also beyond the limit');
  t.ok(await world.shows(host, (info) => info.DiscontinuousCommits === 4));
  const reached = 'relay_hosts_limits_reached_total{limit="discontinuousPerHour"}';
  t.equal(await world.relay.metric(reached), 1, 'throttled');
  t.equal(await world.relay.metric('relay_verify_discontinuous_commits_total'), 4);
  const isActive = async (): Promise<boolean> => {
    writer.send();
    return (await world.info(host)).Status === 'active';
  };
  t.ok(await eventuallyAsync(isActive), 'and active again when it behaves');
}

function sendWithoutPrevData(writer: Writer): SentFrame {
  const { prevData: _, ...parts } = writer.commit();
  return writer.send(parts);
}

async function lenient(t: Test, { world, host, writer }: Case): Promise<void> {
  t.ok(await world.arrives(writer.send()));
  const refused = sendWithoutPrevData(writer);
  t.ok(await world.rejected('commit_prev_data_missing', 1));
  t.equal(await world.change('changeLenient', { host: host.hostname, lenient: true }), 200);
  t.equal((await world.info(host)).Lenient, true);
  t.ok(await world.arrives(sendWithoutPrevData(writer)));
  t.equal(await world.relay.metric('relay_verify_waived_commits_total'), 1, 'counted');
  t.ok(await world.shows(host, ({ WaivedCommits }) => WaivedCommits === 1));
  t.notOk(world.has(refused));
  const [last] = (await world.info(host)).LastRejects.slice(-1);
  t.match(last, { Code: 'commit_prev_data_missing', Reason: /prevData/ });
}

async function tooManyAccounts(t: Test, { world, host, writer }: Case): Promise<void> {
  const { hostname } = host;
  t.equal(await world.change('changeLimits', { host: hostname, repo_limit: 2 }), 200);
  const second = new Writer(host, world.directory, 'second');
  t.ok(await world.arrives(second.send()));
  t.ok(await world.shows(host, ({ AccountsFull }) => AccountsFull));
  const lookups = world.directory.requestCount;
  const third = new Writer(host, world.directory, 'third');
  const seq = host.nextSeq();
  const bytes = accountFrame({ did: third.repo.did, active: true }, { seq, time: TIME });
  host.send(third.repo.did, seq, bytes);
  third.send();
  t.ok(await world.rejected('account_host_throttled', 2));
  t.equal(world.directory.requestCount, lookups, 'nothing is looked up for them');
  t.ok(await world.arrives(writer.send(), second.send()));
  t.equal(await world.change('changeLimits', { host: hostname, repo_limit: 3 }), 200);
  t.ok(await world.arrives(third.send()), 'raised');
  t.ok(await world.shows(host, ({ AccountsFull }) => AccountsFull));
}

async function afterRestart(t: Test, { world, host, writer }: Case): Promise<void> {
  const { hostname } = host;
  await world.restart();
  t.match(await world.info(host), { Lenient: true, RepoLimit: 3, AccountsFull: true });
  t.equal((await world.info(host)).Limits['discontinuousPerHour']?.Max, 3);
  t.ok(await world.arrives(sendWithoutPrevData(writer)));
  new Writer(host, world.directory, 'fourth').send();
  t.ok(await world.rejected('account_host_throttled', 1));
  t.equal(await world.change('changeLenient', { host: hostname, lenient: false }), 200);
  sendWithoutPrevData(writer);
  t.ok(await world.rejected('commit_prev_data_missing', 1));
  const limits = { discontinuousPerHour: null };
  t.equal(await world.change('changeLimits', { host: hostname, limits, repo_limit: null }), 200);
  const info = await world.info(host);
  t.equal(info.RepoLimit, 100, 'back to the defaults');
  t.equal(info.Limits['discontinuousPerHour']?.Max, 600);
  t.equal(await world.change('changeLimits', { host: 'nobody.test.org', repo_limit: 1 }), 404);
}

t.test('what operators decide of a host', { timeout: 120_000 }, async (t) => {
  const world = await World.start(t, 1, 0);
  const [host] = world.hosts as [FleetHost];
  const writer = new Writer(host, world.directory, 'writer');
  t.ok(await world.arrives(writer.send()));
  const given: Case = { world, host, writer };
  await t.test('H128, H129, H130: passed on as they are, until they are too many', (t) =>
    tooDiscontinuous(t, given),
  );
  await t.test('A12, A14, H133: without prevData, strict and lenient', (t) => lenient(t, given));
  await t.test('LM-11, H150: no new accounts beyond the limit, the known ones go on', (t) =>
    tooManyAccounts(t, given),
  );
  await t.test('all of it survives a restart', (t) => afterRestart(t, given));
  t.same(world.consumer.violations, []);
});
