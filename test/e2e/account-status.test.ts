/** What the relay says of accounts by itself, through sockets and a kill -9 (AC-8, AC-12). */
import t from 'tap';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_ACCOUNT, KIND_NAMES } from '../../lib/wire/kinds.ts';
import { accountFrame, commitFrame, identityFrame } from '../../scripts/fleet/event-frames.ts';
import { FleetHost } from '../../scripts/fleet/fleet-host.ts';
import { PlcDirectory } from '../../scripts/fleet/plc-directory.ts';
import { encodePost, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { eventually } from '../helpers/stream-checker.ts';

const WAIT_MS = 60_000;
const view = new EventView();

class Person {
  readonly did: string;
  readonly repo: SignedRepo;
  readonly host: FleetHost;
  #count = 0;

  constructor(name: string, host: FleetHost, directory: PlcDirectory) {
    this.did = `did:plc:${name.padEnd(24, 'a')}`;
    this.repo = new SignedRepo({ did: this.did, seed: name });
    this.host = host;
    directory.set(this.did, this.repo.keypair, host.origin, `${name}.example.com`);
  }

  write(): void {
    this.#count += 1;
    const path = `app.bsky.feed.post/3k${`${this.#count}`.padStart(11, 'a')}`;
    const record = encodePost(`post ${this.#count}`, new Date().toISOString());
    const write = { action: 'create' as const, path, record };
    this.#send((stamp) => commitFrame(this.repo.commit([write], { epochMs: Date.now() }), stamp));
  }

  say(active: boolean, status?: string): void {
    const parts = status === undefined ? { active } : { active, status };
    this.#send((stamp) => accountFrame({ did: this.did, ...parts }, stamp));
  }

  /** Says that its document may have changed. */
  prod(): void {
    this.#send((stamp) => identityFrame({ did: this.did }, stamp));
  }

  #send(make: (stamp: { seq: number; time: string }) => Buffer): void {
    const seq = this.host.nextSeq();
    this.host.send(this.did, seq, make({ seq, time: new Date().toISOString() }));
  }
}

/** getRepoStatus of the relay, once it is `wanted` or too much time has passed. */
async function statusAfter(relay: RelayProcess, did: string, wanted: string): Promise<string> {
  const endMs = performance.now() + WAIT_MS;
  for (;;) {
    const answer = await fetch(`${relay.url}/xrpc/com.atproto.sync.getRepoStatus?did=${did}`);
    const { active, status } = (await answer.json()) as { active?: boolean; status?: string };
    const found = `${active} ${status}`;
    if (found === wanted || performance.now() > endMs) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function timesAsked(host: FleetHost, did: string): number {
  return host.repoStatusAsked.filter((asked) => asked === did).length;
}

t.test('AC-8, AC-12, H147, H155, G9: said once, in order, also over a kill -9', async (t) => {
  const directory = await PlcDirectory.start();
  const host = await FleetHost.start('a');
  // No checkpoint: after the kill everything comes from the log, and the host sends all again.
  const env = { RELAY_PLC_HOST: directory.url, RELAY_CHECKPOINT_PERIOD: '10m' };
  let relay = await RelayProcess.start({ env });
  const live = new RecordingConsumer(() => relay.streamUrl);
  const told: string[] = [];
  live.onFrame = (frame, { kind, did }) => {
    if (decodeEvent(frame, kind, view) !== undefined) throw new Error('not an event');
    const { active, status } = view;
    const says =
      kind === KIND_ACCOUNT ? ` ${active ? 'active' : 'inactive'} ${status}`.trimEnd() : '';
    told.push(`${did.slice(8, 12)} ${KIND_NAMES[kind]}${says}`);
  };
  t.teardown(async () => {
    live.stop();
    await relay.dispose();
    await host.stop();
    await directory.stop();
  });
  const arrived = (count: number) => eventually(() => told.length >= count, WAIT_MS);
  await relay.crawl(host.hostname);
  t.ok(await eventually(() => host.readerCount === 1, WAIT_MS));

  const missed = new Person('missed', host, directory);
  const gone = new Person('gone', host, directory);
  missed.write();
  gone.write();
  t.ok(await arrived(2));
  host.repoStatus.set(missed.did, { did: missed.did, active: true });
  missed.say(false, 'deactivated');
  missed.write();
  t.ok(await arrived(5), 'AC-12: the commit passes');
  directory.tombstone(gone.did);
  gone.prod();
  gone.write();
  t.ok(await arrived(7), 'AC-8: the account is gone');
  const becomes = async (wanted: string): Promise<void> => {
    t.equal(await statusAfter(relay, gone.did, wanted), wanted);
  };
  await becomes('false deleted');
  t.same(await relay.rejects(), { identity_tombstoned: 1 });

  await relay.kill();
  relay = await RelayProcess.start({ env, dataDir: relay.dataDir });
  t.ok(await eventually(() => host.readerCount === 1, WAIT_MS));
  await becomes('false deleted');
  gone.write();
  missed.write();
  t.ok(await arrived(8));
  // The directory takes the tombstone back; the account is back when its host says so.
  directory.restore(gone.did);
  gone.say(true);
  gone.write();
  t.ok(await arrived(10));
  await becomes('true undefined');
  const by = (name: string): string[] => told.filter((text) => text.startsWith(name));
  t.same(by('miss'), [
    'miss #commit',
    'miss #account inactive deactivated',
    'miss #account active',
    'miss #commit',
    'miss #commit',
  ]);
  t.same(by('gone'), [
    'gone #commit',
    'gone #account inactive deleted',
    'gone #identity',
    'gone #account active',
    'gone #commit',
  ]);
  t.same(live.violations, [], 'G1: contiguous');
  t.equal(timesAsked(host, missed.did), 1, 'and its host was asked once');
});
