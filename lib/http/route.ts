/**
 * A route: method, exact path, and a handler over plain data.
 * @thread main
 */
import type { Answer } from './answer.ts';
import type { JsonBody } from './json-body.ts';
import type { Params } from './params.ts';

export type RouteRequest = {
  readonly params: Params;
  /** Only on routes that take one. */
  readonly body: JsonBody;
  /** Address of the client, and the key that limits count it by. */
  readonly address: string;
  readonly addressKey: string;
};

export type Route = {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** POST only: the body is required and must be a JSON object. */
  readonly hasBody?: boolean;
  /** A websocket endpoint: GET and nothing else, not even HEAD. */
  readonly isStream?: boolean;
  handle(request: RouteRequest): Answer | Promise<Answer>;
};

export const SUBSCRIBE_PATH = '/xrpc/com.atproto.sync.subscribeRepos';

/** The path of an XRPC method. */
export function xrpcPath(nsid: string): string {
  return `/xrpc/${nsid}`;
}

/** Path and raw query of a request target. */
export function splitTarget(url: string): readonly [path: string, query: string] {
  const at = url.indexOf('?');
  return at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)];
}
