/**
 * com.atproto.sync.getLatestCommit: commit CID and rev that we verified last.
 * @thread main
 */
import { invalidRequest, ok } from '../answer.ts';
import type { AccountReader } from '../readers.ts';
import { inactiveError, repoNotFound } from '../repo-errors.ts';
import { type Route, xrpcPath } from '../route.ts';

export function getLatestCommit(accounts: AccountReader): Route {
  return {
    method: 'GET',
    path: xrpcPath('com.atproto.sync.getLatestCommit'),
    handle: async ({ params }) => {
      const did = params.did('did');
      if (params.fault !== undefined) return invalidRequest(params.fault);
      const account = await accounts.find(did);
      if (account === undefined) return repoNotFound();
      const refused = inactiveError(account);
      if (refused !== undefined) return refused;
      const { commitCid: cid, rev } = account;
      // Known from #account or #identity alone: no commit was seen yet.
      return cid === null || rev === null ? repoNotFound() : ok({ cid, rev });
    },
  };
}
