/**
 * Events per second through a whole relay: simulated hosts, the relay in a process of its own with
 * its database, one consumer. Against the same frames read straight from hosts, by as many sockets,
 * with nothing in between. Hosts and consumer run in this process and share the machine with the
 * relay. Frames are made before the time starts.
 */
import WebSocket from 'ws';
import { DemoConsumer } from '../../scripts/demo/consumer.ts';
import { Ledger } from '../../scripts/demo/ledger.ts';
import { RelayProcess } from '../../scripts/demo/relay-process.ts';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { FleetHost, type SentFrame } from '../../scripts/fleet/fleet-host.ts';
import { type Bench, compare, mustBe, type Print, type Scale } from './rounds.ts';

const HOSTS = 4;
const ACCOUNTS_PER_HOST = 25;
const WAIT_MS_MAX = 60_000;
const POLL_MS = 2;

type Staged = readonly (readonly [hostIndex: number, frame: SentFrame])[];

async function until(condition: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`${what}: not within ${WAIT_MS_MAX} ms`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The relay with hosts before it and a consumer behind it. */
class Chain {
  readonly fleet: Fleet;
  readonly relay: RelayProcess;
  readonly ledger = new Ledger();
  #consumer: DemoConsumer | undefined;

  constructor(fleet: Fleet) {
    this.fleet = fleet;
    this.relay = new RelayProcess(fleet.directory.url);
  }

  /** Every account is known to the relay afterwards: no look-up is in what is measured. */
  async start(): Promise<void> {
    const { signal } = new AbortController();
    await this.relay.untilServing(signal);
    for (const { hostname } of this.fleet.hosts) await this.relay.requestCrawl(hostname, signal);
    const consumer = new DemoConsumer(this.relay.streamUrl, this.ledger);
    this.#consumer = consumer;
    const isConnected = (): boolean => this.fleet.hosts.every((host) => host.readerCount === 1);
    await until(() => consumer.isOpen && isConnected(), 'connections');
    for (const host of this.fleet.hosts) {
      host.onSend = ({ bytes }) => this.ledger.onSent(bytes, performance.now());
    }
    for (const account of this.fleet.accounts) this.fleet.announce(account);
    await until(() => this.ledger.waitingCount === 0, 'announcements');
  }

  /** Makes events without sending them. */
  stage(eventCount: number): Staged {
    const staged: [number, SentFrame][] = [];
    const { hosts } = this.fleet;
    for (const [index, host] of hosts.entries()) {
      host.send = (did, seq, bytes) => staged.push([index, { did, seq, bytes }]);
    }
    while (staged.length < eventCount) this.fleet.step();
    for (const host of hosts) host.send = FleetHost.prototype.send;
    return staged;
  }

  /** µs per event until the consumer has them all. */
  async measure(staged: Staged): Promise<number> {
    const { hosts } = this.fleet;
    const startMs = performance.now();
    for (const [index, { did, seq, bytes }] of staged) hosts[index]?.send(did, seq, bytes);
    await until(() => this.ledger.waitingCount === 0, 'events');
    return (1000 * (performance.now() - startMs)) / staged.length;
  }

  async stop(): Promise<void> {
    this.#consumer?.stop();
    await this.relay.stop();
    await this.fleet.stop();
    mustBe(this.ledger.doubledCount, 0, 'events that came twice');
    mustBe(this.relay.problem, undefined, 'end of the relay');
  }
}

/** Hosts whose readers do nothing but count. */
class PassThrough {
  readonly #hosts: readonly FleetHost[];
  readonly #sockets: WebSocket[] = [];
  readonly #ledger = new Ledger();

  private constructor(hosts: readonly FleetHost[]) {
    this.#hosts = hosts;
  }

  static async start(): Promise<PassThrough> {
    const names = Array.from({ length: HOSTS }, (_, index) => `pass-through ${index}`);
    const lane = new PassThrough(await Promise.all(names.map((name) => FleetHost.start(name))));
    for (const host of lane.#hosts) {
      const url = `ws://${host.hostname}/xrpc/com.atproto.sync.subscribeRepos`;
      const socket = new WebSocket(url, { perMessageDeflate: false });
      lane.#sockets.push(socket);
      socket.on('error', () => {});
      socket.on('message', (frame: Buffer) => lane.#ledger.onReceived(frame, performance.now()));
      // The same book-keeping on both sides of the comparison.
      host.onSend = ({ bytes }) => lane.#ledger.onSent(bytes, performance.now());
    }
    await until(() => lane.#hosts.every((host) => host.readerCount === 1), 'connections');
    return lane;
  }

  async measure(staged: Staged): Promise<number> {
    const startMs = performance.now();
    for (const [index, { did, seq, bytes }] of staged) this.#hosts[index]?.send(did, seq, bytes);
    await until(() => this.#ledger.waitingCount === 0, 'events');
    return (1000 * (performance.now() - startMs)) / staged.length;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.terminate();
    await Promise.all(this.#hosts.map((host) => host.stop()));
  }
}

async function run(scale: Scale, print: Print): Promise<void> {
  const eventCount = scale.isSmoke ? 100 : 2000;
  const options = { hostCount: HOSTS, accountsPerHost: ACCOUNTS_PER_HOST, seed: 1 };
  const chain = new Chain(await Fleet.start(options));
  const passThrough = await PassThrough.start();
  try {
    await chain.start();
    let left: Staged | undefined;
    // Both variants of a round get the same events; the first to run has them made.
    const share = (): Staged => {
      const staged = left ?? chain.stage(eventCount);
      left = left === undefined ? staged : undefined;
      return staged;
    };
    await compare(
      `relay: ${eventCount} events of ${HOSTS} hosts to one consumer; time per event`,
      [
        { name: 'the relay', measure: () => chain.measure(share()) },
        { name: 'straight from the hosts', measure: () => passThrough.measure(share()) },
      ],
      scale,
      print,
    );
  } finally {
    await passThrough.stop();
    await chain.stop();
  }
}

export const relayBench: Bench = {
  name: 'relay',
  about: 'events through a whole relay, against none in between',
  run,
};
