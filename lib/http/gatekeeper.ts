/**
 * What is decided about a request before its handler runs: is it well-formed, does its client ask
 * too often, is there such a route, may it use it. Order matters: the cheapest refusal first, and
 * nobody without credentials learns which admin routes exist.
 * @thread main
 */
import type { IncomingMessage } from 'node:http';
import type { AddressBudget } from '../broadcast/address-budget.ts';
import { addressKey } from '../broadcast/address-key.ts';
import type { AdminAuth } from './admin/auth.ts';
import { type Answer, invalidRequest, rateLimited, xrpcError } from './answer.ts';
import type { Route } from './route.ts';
import { notImplemented } from './xrpc/notImplemented.ts';

export const ADMIN_PREFIX = '/admin/';
const HEADERS_MAX = 64;

export type GatekeeperDeps = {
  readonly routes: readonly Route[];
  readonly auth: AdminAuth;
  readonly requests: AddressBudget;
};

export class Gatekeeper {
  readonly #deps: GatekeeperDeps;
  readonly #byPath = new Map<string, Route[]>();

  constructor(deps: GatekeeperDeps) {
    this.#deps = deps;
    for (const route of deps.routes) {
      const known = this.#byPath.get(route.path);
      if (known === undefined) this.#byPath.set(route.path, [route]);
      else known.push(route);
    }
  }

  /** The answer that ends the request here, or undefined: its route may handle it. */
  judge(request: IncomingMessage, path: string, address: string): Answer | undefined {
    if (request.rawHeaders.length > 2 * HEADERS_MAX) {
      return xrpcError(431, 'InvalidRequest', 'too many headers', CLOSE);
    }
    if (request.headers.host === undefined && request.httpVersion === '1.1') return NO_HOST;
    const waitSeconds = this.#deps.requests.take(addressKey(address));
    if (waitSeconds > 0) return rateLimited('too many requests', waitSeconds);
    if (path.startsWith(ADMIN_PREFIX)) {
      const { auth } = this.#deps;
      if (!auth.isEnabled) return NOT_FOUND;
      const refused = auth.refuse(request.headers.authorization, addressKey(address));
      if (refused !== undefined) return refused;
    }
    return this.#judgeRoute(request, path);
  }

  #judgeRoute(request: IncomingMessage, path: string): Answer | undefined {
    const routes = this.#byPath.get(path);
    if (routes === undefined) return notImplemented(path) ?? NOT_FOUND;
    const method = request.method ?? '';
    if (method === 'OPTIONS' && isPublicGet(routes, path)) return PREFLIGHT;
    const route = routes.find((known) => known.method === method || isHead(known, method));
    if (route === undefined) {
      const allowed = routes.flatMap((known) =>
        isHead(known, 'HEAD') ? ['GET', 'HEAD'] : known.method,
      );
      const headers = { Allow: allowed.join(', ') };
      return xrpcError(405, 'InvalidRequest', `${path} does not allow this method`, headers);
    }
    if (route.hasBody !== true && hasBody(request)) return UNWANTED_BODY;
    return undefined;
  }
}

/** Everything that can be read without a side effect can be asked for its headers only. */
function isHead(route: Route, method: string): boolean {
  return method === 'HEAD' && route.method === 'GET' && route.isStream !== true;
}

function isPublicGet(routes: readonly Route[], path: string): boolean {
  return !path.startsWith(ADMIN_PREFIX) && routes.some((route) => route.method === 'GET');
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  const isEmpty = length === undefined || /^0+$/.test(length);
  return !isEmpty || request.headers['transfer-encoding'] !== undefined;
}

const CLOSE = { Connection: 'close' };
const NOT_FOUND = xrpcError(404, 'NotFound', 'not found');
const NO_HOST: Answer = { ...invalidRequest('the Host header is missing'), headers: CLOSE };
const UNWANTED_BODY: Answer = { ...invalidRequest('no body is expected here'), headers: CLOSE };
const PREFLIGHT: Answer = {
  status: 204,
  headers: {
    'Access-Control-Allow-Methods': 'GET, HEAD',
    'Access-Control-Allow-Headers': '*',
    'Access-Control-Max-Age': '86400',
  },
};
