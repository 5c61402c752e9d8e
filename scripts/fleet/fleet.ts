/**
 * A small network: hosts with accounts, real keys, signed commits and a PLC directory, all on
 * loopback and deterministic from a seed but for ports and times.
 */
import { Prng } from '../../lib/base/prng.ts';
import { accountFrame, commitFrame, identityFrame, syncFrame } from './event-frames.ts';
import { FleetHost } from './fleet-host.ts';
import { PlcDirectory } from './plc-directory.ts';
import { encodePost, SignedRepo } from './signed-repo.ts';

export type FleetOptions = {
  readonly hostCount: number;
  readonly accountsPerHost: number;
  readonly seed: number;
  /** Called as each host is up, with how many are. */
  readonly onHost?: (hostCount: number) => void;
};

export type FleetAccount = {
  readonly repo: SignedRepo;
  readonly host: FleetHost;
  readonly handle: string;
  isAnnounced: boolean;
};

const DID_CHARS = 'abcdefghijklmnopqrstuvwxyz234567';
const RECORDS_MAX = 60;

export class Fleet {
  readonly directory: PlcDirectory;
  readonly hosts: readonly FleetHost[];
  readonly accounts: readonly FleetAccount[];
  readonly #prng: Prng;
  #postCount = 0;

  private constructor(
    directory: PlcDirectory,
    hosts: readonly FleetHost[],
    accounts: readonly FleetAccount[],
    prng: Prng,
  ) {
    this.directory = directory;
    this.hosts = hosts;
    this.accounts = accounts;
    this.#prng = prng;
  }

  static async start(options: FleetOptions): Promise<Fleet> {
    const prng = new Prng(options.seed);
    const directory = await PlcDirectory.start();
    const hosts: FleetHost[] = [];
    const accounts: FleetAccount[] = [];
    for (let h = 0; h < options.hostCount; h++) {
      const host = await FleetHost.start(`host-${h}`, { seqStart: 100 * h });
      hosts.push(host);
      for (let a = 0; a < options.accountsPerHost; a++) {
        const did = `did:plc:${randomText(prng, 24)}`;
        const curve = prng.nextBelow(4) === 0 ? 'p256' : 'k256';
        const repo = new SignedRepo({ did, seed: `${options.seed}/${h}/${a}`, curve });
        const handle = `user${h}-${a}.test`;
        directory.set(did, repo.keypair, host.origin, handle);
        accounts.push({ repo, host, handle, isAnnounced: false });
      }
      options.onHost?.(h + 1);
    }
    return new Fleet(directory, hosts, accounts, prng);
  }

  get sentCount(): number {
    return this.hosts.reduce((sum, host) => sum + host.truth.length, 0);
  }

  /** One event somewhere, as a user would cause it; a new account comes with its four. */
  step(): void {
    const account = this.accounts[this.#prng.nextBelow(this.accounts.length)] as FleetAccount;
    if (!account.isAnnounced) {
      this.announce(account);
      return;
    }
    const dice = this.#prng.nextBelow(100);
    if (dice < 2) this.#sendIdentity(account);
    else if (dice < 3) this.#sendAccount(account);
    else this.#sendCommit(account);
  }

  /** What a PDS sends for a new account: #identity, #account, first #commit, #sync. */
  announce(account: FleetAccount): void {
    account.isAnnounced = true;
    this.#sendIdentity(account);
    this.#sendAccount(account);
    this.#send(account, (stamp) => {
      return commitFrame(account.repo.commit([], { epochMs: Date.now() }), stamp);
    });
    this.#send(account, (stamp) => syncFrame(account.repo.sync(), stamp));
  }

  /**
   * Causes `eventsPerSecond` events in even portions until the signal aborts. What the machine
   * cannot make in time is left out, not saved up.
   */
  async run(eventsPerSecond: number, signal: AbortSignal): Promise<void> {
    const portionMs = 20;
    let owed = 0;
    while (!signal.aborted) {
      owed = Math.min(owed + (eventsPerSecond * portionMs) / 1000, eventsPerSecond);
      for (; owed >= 1; owed--) this.step();
      await new Promise((resolve) => setTimeout(resolve, portionMs));
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.stop()));
    await this.directory.stop();
  }

  #sendIdentity(account: FleetAccount): void {
    const { did } = account.repo;
    this.#send(account, (stamp) => identityFrame({ did, handle: account.handle }, stamp));
  }

  #sendAccount(account: FleetAccount): void {
    const { did } = account.repo;
    this.#send(account, (stamp) => accountFrame({ did, active: true }, stamp));
  }

  #sendCommit(account: FleetAccount): void {
    const { repo } = account;
    const { paths } = repo;
    const dice = this.#prng.nextBelow(10);
    this.#postCount += 1;
    const record = encodePost(`post ${this.#postCount}`, new Date().toISOString());
    const old = paths[this.#prng.nextBelow(Math.max(paths.length, 1))];
    const isShrinking = paths.length >= RECORDS_MAX || dice < 1;
    const create = {
      action: 'create' as const,
      path: `app.bsky.feed.post/${randomText(this.#prng, 13)}`,
      record,
    };
    const write =
      old === undefined
        ? create
        : isShrinking
          ? { action: 'delete' as const, path: old }
          : dice < 2
            ? { action: 'update' as const, path: old, record }
            : create;
    this.#send(account, (stamp) => {
      return commitFrame(repo.commit([write], { epochMs: Date.now() }), stamp);
    });
  }

  #send(account: FleetAccount, make: (stamp: { seq: number; time: string }) => Buffer): void {
    const seq = account.host.nextSeq();
    const bytes = make({ seq, time: new Date().toISOString() });
    account.host.send(account.repo.did, seq, bytes);
  }
}

function randomText(prng: Prng, length: number): string {
  let text = '';
  while (text.length < length) text += DID_CHARS.charAt(prng.nextBelow(DID_CHARS.length));
  return text;
}
