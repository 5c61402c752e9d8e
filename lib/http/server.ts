/**
 * The API listener: time and size limits, headers of every answer (S11-S17), and where upgrade
 * requests go. Routes are data (route.ts); the HTTP library appears in this file only.
 * @thread main
 */
import type { IncomingMessage, ServerOptions } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { errorText } from '../base/fault.ts';
import { KiB, SECOND_MS } from '../base/units.ts';
import { AddressBudget } from '../broadcast/address-budget.ts';
import { addressKey } from '../broadcast/address-key.ts';
import { refuseUpgrade, SERVER_HEADER } from '../broadcast/handshake.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { AdminAuth, type AdminAuthOptions } from './admin/auth.ts';
import { type Answer, invalidRequest } from './answer.ts';
import { ClientAddress } from './client-address.ts';
import { ConnectionLimit } from './connection-limit.ts';
import { ADMIN_PREFIX, Gatekeeper } from './gatekeeper.ts';
import { answerOfError, refusalOfClientError } from './http-errors.ts';
import { JsonBody, parseJsonBody } from './json-body.ts';
import { Params } from './params.ts';
import { type Route, SUBSCRIBE_PATH, splitTarget } from './route.ts';

export type ApiServerOptions = {
  readonly host: string;
  readonly port: number;
  /** Addresses and CIDR blocks whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  /** Open sockets in total, websockets included; of one address, without them. */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** Requests of one address. */
  readonly requestsPerSecond: number;
  readonly requestsBurst: number;
  readonly headersMsMax: number;
  readonly requestMsMax: number;
  /** How often late requests are looked for. */
  readonly checkMs: number;
  readonly keepAliveMs: number;
  readonly handlerMsMax: number;
  readonly admin: AdminAuthOptions;
};

export const API_SERVER_DEFAULTS = {
  connectionsMax: 10_000,
  connectionsPerAddressMax: 256,
  requestsPerSecond: 50,
  requestsBurst: 300,
  headersMsMax: 5 * SECOND_MS,
  requestMsMax: 10 * SECOND_MS,
  checkMs: SECOND_MS,
  // Longer than load balancers keep an idle connection, or they would send into a closed one.
  keepAliveMs: 65 * SECOND_MS,
  handlerMsMax: 15 * SECOND_MS,
} as const;

export type ApiServerDeps = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  readonly routes: readonly Route[];
  /** Takes upgrade requests for subscribeRepos. */
  readonly upgrades: {
    handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, address: string): void;
  };
};

const HEADER_BYTES_MAX = 8 * KiB;
const BODY_BYTES_MAX = 8 * KiB;
/** One more pair than is allowed, so that the gatekeeper can see that there are too many. */
const HEADERS_PARSED_MAX = 66;
const STOP_GRACE_MS = 2 * SECOND_MS;
const REQUESTS_PER_SOCKET_MAX = 1000;
const NO_BODY = new JsonBody({});
const STATUS_CLASSES = ['2xx', '2xx', '2xx', '3xx', '4xx', '5xx'] as const;

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #deps: ApiServerDeps;
  readonly #app: FastifyInstance;
  readonly #addresses: ClientAddress;
  readonly #gatekeeper: Gatekeeper;

  constructor(options: ApiServerOptions, deps: ApiServerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#addresses = new ClientAddress(options.trustedProxies);
    const { requestsPerSecond: perSecond, requestsBurst: burst } = options;
    this.#gatekeeper = new Gatekeeper({
      routes: deps.routes,
      auth: new AdminAuth(options.admin, deps.clock),
      requests: new AddressBudget(deps.clock, { perSecond, burst }),
    });
    this.#app = this.#createApp();
    this.#listenForSockets();
    for (const route of deps.routes) this.#addRoute(route);
  }

  /** Starts listening; rejects when the address cannot be bound. */
  async listen(): Promise<AddressInfo> {
    await this.#app.listen({ host: this.#options.host, port: this.#options.port });
    const address = this.#app.server.address();
    assert(address !== null && typeof address === 'object', 'listening on no TCP port');
    return address;
  }

  /**
   * Takes no more connections, ends idle ones, and busy ones after `graceMs`. Resolves when all
   * sockets are closed, websockets too: the hub closes those first.
   */
  async stop(graceMs = STOP_GRACE_MS): Promise<void> {
    const closing = this.#app.close();
    const { server } = this.#app;
    const timer = this.#deps.clock.after(graceMs, () => server.closeAllConnections());
    await closing;
    timer.cancel();
  }

  #createApp(): FastifyInstance {
    const { headersMsMax, requestMsMax, checkMs, keepAliveMs, handlerMsMax } = this.#options;
    // `shouldUpgradeCallback` is newer than the types.
    const http: ServerOptions & { shouldUpgradeCallback(request: IncomingMessage): boolean } = {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: headersMsMax,
      requestTimeout: requestMsMax,
      connectionsCheckingInterval: checkMs,
      // Checked by the gatekeeper, which answers with a body.
      requireHostHeader: false,
      // A client that offers h2c or another upgrade on a plain route gets the plain answer.
      shouldUpgradeCallback: isSubscription,
    };
    const app = fastify({
      http,
      logger: false,
      requestTimeout: requestMsMax,
      keepAliveTimeout: keepAliveMs,
      maxRequestsPerSocket: REQUESTS_PER_SOCKET_MAX,
      bodyLimit: BODY_BYTES_MAX,
      handlerTimeout: handlerMsMax,
      exposeHeadRoutes: true,
      forceCloseConnections: 'idle',
      return503OnClosing: false,
      routerOptions: { querystringParser: () => ({}) },
      clientErrorHandler: (error, socket) => {
        if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
        else refuseUpgrade(socket, refusalOfClientError(error.code));
      },
      frameworkErrors: (error, _, reply) => this.#fail(error, reply),
    });
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body));
    app.setErrorHandler((error, _, reply) => this.#fail(error, reply));
    // The gatekeeper has answered before: only a path that the router reads differently comes here.
    app.setNotFoundHandler((_, reply) => this.#send(reply, invalidRequest('bad path')));
    app.addHook('onRequest', (request, reply, done) => this.#onRequest(request, reply, done));
    app.addHook('onResponse', (_, reply, done) => {
      this.#count(reply);
      done();
    });
    return app;
  }

  #listenForSockets(): void {
    const { server } = this.#app;
    const { connectionsMax, connectionsPerAddressMax } = this.#options;
    server.maxConnections = connectionsMax;
    server.maxHeadersCount = HEADERS_PARSED_MAX;
    const isTrusted = (address: string): boolean => this.#addresses.isTrusted(address);
    const limit = new ConnectionLimit(connectionsPerAddressMax, isTrusted);
    server.on('connection', limit.onConnection);
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      if (isSubscription(request)) {
        limit.release(socket);
        this.#deps.upgrades.handleUpgrade(request, socket, head, this.#addresses.of(request));
        return;
      }
      socket.on('error', () => socket.destroy());
      refuseUpgrade(socket, { status: 404, name: 'NotFound', message: 'not found' });
    });
  }

  #onRequest(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
    const [path] = splitTarget(request.raw.url ?? '');
    const answer = this.#gatekeeper.judge(request.raw, path, this.#addresses.of(request.raw));
    if (answer === undefined) done();
    else this.#send(reply, answer);
  }

  #addRoute(route: Route): void {
    this.#app.route({
      method: route.method,
      url: route.path,
      exposeHeadRoute: route.isStream !== true,
      handler: async (request, reply) => {
        this.#send(reply, await this.#handle(route, request));
        return reply;
      },
    });
  }

  async #handle(route: Route, request: FastifyRequest): Promise<Answer> {
    const { raw, body: bytes, headers } = request;
    let body = NO_BODY;
    if (route.hasBody === true) {
      const bodyBytes = Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0);
      const parsed = parseJsonBody(bodyBytes, headers['content-type']);
      if (!(parsed instanceof JsonBody)) return invalidRequest(parsed.fault);
      body = parsed;
    }
    const [, query] = splitTarget(raw.url ?? '');
    const address = this.#addresses.of(raw);
    const key = addressKey(address);
    return route.handle({ params: new Params(query), body, address, addressKey: key });
  }

  #fail(error: unknown, reply: FastifyReply): void {
    const { answer, isOurs } = answerOfError(error);
    if (isOurs) {
      const fields = { path: splitTarget(reply.request.raw.url ?? '')[0], error: errorText(error) };
      this.#deps.logger.warn(fields, 'request not answered');
    }
    this.#send(reply, answer);
  }

  #send(reply: FastifyReply, answer: Answer): void {
    if (reply.sent) return;
    const { method, url = '' } = reply.request.raw;
    reply.code(answer.status);
    reply.headers({ Server: SERVER_HEADER, 'X-Content-Type-Options': 'nosniff' });
    if (url.startsWith(ADMIN_PREFIX)) reply.header('Cache-Control', 'no-store');
    else if (method !== 'POST') reply.header('Access-Control-Allow-Origin', '*');
    if (answer.headers !== undefined) reply.headers(answer.headers);
    if (answer.json !== undefined) {
      reply.type('application/json; charset=utf-8').send(Buffer.from(JSON.stringify(answer.json)));
    } else if (answer.text !== undefined) {
      reply.type('text/plain; charset=utf-8').send(answer.text);
    } else {
      reply.send();
    }
  }

  #count(reply: FastifyReply): void {
    const statusClass = STATUS_CLASSES[Math.floor(reply.statusCode / 100)] ?? '5xx';
    this.#deps.metrics.add(`relay_http_requests_total:${statusClass}`);
    this.#deps.metrics.observe('relay_http_request_seconds', reply.elapsedTime / SECOND_MS);
  }
}

/** A websocket handshake on the one path that has it; exactly this path, GET only (S30). */
function isSubscription(request: IncomingMessage): boolean {
  const isWebsocket = request.headers.upgrade?.toLowerCase() === 'websocket';
  const [path] = splitTarget(request.url ?? '');
  return isWebsocket && request.method === 'GET' && path === SUBSCRIBE_PATH;
}
