/**
 * The listener of the liveness thread: /_healthz, /_readyz, /metrics and nothing else. Answers
 * from memory; limits are those of a port that may be reachable by strangers (S11, S12).
 * @thread liveness
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KiB } from '../base/units.ts';
import type { MetricsView } from '../metrics/prometheus.ts';
import type { HealthMonitor } from './monitor.ts';

const SERVER_OPTIONS = {
  headersTimeout: 5000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1000,
  keepAliveTimeout: 65_000,
  maxHeaderSize: 8 * KiB,
} as const;
const CONNECTIONS_MAX = 256;

export class ProbeServer {
  readonly #monitor: HealthMonitor;
  readonly #metrics: MetricsView;
  readonly #server: Server;

  constructor(monitor: HealthMonitor, metrics: MetricsView) {
    this.#monitor = monitor;
    this.#metrics = metrics;
    this.#server = createServer(SERVER_OPTIONS, (request, response) => {
      this.#onRequest(request, response).catch(() => response.destroy());
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.maxRequestsPerSocket = 1000;
  }

  /** Resolves with the bound port; rejects where the address is taken or not ours. */
  listen(address: { readonly host: string; readonly port: number }): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#server.once('error', reject);
    const host = address.host === '' ? {} : { host: address.host };
    this.#server.listen({ port: address.port, ...host }, () => {
      this.#server.off('error', reject);
      resolve((this.#server.address() as AddressInfo).port);
    });
    return promise;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.split('?', 1)[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      // A body may follow, which nobody reads.
      response.setHeader('connection', 'close');
      response.setHeader('allow', 'GET, HEAD');
      this.#send(response, 405, { error: 'MethodNotAllowed' });
    } else if (path === '/_healthz') {
      const { verdict, body } = this.#monitor.report();
      this.#send(response, verdict.isLive ? 200 : 503, body);
    } else if (path === '/_readyz') {
      const { verdict, body } = this.#monitor.report();
      this.#send(response, verdict.isReady ? 200 : 503, body);
    } else if (path === '/metrics') {
      const { contentType, text } = await this.#metrics.render();
      response.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' });
      response.end(text);
    } else {
      this.#send(response, 404, { error: 'NotFound' });
    }
  }

  #send(response: ServerResponse, status: number, body: object): void {
    response.writeHead(status, {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.end(`${JSON.stringify(body)}\n`);
  }
}
