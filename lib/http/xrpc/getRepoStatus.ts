/**
 * com.atproto.sync.getRepoStatus: what we tell the network about an account.
 * @thread main
 */
import { invalidRequest, ok } from '../answer.ts';
import type { AccountReader } from '../readers.ts';
import { repoNotFound } from '../repo-errors.ts';
import { type Route, xrpcPath } from '../route.ts';

export function getRepoStatus(accounts: AccountReader): Route {
  return {
    method: 'GET',
    path: xrpcPath('com.atproto.sync.getRepoStatus'),
    handle: async ({ params }) => {
      const did = params.did('did');
      if (params.fault !== undefined) return invalidRequest(params.fault);
      const account = await accounts.find(did);
      if (account === undefined) return repoNotFound();
      const { isActive: active, status, rev } = account;
      return ok({
        did,
        active,
        ...(status === null ? {} : { status }),
        ...(active && rev !== null ? { rev } : {}),
      });
    },
  };
}
