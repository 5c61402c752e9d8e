/**
 * Where one hostile input is tried: a host of its own with two accounts, whose good frames go
 * before and after it. `verdictOf` tells from outside what the relay made of the input: from what
 * the consumer got, from the counters, from the host's connections.
 */
import { hash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { REJECTS, type RejectCode } from '../../lib/reject/codes.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { commitFrame, type Stamp } from '../../scripts/fleet/event-frames.ts';
import { FleetHost, type MessageForm } from '../../scripts/fleet/fleet-host.ts';
import type { PlcDirectory } from '../../scripts/fleet/plc-directory.ts';
import type { Curve } from '../../scripts/fleet/repo-keypair.ts';
import { encodePost, type RepoWrite, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import type { RelayProcess } from '../helpers/relay-process.ts';
import { eventually } from '../helpers/stream-checker.ts';
import type { Stranger } from './ledger.ts';
import { Observation } from './observation.ts';
import type { World } from './world.ts';

export type SceneAccount = {
  readonly did: string;
  readonly handle: string;
  readonly host: FleetHost;
  /** Its state as the relay should know it. Hostile commits are made by a `fork()` of it. */
  repo: SignedRepo;
};

export type AccountOptions = {
  /** Where it lives by its document; the scene's host by default. */
  readonly host?: FleetHost;
  readonly did?: string;
  readonly handle?: string;
  readonly curve?: Curve;
  /** False: the directory knows it, but it has sent nothing yet. */
  readonly isAnnounced?: boolean;
};

/** A message, or what makes it when its turn comes: `seq` is the next one of the host. */
export type Hostile = Buffer | HostileMessage | ((stamp: Stamp) => Buffer | HostileMessage);
export type HostileMessage = {
  readonly bytes: Buffer;
  /** The host that sends it, when it is not the scene's. */
  readonly host?: FleetHost;
  /** `binary` by default. */
  readonly form?: MessageForm;
  /** No part of the stream: not sent again to who reconnects. */
  readonly isOnce?: boolean;
};

export type VerdictOptions = {
  /** Accounts that send good frames before and after; by default the two of the scene. */
  readonly witnesses?: readonly SceneAccount[];
  /** How long an outcome may take, in milliseconds. */
  readonly msMax?: number;
};

const SETTLE_MS = 30_000;
const POLL_MS_MIN = 5;
const POLL_MS_MAX = 100;
const RESTARTS = 'relay_thread_restarts_total';
const DISCONTINUOUS = 'relay_verify_discontinuous_commits_total';

export class Scene {
  readonly world: World;
  #host: FleetHost | undefined;
  /** The account that hostile inputs are about, and one that they are not about. */
  #witnesses: SceneAccount[] = [];
  readonly #hosts: FleetHost[] = [];
  /** What came out of the last `verdictOf`, as the consumer got it. */
  emitted: readonly Buffer[] = [];
  #postCount = 0;

  constructor(world: World) {
    this.world = world;
  }

  get relay(): RelayProcess {
    return this.world.relay;
  }

  get directory(): PlcDirectory {
    return this.world.directory;
  }

  get host(): FleetHost {
    return this.#host as FleetHost;
  }

  /** Hostile inputs are about this account. */
  get subject(): SceneAccount {
    return this.#witnesses[0] as SceneAccount;
  }

  /** An account of the same host that has nothing to do with it. */
  get neighbour(): SceneAccount {
    return this.#witnesses[1] as SceneAccount;
  }

  async open(): Promise<void> {
    this.#host = await this.newHost();
    this.#witnesses = [this.account(), this.account({ curve: 'p256' })];
  }

  async stop(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop()));
  }

  /** Another host that the relay reads. */
  async newHost(): Promise<FleetHost> {
    const host = await this.silentHost();
    await this.relay.crawl(host.hostname);
    const isRead = await eventually(() => host.readerCount === 1, SETTLE_MS);
    if (!isRead) throw new Error(`${host.name} is not read`);
    return host;
  }

  /** Another host that the relay has not heard of. */
  async silentHost(): Promise<FleetHost> {
    const host = await FleetHost.start(`host-${this.world.nextNumber()}`);
    this.#hosts.push(host);
    return host;
  }

  /** A new account with its document; it sends one good commit unless told otherwise. */
  account(options: AccountOptions = {}): SceneAccount {
    const number = this.world.nextNumber();
    const host = options.host ?? this.host;
    const did = options.did ?? `did:plc:${plcName(`account ${number}`)}`;
    const handle = options.handle ?? `user-${number}.test`;
    const repo = new SignedRepo({ did, seed: `${number}`, curve: options.curve ?? 'k256' });
    this.directory.set(did, repo.keypair, host.origin, handle);
    const account = { did, handle, host, repo };
    if (options.isAnnounced !== false) this.good(account);
    return account;
  }

  /** A write that no account of the scene has made before. */
  post(): RepoWrite {
    this.#postCount += 1;
    const path = `app.bsky.feed.post/${plcName(`post ${this.#postCount}`).slice(0, 13)}`;
    const record = encodePost(`post ${this.#postCount}`, '2026-09-01T00:00:00.000Z');
    return { action: 'create', path, record };
  }

  /** Sends a good commit, which must arrive. */
  good(account: SceneAccount, writes: readonly RepoWrite[] = [this.post()]): void {
    const parts = account.repo.commit(writes, { epochMs: Date.now() });
    this.goodFrame(account, (stamp) => commitFrame(parts, stamp));
  }

  /** Sends any good frame of an account, which must arrive. */
  goodFrame(account: SceneAccount, make: (stamp: Stamp) => Buffer): void {
    const stamp = stampOf(account.host);
    const bytes = make(stamp);
    this.world.ledger.expect(bytes);
    account.host.send(account.did, stamp.seq, bytes);
  }

  /** Sends a hostile message without waiting for anything; the scene's host by default. */
  raw(hostile: Hostile): Buffer {
    const stamp = stampOf(this.host);
    const made = typeof hostile === 'function' ? hostile(stamp) : hostile;
    const message = Buffer.isBuffer(made) ? { bytes: made } : made;
    const { bytes, form = 'binary', isOnce = false, host = this.host } = message;
    if (isOnce) host.sendOnce(bytes, form);
    else host.sendPoison('', host === this.host ? stamp.seq : host.nextSeq(), bytes, form);
    return bytes;
  }

  /** Waits until all good frames have arrived; throws when they do not. */
  async settled(): Promise<void> {
    const { ledger } = this.world;
    if (await eventually(() => ledger.missingCount === 0, SETTLE_MS)) return;
    const rejects = JSON.stringify(await this.relay.rejects());
    throw new Error(`${ledger.missingCount} good frames did not arrive; rejects ${rejects}`);
  }

  /** What the counters and this scene's hosts say now. */
  observe(): Promise<Observation> {
    return Observation.take(this.relay, this.#hosts);
  }

  /**
   * Good frames, then the hostile messages one by one, each followed by good frames. The answer
   * names one verdict per message. Throws when a good frame is missing, came twice or came changed,
   * when a message that did not pass left a trace in the state of an account, and when it cost the
   * relay a thread.
   */
  async verdictOf(
    hostile: Hostile | readonly Hostile[],
    options: VerdictOptions = {},
  ): Promise<string> {
    const witnesses = options.witnesses ?? this.#witnesses;
    for (const account of witnesses) this.good(account);
    await this.settled();
    const list = isList(hostile) ? hostile : [hostile];
    const verdicts: string[] = [];
    this.emitted = [];
    for (const one of list) {
      verdicts.push(await this.#judge(() => this.raw(one), witnesses, options.msMax ?? SETTLE_MS));
    }
    return verdicts.join(', ');
  }

  /**
   * Runs each input in a scene of its own, or so many of them in one, this scene being the first.
   * One verdict when all agree; else all of them, each with the names of its inputs:
   * `DROP did_syntax_bad (a, b), PASS (c)`.
   */
  async each<Input>(
    inputs: readonly Input[] | Readonly<Record<string, Input>>,
    run: (scene: Scene, input: Input) => Promise<string>,
    perScene = 1,
  ): Promise<string> {
    const namesOf = new Map<string, string[]>();
    let scene: Scene = this;
    let count = 0;
    for (const [name, input] of Object.entries<Input>({ ...inputs })) {
      if (count > 0 && count % perScene === 0) scene = await this.world.newScene();
      count += 1;
      const verdict = await run(scene, input);
      const names = namesOf.get(verdict);
      if (names === undefined) namesOf.set(verdict, [name]);
      else names.push(name);
    }
    const groups = [...namesOf];
    if (groups.length === 1) return groups[0]?.[0] ?? '';
    return groups.map(([verdict, names]) => `${verdict} (${names.join(', ')})`).join(', ');
  }

  /** The same for something else that the host does; that it may reconnect is no verdict. */
  async verdictAfter(act: () => void, options: VerdictOptions = {}): Promise<string> {
    const witnesses = options.witnesses ?? this.#witnesses;
    for (const account of witnesses) this.good(account);
    await this.settled();
    this.emitted = [];
    const perform = (): undefined => {
      act();
    };
    return this.#judge(perform, witnesses, options.msMax ?? SETTLE_MS);
  }

  /** `act` gives the message it sent, if it is one. */
  async #judge(
    act: () => Buffer | undefined,
    witnesses: readonly SceneAccount[],
    msMax: number,
  ): Promise<string> {
    const { ledger } = this.world;
    const strangersBefore = ledger.strangers.length;
    const before = await this.observe();
    const sent = act();
    for (const account of witnesses) this.good(account);
    const endMs = performance.now() + msMax;
    const outcome = async (): Promise<string> => {
      const now = await this.observe();
      return verdictFrom(before, now, sent, ledger.strangers.slice(strangersBefore));
    };
    let first = await outcome();
    let pollMs = POLL_MS_MIN;
    while ((first === '' || ledger.missingCount > 0) && performance.now() < endMs) {
      await wait(pollMs);
      pollMs = Math.min(2 * pollMs, POLL_MS_MAX);
      first = await outcome();
    }
    // Once more: what comes late, or a second time, shows now.
    for (const account of witnesses) this.good(account);
    await this.settled();
    const last = await outcome();
    const now = await this.observe();
    if (now.since(before, RESTARTS) > 0) throw new Error(`${last}, but a thread has ended`);
    const strangers = ledger.strangers.slice(strangersBefore);
    this.emitted = [...this.emitted, ...strangers.map(({ bytes }) => bytes)];
    if (!last.startsWith('PASS')) {
      const marks = now.since(before, DISCONTINUOUS);
      if (marks > 0) throw new Error(`${last}, but the state of an account has changed`);
    }
    return last === '' ? 'NOTHING' : last;
  }
}

/** '' while nothing is to be seen. `sent` is undefined where no message is judged. */
function verdictFrom(
  before: Observation,
  now: Observation,
  sent: Buffer | undefined,
  strangers: readonly Stranger[],
): string {
  const codes = now.rejectsSince(before);
  const strikes = now.since(before, 'relay_upstream_strikes_total');
  const isClosed = sent !== undefined && now.connectCount > before.connectCount;
  const passed = strangers.map(({ bytes }) => (isSame(bytes, sent) ? 'PASS' : 'PASS changed'));
  const isCause = isClosed && codes.length === 1;
  const rejected = codes.map((code) => {
    return isCause ? `CLOSE ${code}` : wordOf(code, strikes, isClosed);
  });
  if (passed.length + rejected.length > 0) {
    if (rejected.includes('')) return '';
    const isStray = isClosed && rejected.length === 0;
    return [...passed, ...rejected, ...(isStray ? ['CLOSE'] : [])].join(' and ');
  }
  if (now.since(before, 'relay_upstream_info_frames_total') > 0) return 'IGNORE';
  return isClosed ? `CLOSE ${now.causesSince(before).join(' ')}` : '';
}

/** '' while the strike or the close that the code asks for has not come. */
function wordOf(code: RejectCode, strikes: number, isClosed: boolean): string {
  const { action } = REJECTS[code];
  if (action === 'close') return isClosed ? `CLOSE ${code}` : '';
  if (action === 'ignore') return `IGNORE ${code}`;
  if (action === 'strike' && strikes === 0) return '';
  if (strikes > 1) return `${strikes} STRIKES ${code}`;
  return `${strikes === 1 ? 'STRIKE' : 'DROP'} ${code}`;
}

/** Whether only the value of `seq` differs. */
export function isSame(emitted: Buffer, sent: Buffer | undefined): boolean {
  if (sent === undefined) return false;
  const [a, b] = [withoutSeq(emitted), withoutSeq(sent)];
  return a !== undefined && b !== undefined && a.equals(b);
}

function withoutSeq(frame: Buffer): Buffer | undefined {
  const peeked = new Peek();
  const view = new EventView();
  if (peek(frame, peeked) !== 'event') return undefined;
  if (decodeEvent(frame, peeked.kind, view) !== undefined) return undefined;
  return Buffer.concat([frame.subarray(0, view.seqStart), frame.subarray(view.seqEnd)]);
}

function stampOf(host: FleetHost): Stamp {
  return { seq: host.nextSeq(), time: new Date().toISOString() };
}

/** 24 characters as a did:plc has them. */
function plcName(seed: string): string {
  const letters = 'abcdefghijklmnopqrstuvwxyz234567';
  const digest = hash('sha256', seed, 'buffer');
  return Array.from(digest.subarray(0, 24), (byte) => letters[byte & 31]).join('');
}

function isList(hostile: Hostile | readonly Hostile[]): hostile is readonly Hostile[] {
  return Array.isArray(hostile);
}
