/**
 * A session that three real hosts had with 75 accounts, played through a whole relay: accounts
 * that move, come, go, are taken down and deleted, with the keys and hosts that were valid at each
 * moment. What may pass and what must not, and how every account ended, was written down with it.
 */
import { createServer } from 'node:http';
import t from 'tap';
import { KIND_IDENTITY } from '../../lib/wire/kinds.ts';
import { FleetHost } from '../../scripts/fleet/fleet-host.ts';
import { PlcDirectory } from '../../scripts/fleet/plc-directory.ts';
import {
  readSessionFrames,
  readSessionIdentities,
  readSessionWorld,
  type SessionFrame,
} from '../helpers/real-session.ts';
import { type RecordedChange, recordedChanges } from '../helpers/recorded-directory.ts';
import { describeFrame, RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkStream, eventually } from '../helpers/stream-checker.ts';

/** The session took 36 s. */
const SPEED = 6;
/** A little over RELAY_IDENTITY_REFRESH. */
const REFRESH_MS = 1100;

t.setTimeout(110_000);

const frames = readSessionFrames();
const world = readSessionWorld();
const identities = readSessionIdentities();
const about = frames.map(({ bytes }) => describeFrame(bytes));
const stale = new Set(world.stale);
const odd = new Set(world.oddSync);

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Wall-clock time of the session at its first frame: no event arrived before it happened. */
function sessionStartMs(): number {
  const times = frames.map(({ bytes, afterMs }) => {
    const time = /dtime\x78\x18(.{24})/.exec(bytes.toString('latin1'))?.[1] ?? '';
    return Date.parse(time) - afterMs;
  });
  return Math.max(...times);
}

class Player {
  readonly #hosts: readonly FleetHost[];
  readonly #directory: PlcDirectory;
  readonly #changes: readonly RecordedChange[];
  readonly #isSettled: (sentCount: number) => Promise<boolean>;
  readonly #epochMs = sessionStartMs();
  /** When the relay last had a reason to ask for the document, by DID. */
  readonly #askedMs = new Map<string, number>();
  readonly #hostOf = new Map<string, number>();
  #nextChange = 0;
  #sentCount = 0;

  constructor(
    hosts: readonly FleetHost[],
    directory: PlcDirectory,
    changes: readonly RecordedChange[],
    isSettled: (sentCount: number) => Promise<boolean>,
  ) {
    this.#hosts = hosts;
    this.#directory = directory;
    this.#changes = changes;
    this.#isSettled = isSettled;
  }

  async play(some: readonly SessionFrame[]): Promise<void> {
    const startMs = performance.now();
    const firstMs = some[0]?.afterMs ?? 0;
    for (const frame of some) {
      const aheadMs = (frame.afterMs - firstMs) / SPEED - (performance.now() - startMs);
      if (aheadMs > 5) await sleep(aheadMs);
      await this.#playOne(frame);
    }
  }

  async #playOne({ number, hostIndex, afterMs, bytes }: SessionFrame): Promise<void> {
    const { did, seq, kind } = about[number - 1] as ReturnType<typeof describeFrame>;
    const isMove = !stale.has(number) && (this.#hostOf.get(did) ?? hostIndex) !== hostIndex;
    // Two hosts' streams are not ordered: here the order between them decides who may speak.
    if (isMove || stale.has(number)) await this.#isSettled(this.#sentCount);
    if (isMove) {
      const waitedMs = performance.now() - (this.#askedMs.get(did) ?? 0);
      if (waitedMs < REFRESH_MS) await sleep(REFRESH_MS - waitedMs);
    }
    this.#changeDocuments(this.#epochMs + afterMs);
    if (!stale.has(number)) this.#hostOf.set(did, hostIndex);
    if (kind === KIND_IDENTITY || stale.has(number)) this.#askedMs.set(did, performance.now());
    const host = this.#hosts[hostIndex] as FleetHost;
    while (host.nextSeq() < seq);
    host.send(did, seq, bytes);
    this.#sentCount += 1;
    if (stale.has(number)) await this.#isSettled(this.#sentCount);
  }

  #changeDocuments(epochMs: number): void {
    for (;;) {
      const change = this.#changes[this.#nextChange];
      if (change === undefined || change.epochMs > epochMs) return;
      this.#directory.setDocument(change.did, change.document);
      this.#nextChange += 1;
    }
  }
}

t.test('H138 H140 A recorded session ends as it ended', async (t) => {
  const startMs = performance.now();
  const directory = await PlcDirectory.start();
  const hosts = await Promise.all(world.pds.map(({ hostname }) => FleetHost.start(hostname)));
  const endpointOf = new Map(world.pds.map(({ i, url }) => [url, hosts[i]?.origin ?? '']));
  const changes = recordedChanges(identities, endpointOf);
  // A did:web names the port at which its document is.
  const web = changes.find(({ did }) => did.startsWith('did:web:')) as RecordedChange;
  const webServer = createServer((_, response) => response.end(JSON.stringify(web.document)));
  await new Promise<void>((resolve, reject) => {
    webServer.once('error', reject).listen(Number(web.did.split('%3A')[1]), '127.0.0.1', resolve);
  });
  const relay = await RelayProcess.start({
    env: { RELAY_PLC_HOST: directory.url, RELAY_IDENTITY_REFRESH: '1s' },
  });
  const live = new RecordingConsumer(() => relay.streamUrl, 0);
  t.teardown(async () => {
    live.stop();
    await relay.dispose();
    await Promise.all([...hosts.map((host) => host.stop()), directory.stop()]);
    await new Promise((resolve) => webServer.close(resolve));
  });
  for (const host of hosts) await relay.crawl(host.hostname);
  t.ok(await eventually(() => hosts.every((host) => host.readerCount === 1), 10_000));
  t.comment(`relay is up after ${Math.round(performance.now() - startMs)} ms`);

  const rejected = async (): Promise<number> =>
    Object.values(await relay.rejects()).reduce((sum, count) => sum + count, 0);
  const isSettled = async (sentCount: number): Promise<boolean> => {
    const endMs = performance.now() + 5000;
    let rejectedCount = 0;
    while (live.received.length + rejectedCount < sentCount) {
      if (performance.now() > endMs) return false;
      await sleep(5);
      rejectedCount = await rejected();
    }
    return true;
  };
  const player = new Player(hosts, directory, changes, isSettled);
  await player.play(frames);
  t.ok(await isSettled(frames.length), 'every frame is answered');
  t.comment(`played after ${Math.round(performance.now() - startMs)} ms`);
  t.comment(await relay.rejects(), live.received.length);

  const got = new Set(live.received.map(({ digest }) => digest));
  const wanted = frames.filter(({ number }) => {
    if (stale.has(number)) return false;
    return !odd.has(number) || got.has(about[number - 1]?.digest ?? '');
  });
  const sent = wanted.map(({ number, bytes }) => ({ seq: 0, did: about[number - 1]?.did ?? '', bytes }));
  t.same(checkStream([sent], live.received).problems, []);
  t.same(live.violations, []);
});
