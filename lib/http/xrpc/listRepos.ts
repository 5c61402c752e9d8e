/**
 * com.atproto.sync.listRepos: active accounts of which a commit was seen, first seen first.
 * @thread main
 */
import { invalidRequest, ok } from '../answer.ts';
import type { AccountReader, RepoView } from '../readers.ts';
import { type Route, xrpcPath } from '../route.ts';

const LIMIT_MAX = 1000;
const LIMIT_DEFAULT = 500;
/** Pages read for one answer: clients take an empty page for the end, long inactive runs exist. */
const PAGES_MAX = 8;

export function listRepos(accounts: AccountReader): Route {
  return {
    method: 'GET',
    path: xrpcPath('com.atproto.sync.listRepos'),
    handle: async ({ params }) => {
      const limit = params.wholeNumber('limit', 1, LIMIT_MAX, LIMIT_DEFAULT);
      const cursor = params.cursor();
      if (params.fault !== undefined) return invalidRequest(params.fault);
      let afterId = cursor;
      let repos: object[] = [];
      for (let page = 0; page < PAGES_MAX && repos.length === 0; page++) {
        const rows = await accounts.page(afterId, limit);
        repos = rows.filter((row) => row.isActive).map(repoJson);
        if (rows.length < limit) return ok({ repos });
        afterId = rows.at(-1)?.id ?? afterId;
      }
      return ok({ cursor: String(afterId), repos });
    },
  };
}

function repoJson(repo: RepoView): object {
  const { did, commitCid: head, rev, isActive: active, status } = repo;
  return status === null ? { did, head, rev, active } : { did, head, rev, active, status };
}
