/**
 * A man in the middle: a PDS behind it is known to the world by the door's port, so its frames and
 * whatever the door makes of them come from the host that has authority. It renumbers the stream
 * (seq n becomes 2 n) to have a seq left for a frame of its own before each real one.
 */
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { DrislWriter } from '../../scripts/fleet/drisl.ts';

/** What to send before this frame, if anything; `frame` must be left as it is. */
export type Forge = (frame: Buffer, view: EventView) => Buffer | undefined;

export class ForgingDoor {
  /** Where the PDS listens. */
  targetPort = 0;
  forge: Forge = () => undefined;
  /** Streams that are open now. */
  readerCount = 0;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

  private constructor() {
    this.#server = createServer((incoming, response) => {
      const { method, headers, url: path } = incoming;
      const options = { port: this.targetPort, host: '127.0.0.1', method, path, headers };
      const outgoing = request(options, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      outgoing.on('error', () => response.destroy());
      incoming.pipe(outgoing);
    });
    this.#server.on('upgrade', (incoming, socket, head) => this.#onUpgrade(incoming, socket, head));
  }

  static async start(): Promise<ForgingDoor> {
    const door = new ForgingDoor();
    await new Promise<void>((resolve) => door.#server.listen(0, '127.0.0.1', resolve));
    return door;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Cuts every stream that is open now. */
  cut(): void {
    for (const socket of this.#sockets.clients) socket.terminate();
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #onUpgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = new URL(incoming.url ?? '/', `ws://127.0.0.1:${this.targetPort}`);
    const cursor = url.searchParams.get('cursor');
    if (cursor !== null) url.searchParams.set('cursor', String(Math.floor(Number(cursor) / 2)));
    const upstream = new WebSocket(url, { perMessageDeflate: false });
    upstream.on('error', () => socket.destroy());
    this.#sockets.handleUpgrade(incoming, socket, head, (client) => {
      this.readerCount += 1;
      client.on('error', () => {});
      client.on('close', () => {
        this.readerCount -= 1;
        upstream.terminate();
      });
      upstream.on('close', () => client.terminate());
      upstream.on('message', (frame: Buffer) => this.#pass(frame, client));
    });
  }

  #pass(frame: Buffer, client: WebSocket): void {
    const peeked = new Peek();
    if (peek(frame, peeked) !== 'event') {
      client.send(frame);
      return;
    }
    const view = new EventView();
    decodeEvent(frame, peeked.kind, view);
    const { hostSeq } = view;
    const forged = this.forge(frame, view);
    if (forged !== undefined) client.send(renumber(forged, view, 2 * hostSeq - 1));
    client.send(renumber(frame, view, 2 * hostSeq));
  }
}

function renumber(frame: Buffer, { seqStart, seqEnd }: EventView, seq: number): Buffer {
  const number = new DrislWriter().integer(seq).done();
  return Buffer.concat([frame.subarray(0, seqStart), number, frame.subarray(seqEnd)]);
}
