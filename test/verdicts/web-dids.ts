/**
 * Hosts of did:web documents that mean no good: they lead elsewhere, never end, or never begin.
 * Each counts what came of it.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Manner = 'redirect' | 'huge' | 'drip' | 'silent';

const HUGE_BYTES = 100 * 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, 0x20);
const DRIP_MS = 100;

export class WebDid {
  readonly #server: Server;
  /** Requests for documents. */
  requestCount = 0;
  /** Bytes of documents that the sockets took. */
  sentBytes = 0;
  /** Answers under way. */
  openCount = 0;

  private constructor(manner: Manner, target: () => string) {
    this.#server = createServer((_, response) => {
      this.requestCount += 1;
      this.openCount += 1;
      response.on('close', () => {
        this.openCount -= 1;
      });
      if (manner === 'redirect') response.writeHead(302, { location: target() }).end();
      if (manner === 'huge') this.#pour(response);
      if (manner === 'drip') this.#drip(response);
    });
  }

  /** `target`: where `redirect` leads. */
  static async start(manner: Manner, target = ''): Promise<WebDid> {
    const web = new WebDid(manner, () => target);
    await new Promise<void>((resolve) => {
      web.#server.listen(0, '127.0.0.1', resolve);
    });
    return web;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get did(): string {
    return `did:web:localhost%3A${this.port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pour(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json' });
    const more = (): void => {
      if (response.destroyed || this.sentBytes >= HUGE_BYTES) return;
      response.write(CHUNK, (error) => {
        if (error !== null && error !== undefined) return;
        this.sentBytes += CHUNK.length;
        more();
      });
    };
    more();
  }

  #drip(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => response.write(' '), DRIP_MS);
    response.on('close', () => clearInterval(timer));
  }
}
