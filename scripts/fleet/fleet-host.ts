/**
 * One simulated PDS: a real HTTP listener with `describeServer` and a real websocket stream with
 * its own seq, a backlog, and cursors that it honours. Everything it ever sent is kept as truth.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { errorFrame } from './event-frames.ts';

export type SentFrame = { readonly seq: number; readonly did: string; readonly bytes: Buffer };

/** Bytes a slow reader may leave in our socket before we wait for it. */
const BUFFERED_BYTES_MAX = 4 * 1024 * 1024;
const FRAMES_PER_TURN = 200;

class Reader {
  readonly socket: WebSocket;
  /** Index into the host's history of what is sent next. */
  next: number;
  isPumping = false;

  constructor(socket: WebSocket, next: number) {
    this.socket = socket;
    this.next = next;
  }
}

export class FleetHost {
  readonly name: string;
  readonly sent: SentFrame[] = [];
  /** Cursors that were asked for, in order; undefined for none. */
  readonly cursorsSeen: (number | undefined)[] = [];
  #seq: number;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #readers = new Set<Reader>();
  readonly #poison = new Set<number>();
  /** Called with every frame that joins the stream; poison is what no relay may pass on. */
  onSend: (frame: SentFrame, isPoison: boolean) => void = () => {};
  #port = 0;

  private constructor(name: string, seqStart: number) {
    this.name = name;
    this.#seq = seqStart;
    this.#server = createServer((request, response) => {
      const isDescribe = request.url === '/xrpc/com.atproto.server.describeServer';
      response.writeHead(isDescribe ? 200 : 404, { 'content-type': 'application/json' });
      const body = { did: `did:web:localhost%3A${this.#port}`, availableUserDomains: ['.test'] };
      response.end(JSON.stringify(isDescribe ? body : { error: 'NotFound' }));
    });
    this.#server.on('upgrade', (request, socket, head) => {
      this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#onOpen(ws, request));
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

  /** What a relay must pass on. */
  get truth(): SentFrame[] {
    return this.sent.filter((frame) => !this.#poison.has(frame.seq));
  }

  /** Adds a frame to the stream that no relay may pass on. */
  sendPoison(did: string, seq: number, bytes: Buffer): void {
    this.#poison.add(seq);
    this.send(did, seq, bytes);
  }

  /** Adds an event to the stream. */
  send(did: string, seq: number, bytes: Buffer): void {
    const frame = { seq, did, bytes };
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

  #onOpen(socket: WebSocket, request: IncomingMessage): void {
    const text = new URL(request.url ?? '/', 'http://x').searchParams.get('cursor');
    const cursor = text === null ? undefined : Number(text);
    this.cursorsSeen.push(cursor);
    if (cursor !== undefined && cursor > this.#seq) {
      socket.send(errorFrame('FutureCursor', 'Cursor in the future.'));
      socket.close(1008);
      return;
    }
    const next = cursor === undefined ? this.sent.length : this.#indexAfter(cursor);
    const reader = new Reader(socket, next);
    this.#readers.add(reader);
    socket.on('close', () => this.#readers.delete(reader));
    socket.on('error', () => {});
    this.#pump(reader);
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
      socket.send(frame.bytes);
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
