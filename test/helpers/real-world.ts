/**
 * PDS hosts, a PLC directory and consumers that we did not write (test/real), each group in a
 * process of its own; and what each host really sent, recorded live: a PDS forgets what it sent
 * about an account that it deletes.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_ACCOUNT } from '../../lib/wire/kinds.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import type { SentFrame } from '../../scripts/fleet/fleet-host.ts';
import type { ForgingDoor } from './forging-door.ts';
import type { PlainDoor } from './plain-door.ts';
import type { PlcForms } from './plc-forms.ts';

const ADMIN = `Basic ${Buffer.from('admin:a password for tests only').toString('base64')}`;
/** The JSON of real XRPC answers, as far as tests read it. */
// biome-ignore lint/suspicious/noExplicitAny: answers of software that is not ours
type Json = any;

function forkReal(file: string): ChildProcess {
  // Its log lines would drown ours; a crash still shows.
  const env = { PATH: process.env['PATH'], LOG_ENABLED: 'false', NODE_ENV: 'test' };
  const path = new URL(`../real/${file}`, import.meta.url);
  return fork(path, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env });
}

/** An XRPC query anywhere; the body whatever the status. */
export async function query(
  origin: string,
  method: string,
  params: Record<string, string>,
): Promise<Json> {
  const answer = await fetch(`${origin}/xrpc/${method}?${new URLSearchParams(params)}`);
  return answer.json();
}

/** The next message of a child; rejects when it ends instead. */
function answerOf(child: ChildProcess): Promise<Json> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`child ended with ${code}`));
    child.once('exit', onExit);
    child.once('message', (message) => {
      child.off('exit', onExit);
      resolve(message);
    });
  });
}

/** A PDS as its users and its operator see it. */
export class RealPds {
  readonly index: number;
  readonly door: PlainDoor | ForgingDoor;
  /** All events in the order of the host, with its own seq. */
  readonly sent: SentFrame[] = [];
  readonly origin: string;
  readonly #recorder: WebSocket;

  constructor(index: number, door: PlainDoor | ForgingDoor, port: number) {
    this.index = index;
    this.door = door;
    this.origin = `http://localhost:${port}`;
    const url = `ws://localhost:${port}/xrpc/com.atproto.sync.subscribeRepos?cursor=0`;
    this.#recorder = new WebSocket(url, { perMessageDeflate: false });
    const peeked = new Peek();
    this.#recorder.on('message', (bytes: Buffer) => {
      if (peek(bytes, peeked) !== 'event') throw new Error('the PDS sent no event');
      const did = bytes.toString('latin1', peeked.didStart, peeked.didEnd);
      this.sent.push({ seq: peeked.hostSeq, did, bytes });
    });
  }

  /** The name by which the world knows it. */
  get hostname(): string {
    return `localhost:${this.door.port}`;
  }

  get handleDomain(): string {
    return `.pds${this.index}.test`;
  }

  async recording(): Promise<void> {
    if (this.#recorder.readyState === WebSocket.OPEN) return;
    await new Promise((resolve, reject) => {
      this.#recorder.once('open', resolve).once('error', reject);
    });
  }

  /** A procedure; `input` is null where it takes none. With the token of a user, if it wants one. */
  call(method: string, input: object | null, token?: string): Promise<Json> {
    return this.#call(
      method,
      input,
      token === undefined ? {} : { authorization: `Bearer ${token}` },
    );
  }

  /** A procedure of the host's operator. */
  administer(method: string, input: object): Promise<Json> {
    return this.#call(method, input, { authorization: ADMIN });
  }

  async #call(method: string, input: object | null, auth: Record<string, string>): Promise<Json> {
    const type = input === null ? {} : { 'content-type': 'application/json' };
    const answer = await fetch(`${this.origin}/xrpc/${method}`, {
      method: 'POST',
      headers: { ...type, ...auth },
      body: input === null ? null : JSON.stringify(input),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method}: ${answer.status} ${text}`);
    return text === '' ? {} : JSON.parse(text);
  }

  /** Whether the commit with this rev has been sent: then everything before it has, too. */
  hasSent(rev: string): boolean {
    return this.sent.some(({ bytes }) => bytes.includes(rev, 0, 'latin1'));
  }

  stopRecording(): void {
    this.#recorder.terminate();
  }
}

/** What a consumer says of itself; see test/real/consume.ts. */
export type ConsumerReport = {
  readonly seqs: readonly number[];
  readonly writes: readonly string[];
  readonly kinds: Readonly<Record<string, number>>;
  readonly handles: readonly string[];
  readonly errors: readonly string[];
  readonly pendingCount: number;
};

export class RealWorld {
  readonly plc: PlcForms;
  readonly pds: readonly RealPds[];
  readonly #dataDir: string;
  readonly #servers: ChildProcess;
  readonly #consumers: ChildProcess;

  private constructor(
    plc: PlcForms,
    pds: readonly RealPds[],
    dataDir: string,
    servers: ChildProcess,
    consumers: ChildProcess,
  ) {
    this.plc = plc;
    this.pds = pds;
    this.#dataDir = dataDir;
    this.#servers = servers;
    this.#consumers = consumers;
  }

  /** The directory behind `plc`, a PDS behind each door, consumers that wait for their orders. */
  static async start(
    plc: PlcForms,
    doors: readonly (PlainDoor | ForgingDoor)[],
  ): Promise<RealWorld> {
    const dataDir = mkdtempSync(join(tmpdir(), 'skyrelay-real-'));
    for (const index of doors.keys()) mkdirSync(join(dataDir, `pds${index}`));
    const servers = forkReal('world.ts');
    const consumers = forkReal('consume.ts');
    const consumersReady = answerOf(consumers);
    servers.send({ dataDir, publicPorts: doors.map((door) => door.port) });
    const { plcPort, pdsPorts } = await answerOf(servers);
    await consumersReady;
    const pds = doors.map((door, index) => {
      door.targetPort = pdsPorts[index];
      return new RealPds(index, door, pdsPorts[index]);
    });
    await Promise.all(pds.map((host) => host.recording()));
    plc.target = `http://localhost:${plcPort}`;
    return new RealWorld(plc, pds, dataDir, servers, consumers);
  }

  get sentCount(): number {
    return this.pds.reduce((sum, host) => sum + host.sent.length, 0);
  }

  startConsumer(options: {
    reader: string;
    name: string;
    service: string;
    cursor: number;
    isCaching: boolean;
  }): void {
    const handles = Object.fromEntries(this.pds.map((host) => [host.handleDomain, host.origin]));
    this.#consumers.send({ type: 'start', plcUrl: this.plc.url, handles, ...options });
  }

  /** What every consumer got so far; rejects when one of them ended their process. */
  async reports(): Promise<Record<string, ConsumerReport>> {
    const { exitCode } = this.#consumers;
    if (exitCode !== null) throw new Error(`the consumers ended with ${exitCode}`);
    const answer = answerOf(this.#consumers);
    this.#consumers.send({ type: 'report' });
    return answer;
  }

  async stop(): Promise<void> {
    for (const host of this.pds) host.stopRecording();
    for (const child of [this.#servers, this.#consumers]) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.disconnect();
      await ended;
    }
    rmSync(this.#dataDir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** `action did/path` of each write in these events, as consumers report them. */
export function writesOf(frames: readonly SentFrame[]): string[] {
  const peeked = new Peek();
  const view = new EventView();
  return frames.flatMap(({ bytes }) => {
    if (peek(bytes, peeked) !== 'event') return [];
    const bad = decodeEvent(bytes, peeked.kind, view);
    if (bad !== undefined) throw new Error(`a real PDS sent what we refuse: ${bad}`);
    const count = view.opCount;
    return view.ops.slice(0, count).map(({ action, path }) => `${action} ${view.did}/${path}`);
  });
}

/** The status of each #account event, '' where it has none. */
export function statusesOf(frames: readonly SentFrame[]): string[] {
  const peeked = new Peek();
  const view = new EventView();
  return frames.flatMap(({ bytes }) => {
    if (peek(bytes, peeked) !== 'event' || peeked.kind !== KIND_ACCOUNT) return [];
    decodeEvent(bytes, KIND_ACCOUNT, view);
    return [view.status];
  });
}
