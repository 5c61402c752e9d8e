/** A PDS on loopback: real sockets, frames encoded by another implementation, bad manners on demand. */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { encode } from '@atcute/cbor';
import { type WebSocket, WebSocketServer } from 'ws';
import { nextTurn } from '../../lib/base/clock.ts';
import { CERTIFICATE_PEM, KEY_PEM } from '../identity/certificate.ts';

export type Connection = {
  readonly ws: WebSocket;
  readonly socket: Socket;
  /** The cursor parameter as it came, null without one. */
  readonly cursor: string | null;
  /** Monotonic milliseconds. */
  readonly atMs: number;
};

export type PdsOptions = {
  readonly isSecure?: boolean;
  /** Extra headers of the 101. */
  readonly headers?: readonly string[];
  /** Runs instead of the upgrade when it returns true. */
  readonly onUpgrade?: (request: IncomingMessage, socket: Duplex, count: number) => boolean;
  readonly onConnection?: (connection: Connection, count: number) => void;
};

export class Pds {
  readonly connections: Connection[] = [];
  readonly requests: IncomingMessage[] = [];
  readonly #server: http.Server;
  readonly #sockets = new Set<Socket>();
  socketCount = 0;

  constructor(options: PdsOptions) {
    const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false });
    wss.on('headers', (headers) => headers.push(...(options.headers ?? [])));
    this.#server =
      options.isSecure === true
        ? https.createServer({ key: KEY_PEM, cert: CERTIFICATE_PEM })
        : http.createServer();
    this.#server.on('connection', (socket) => {
      this.socketCount++;
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.requests.push(request);
      socket.on('error', () => {});
      if (options.onUpgrade?.(request, socket, this.requests.length) === true) return;
      wss.handleUpgrade(request, socket, head, (ws) => {
        const { searchParams } = new URL(request.url ?? '', 'http://localhost');
        ws.on('error', () => {});
        const cursor = searchParams.get('cursor');
        const connection = { ws, socket: request.socket, cursor, atMs: performance.now() };
        this.connections.push(connection);
        options.onConnection?.(connection, this.connections.length);
      });
    });
  }

  static async start(options: PdsOptions = {}): Promise<Pds> {
    const pds = new Pds(options);
    await pds.listen(0);
    return pds;
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get hostname(): string {
    return `localhost:${this.port}`;
  }

  get last(): Connection {
    const last = this.connections.at(-1);
    if (last === undefined) throw new Error('nobody connected');
    return last;
  }

  get openCount(): number {
    return this.#sockets.size;
  }

  cursors(): (string | null)[] {
    return this.connections.map(({ cursor }) => cursor);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export const DID = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz';

/** An `#identity` frame; `paddingBytes` of an unknown field make it larger. */
export function eventFrame(hostSeq: number, did = DID, paddingBytes = 0): Buffer {
  const header = encode({ t: '#identity', op: 1 });
  const time = '2026-01-01T00:00:00.000Z';
  const padding = paddingBytes === 0 ? {} : { padding: 'x'.repeat(paddingBytes) };
  return Buffer.concat([header, encode({ did, seq: hostSeq, time, ...padding })]);
}

export function errorFrame(error: string): Buffer {
  return Buffer.concat([encode({ op: -1 }), encode({ error, message: 'test' })]);
}

export function infoFrame(name: string): Buffer {
  return Buffer.concat([encode({ t: '#info', op: 1 }), encode({ name, message: 'test' })]);
}

/** One websocket frame of a server, as bytes; for writing several into one chunk. */
export function rawFrame(first: number, payload: Buffer): Buffer {
  const bytes = payload.length;
  if (bytes < 126) return Buffer.concat([Buffer.from([first, bytes]), payload]);
  const header = Buffer.alloc(bytes <= 0xffff ? 4 : 10);
  header.writeUInt8(first, 0);
  header.writeUInt8(bytes <= 0xffff ? 126 : 127, 1);
  if (bytes <= 0xffff) header.writeUInt16BE(bytes, 2);
  else header.writeBigUInt64BE(BigInt(bytes), 2);
  return Buffer.concat([header, payload]);
}

/** Several messages in one write, so that they arrive as one chunk. */
export function burst(frames: readonly Buffer[]): Buffer {
  return Buffer.concat(frames.map((frame) => rawFrame(0x82, frame)));
}

/** Waits in real time until `condition` holds; throws after five seconds. */
export async function until(condition: () => boolean, what = 'condition'): Promise<void> {
  const endMs = performance.now() + 5000;
  for (let turn = 0; !condition(); turn++) {
    if (performance.now() > endMs) throw new Error(`waited in vain for ${what}`);
    if (turn < 50) await nextTurn();
    else await settle(2);
  }
}

/** Lets sockets deliver what is on its way. */
export function settle(ms = 30): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
