/**
 * One simulated PDS: a real HTTP listener with `describeServer` and `getRepoStatus`, and a real
 * websocket stream with its own seq, a backlog, and cursors that it honours. Everything it ever
 * sent is kept as truth.
 * It can misbehave as well: any message in any form, cursors ignored, numbers begun anew.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import { errorFrame } from './event-frames.ts';

/**
 * `wire`: the bytes are websocket frames already, whole or in pieces, and go to the socket as they
 * are.
 */
export type MessageForm = 'binary' | 'text' | 'wire';
export type SentFrame = {
  readonly seq: number;
  readonly did: string;
  readonly bytes: Buffer;
  /** `binary` by default. */
  readonly form?: MessageForm;
};

/** Bytes a slow reader may leave in our socket before we wait for it. */
const BUFFERED_BYTES_MAX = 4 * 1024 * 1024;
const FRAMES_PER_TURN = 200;

class Reader {
  readonly socket: WebSocket;
  readonly #wire: Duplex;
  /** Index into the host's history of what is sent next. */
  next: number;
  isPumping = false;

  constructor(socket: WebSocket, wire: Duplex, next: number) {
    this.socket = socket;
    this.#wire = wire;
    this.next = next;
  }

  send(bytes: Buffer, form: MessageForm = 'binary'): void {
    if (form === 'wire') this.#wire.write(bytes);
    else this.socket.send(bytes, { binary: form === 'binary' });
  }
}

export class FleetHost {
  readonly name: string;
  readonly sent: SentFrame[] = [];
  /** Cursors that were asked for, in order; undefined for none. */
  readonly cursorsSeen: (number | undefined)[] = [];
  /** Codes with which readers closed, in order; 1006 for an end without a word. */
  readonly closeCodes: number[] = [];
  #seq: number;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #readers = new Set<Reader>();
  readonly #poison = new Set<number>();
  /** Called with every frame that joins the stream; poison is what no relay may pass on. */
  onSend: (frame: SentFrame, isPoison: boolean) => void = () => {};
  /** Everybody gets all that is kept, whatever the cursor. */
  isIgnoringCursors = false;
  /** Answers of getRepoStatus by DID; 404 for all others. */
  readonly repoStatus = new Map<string, object>();
  /** DIDs that it was asked for, in order. */
  readonly repoStatusAsked: string[] = [];
  #port = 0;

  private constructor(name: string, seqStart: number) {
    this.name = name;
    this.#seq = seqStart;
    this.#server = createServer((request, response) => {
      const body = this.#answerTo(new URL(request.url ?? '/', 'http://x'));
      const json = { 'content-type': 'application/json' };
      response.writeHead(body === undefined ? 404 : 200, json);
      response.end(JSON.stringify(body ?? { error: 'NotFound' }));
    });
    this.#server.on('upgrade', (request, socket, head) => {
      this.#sockets.handleUpgrade(request, socket, head, (ws) => {
        this.#onOpen(ws, socket, request);
      });
    });
  }

  static async start(name: string, options: { port?: number; seqStart?: number } = {}) {
    const host = new FleetHost(name, options.seqStart ?? 0);
    await host.listen(options.port ?? 0);
    return host;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  get hostname(): string {
    return `localhost:${this.#port}`;
  }

  get origin(): string {
    return `http://${this.hostname}`;
  }

  get readerCount(): number {
    return this.#readers.size;
  }

  nextSeq(): number {
    this.#seq += 1;
    return this.#seq;
  }

  /** The seq of the event that is sent next will be `seq`, or above. */
  skipTo(seq: number): void {
    this.#seq = seq - 1;
  }

  /** What a relay must pass on. */
  get truth(): SentFrame[] {
    return this.sent.filter((frame) => !this.#poison.has(frame.seq));
  }

  /** Adds a frame to the stream that no relay may pass on. */
  sendPoison(did: string, seq: number, bytes: Buffer, form: MessageForm = 'binary'): void {
    this.#poison.add(seq);
    this.send(did, seq, bytes, form);
  }

  /** A message that is no part of the stream: only who is connected now gets it, once. */
  sendOnce(bytes: Buffer, form: MessageForm = 'binary'): void {
    for (const reader of this.#readers) reader.send(bytes, form);
  }

  /** Adds an event to the stream. */
  send(did: string, seq: number, bytes: Buffer, form: MessageForm = 'binary'): void {
    const frame: SentFrame = form === 'binary' ? { seq, did, bytes } : { seq, did, bytes, form };
    this.sent.push(frame);
    this.onSend(frame, this.#poison.has(seq));
    for (const reader of this.#readers) this.#pump(reader);
  }

  /** Forgets all but the newest frames, as a host's window does; truth is no longer whole then. */
  keepNewest(frameCount: number): void {
    const count = Math.max(0, this.sent.length - frameCount);
    for (const { seq } of this.sent.splice(0, count)) this.#poison.delete(seq);
    for (const reader of this.#readers) reader.next = Math.max(0, reader.next - count);
  }

  /** Ends all connections, as a host that restarts does. */
  dropReaders(): void {
    for (const reader of this.#readers) reader.socket.terminate();
  }

  async stop(): Promise<void> {
    this.dropReaders();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answerTo(url: URL): object | undefined {
    switch (url.pathname) {
      case '/xrpc/com.atproto.server.describeServer':
        return { did: `did:web:localhost%3A${this.#port}`, availableUserDomains: ['.test'] };
      case '/xrpc/com.atproto.sync.getRepoStatus': {
        const did = url.searchParams.get('did') ?? '';
        this.repoStatusAsked.push(did);
        return this.repoStatus.get(did);
      }
      default:
        return undefined;
    }
  }

  #onOpen(socket: WebSocket, wire: Duplex, request: IncomingMessage): void {
    const text = new URL(request.url ?? '/', 'http://x').searchParams.get('cursor');
    const cursor = text === null ? undefined : Number(text);
    this.cursorsSeen.push(cursor);
    if (cursor !== undefined && cursor > this.#seq && !this.isIgnoringCursors) {
      socket.send(errorFrame('FutureCursor', 'Cursor in the future.'));
      socket.close(1008);
      return;
    }
    const reader = new Reader(socket, wire, this.#firstIndex(cursor));
    this.#readers.add(reader);
    socket.on('close', (code) => {
      this.closeCodes.push(code);
      this.#readers.delete(reader);
    });
    socket.on('error', () => {});
    this.#pump(reader);
  }

  #firstIndex(cursor: number | undefined): number {
    if (this.isIgnoringCursors) return 0;
    return cursor === undefined ? this.sent.length : this.#indexAfter(cursor);
  }

  #indexAfter(cursor: number): number {
    let [low, high] = [0, this.sent.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.sent[middle] as SentFrame).seq > cursor) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Sends what the reader has not had yet, as fast as it takes it. */
  #pump(reader: Reader): void {
    if (reader.isPumping) return;
    const { socket } = reader;
    for (let i = 0; i < FRAMES_PER_TURN; i++) {
      const frame = this.sent[reader.next];
      if (frame === undefined || socket.readyState !== WebSocket.OPEN) return;
      if (socket.bufferedAmount > BUFFERED_BYTES_MAX) break;
      reader.send(frame.bytes, frame.form);
      reader.next += 1;
    }
    reader.isPumping = true;
    setTimeout(
      () => {
        reader.isPumping = false;
        this.#pump(reader);
      },
      socket.bufferedAmount > BUFFERED_BYTES_MAX ? 10 : 0,
    );
  }
}
