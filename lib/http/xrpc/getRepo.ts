/**
 * com.atproto.sync.getRepo: a relay keeps no repos, so it points to the account's PDS. Where it
 * points comes from what we stored and validated, never from the request (S18); an inactive
 * account is refused (A45, H172).
 * @thread main
 */
import { originOfHost } from '../../identity/address.ts';
import { isTid } from '../../repo/tid.ts';
import { invalidRequest } from '../answer.ts';
import type { AccountReader } from '../readers.ts';
import { inactiveError, repoNotFound } from '../repo-errors.ts';
import { type Route, xrpcPath } from '../route.ts';

const PATH = xrpcPath('com.atproto.sync.getRepo');

export function getRepo(accounts: AccountReader): Route {
  return {
    method: 'GET',
    path: PATH,
    handle: async ({ params }) => {
      const did = params.did('did');
      const since = params.text('since');
      if (params.fault !== undefined) return invalidRequest(params.fault);
      if (since !== undefined && !isTid(since)) return invalidRequest('since is not a TID');
      const account = await accounts.find(did);
      if (account === undefined) return repoNotFound();
      const refused = inactiveError(account);
      if (refused !== undefined) return refused;
      if (account.pdsHost === null) return repoNotFound();
      const query = new URLSearchParams(since === undefined ? { did } : { did, since });
      const location = `${originOfHost(account.pdsHost)}${PATH}?${query.toString()}`;
      return { status: 302, headers: { Location: location } };
    },
  };
}
