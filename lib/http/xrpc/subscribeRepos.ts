/**
 * com.atproto.sync.subscribeRepos without an upgrade: says what is missing (FR-2, H162). Real
 * subscriptions never come here, they go from the upgrade event to broadcast/admission.ts.
 * @thread main
 */
import { xrpcError } from '../answer.ts';
import { type Route, SUBSCRIBE_PATH } from '../route.ts';

export function subscribeRepos(): Route {
  const headers = { Upgrade: 'websocket', Connection: 'Upgrade' };
  return {
    method: 'GET',
    path: SUBSCRIBE_PATH,
    isStream: true,
    handle: () => xrpcError(426, 'UpgradeRequired', 'this is a websocket endpoint', headers),
  };
}
