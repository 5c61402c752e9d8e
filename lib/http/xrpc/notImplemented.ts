/**
 * Methods of the sync namespace that a relay without repos does not serve: known, hence 501.
 * @thread main
 */
import { type Answer, xrpcError } from '../answer.ts';

const NSIDS: ReadonlySet<string> = new Set([
  'com.atproto.sync.getBlob',
  'com.atproto.sync.getBlocks',
  'com.atproto.sync.getCheckout',
  'com.atproto.sync.getHead',
  'com.atproto.sync.getRecord',
  'com.atproto.sync.listBlobs',
  'com.atproto.sync.listReposByCollection',
]);

const PREFIX = '/xrpc/';

/** The answer for a path below /xrpc that has no route; undefined for any other path. */
export function notImplemented(path: string): Answer | undefined {
  if (!path.startsWith(PREFIX)) return undefined;
  const isKnown = NSIDS.has(path.slice(PREFIX.length));
  return isKnown
    ? xrpcError(501, 'MethodNotImplemented', 'a relay does not serve this method')
    : xrpcError(404, 'XRPCNotSupported', 'no such method here');
}
